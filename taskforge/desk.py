"""Where an app's jobs are handed in: made, sent, and told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskforge.client import Client, patience_here
from taskforge.codec import Codec
from taskforge.handle import JobHandle
from taskforge.info import Reader
from taskforge.job import Enqueued, NewJob
from taskforge.signals import Signals, emit
from taskforge.submission import Resolver, Submission, compose
from taskforge.task import Args, Call, OptionValues, Target


class App(Resolver, Protocol):
    """The app, as far as handing in jobs needs it."""

    codec: Codec
    signals: Signals

    @property
    def client(self) -> Client: ...

    @property
    def reader(self) -> Reader: ...


class SubmissionDesk:
    """One per app: tasks come here with the arguments of their jobs."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._shared: dict[tuple[str, type], Submission] = {}

    def submit(
        self, target: Target, call: OptionValues, arguments: Sequence[Args], stacklevel: int
    ) -> list[JobHandle[object]]:
        """Enqueue one job per Args. `stacklevel` counts the frames up to the user's call, for a warning."""
        patience = patience_here(stacklevel + 1)
        jobs = self._make(target, call, arguments)
        return self._handles(target, jobs, self._app.client.enqueue(jobs, patience))

    async def asubmit(self, target: Target, call: OptionValues, arguments: Sequence[Args]) -> list[JobHandle[object]]:
        """`submit` without blocking the event loop."""
        client = self._app.client.awaiting
        deadline, room = client.deadline(), client.room()
        if not room.enter():
            await room.wait(deadline)
        try:
            jobs = self._make(target, call, arguments)
            return self._handles(target, jobs, await client.enqueue(jobs, deadline))
        finally:
            room.leave()

    def new_jobs(self, call: Call[..., object], arguments: Sequence[Args]) -> list[NewJob]:
        """The jobs of a task, or task.using(…), with these arguments: checked and encoded, not sent."""
        return self._make(call.target, call.call_options, arguments)

    def forget(self) -> None:
        """Settings or declarations have changed: work everything out anew."""
        self._shared.clear()

    def _make(self, target: Target, call: OptionValues, arguments: Sequence[Args]) -> list[NewJob]:
        shared, codec = self._submission(target, call), self._app.codec
        return [compose(shared, target, codec, each.args, each.kwargs) for each in arguments]

    def _submission(self, target: Target, call: OptionValues) -> Submission:
        """What all jobs of this call share; kept for calls without options, the many."""
        if call:
            return Submission.of(self._app, target, call)
        key = (target.name, type(target))
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = Submission.of(self._app, target, call)
        return shared

    def _handles(self, target: Target, jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> list[JobHandle[object]]:
        """Tell of jobs that were accepted, and give a handle to each."""
        app, client, reader = self._app, self._app.client, self._app.reader
        if app.signals.job_enqueued.receivers:
            for job, each in zip(jobs, answers, strict=True):
                emit(app.signals.job_enqueued, app, job=job, task=target.name, new=each.new)
        return [
            JobHandle(client, reader, each.id, job.queue, new=each.new, enqueued_here=True)
            for job, each in zip(jobs, answers, strict=True)
        ]
