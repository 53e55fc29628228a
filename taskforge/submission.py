"""Makes jobs: everything that the jobs of one call share, worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from taskforge.codec import Codec, Envelope
from taskforge.ids import new_id
from taskforge.job import NewJob
from taskforge.options import RunOptions, body_version, resolve
from taskforge.settings import Settings
from taskforge.task import NamedTask, OptionValues, Target

#: In a body's options: the sender did not know the task; its worker fills in what is left out.
PARTIAL = "partial"


class Resolver(Protocol):
    """The app, as far as resolving options needs it."""

    settings: Settings

    def queue_of(self, target: Target, call: OptionValues) -> str: ...

    def levels(self, target: Target, queue: str, call: OptionValues) -> list[OptionValues]: ...


@dataclass(frozen=True, slots=True)
class Submission:
    """A call's options in the forms in which its jobs carry them."""

    queue: str
    priority: int
    delay: timedelta | None
    at: datetime | None
    expires: timedelta | datetime | None
    job_id: str | None
    plain: Mapping[str, object]
    version: int

    @classmethod
    def of(cls, app: Resolver, target: Target, call: OptionValues) -> Submission:
        """Resolve call over task over queue over app."""
        queue = app.queue_of(target, call)
        options = resolve(queue, app.settings, *app.levels(target, queue, call))
        run = RunOptions.of(options)
        if isinstance(target, NamedTask):
            plain = {**run.plain(only=call), PARTIAL: True}
        else:
            plain = run.plain()
        delay, at, expires = options.delay, options.at, options.expires
        return cls(queue, options.priority, delay, at, expires, options.job_id, plain, body_version(plain))


def compose(
    shared: Submission, target: Target, codec: Codec, args: Sequence[object], kwargs: Mapping[str, object]
) -> NewJob:
    """One job. Raises TypeError, EncodeError or PayloadTooLarge for arguments that do not fit."""
    target.bind(args, kwargs)
    arguments = codec.arguments(target.name, args, kwargs, target.types, target.names)
    body = codec.body(Envelope(target.name, arguments, dict(shared.plain), shared.version))
    return NewJob(
        shared.job_id or new_id(), shared.queue, body, shared.priority, shared.delay, shared.at, shared.expires
    )
