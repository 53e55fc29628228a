"""A task's options: checked where they are written, resolved call over task over queue over app."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TypedDict

from taskforge.checks import CHECKS, Keep
from taskforge.errors import OptionError, UnknownVersion
from taskforge.isolate import Isolate, isolate_from_plain
from taskforge.retry import Retry, RetryRule, Seconds, seconds
from taskforge.settings import Settings, nearest

DEFAULTS = Settings()
DEFAULT_RETRY = RetryRule.of(Retry())


class QueueOptions(TypedDict, total=False):
    """What a queue, and an app, may set for its jobs."""

    priority: int
    delay: Seconds
    expires: Seconds | datetime
    retry: Retry
    timeout: Seconds | None
    keep: Keep | Seconds
    keep_result: bool | Seconds
    headers: Mapping[str, str]


class TaskOptions(QueueOptions, total=False):
    """What a task may set for its jobs."""

    queue: str
    isolate: bool | Isolate
    interrupt: bool
    at_most_once: bool


class CallOptions(TaskOptions, total=False):
    """What one call may set."""

    at: datetime
    job_id: str


WORDS: Mapping[str, tuple[str, ...]] = {
    "app": tuple(QueueOptions.__annotations__),
    "queue": tuple(QueueOptions.__annotations__),
    "task": tuple(TaskOptions.__annotations__),
    "call": tuple(CallOptions.__annotations__),
}


#: Options that came later, and the format of the bodies that have them.
LATER_WORDS: Mapping[str, int] = {"isolate": 2, "interrupt": 2, "at_most_once": 2}

#: Words that people bring along, and ours for them.
CELERY_WORDS: Mapping[str, str] = {
    "acks_late": "always on; acks_late=False is at_most_once=True",
    "autoretry_for": "retry=Retry(on=…)",
    "bind": "current_job()",
    "countdown": "delay",
    "default_retry_delay": "retry=Retry(backoff=Fixed(…))",
    "dont_autoretry_for": "retry=Retry(never=…)",
    "eta": "at",
    "ignore_result": "keep_result=False",
    "max_retries": "retry=Retry(attempts=…), one more than the retries",
    "retry_backoff": "retry=Retry(backoff=Exponential(…))",
    "retry_backoff_max": "retry=Retry(backoff=Exponential(cap=…))",
    "retry_jitter": "retry=Retry(backoff=Exponential(jitter=…))",
    "retry_kwargs": "retry=Retry(…)",
    "soft_time_limit": "timeout",
    "task_id": "job_id",
    "time_limit": "timeout; with isolate=True it ends the process",
}


@dataclass(frozen=True, slots=True)
class Options:
    """One job's options, every one decided."""

    queue: str
    priority: int
    delay: timedelta | None
    at: datetime | None
    expires: timedelta | datetime | None
    retry: Retry
    timeout: timedelta | None
    keep: timedelta
    keep_result: timedelta | None
    headers: Mapping[str, str]
    isolate: Isolate | None
    interrupt: bool
    at_most_once: bool
    job_id: str | None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The part of a job's options that matters while it runs; it travels in the body, values equal to these defaults
    left out.
    """

    retry: RetryRule = DEFAULT_RETRY
    timeout: timedelta | None = DEFAULTS.timeout
    keep: timedelta = DEFAULTS.finished_age
    keep_result: timedelta | None = DEFAULTS.result_age
    headers: Mapping[str, str] = field(default_factory=dict)
    isolate: Isolate | None = None
    interrupt: bool = False
    at_most_once: bool = False

    @classmethod
    def of(cls, options: Options) -> RunOptions:
        """The travelling part of these options."""
        rule = RetryRule.of(options.retry)
        extras = options.isolate, options.interrupt, options.at_most_once
        return cls(rule, options.timeout, options.keep, options.keep_result, options.headers, *extras)

    def plain(self, only: Collection[str] | None = None) -> dict[str, object]:
        """As plain data: what differs from the defaults; or exactly the options named by `only`."""
        forms: dict[str, object] = {
            "retry": self.retry.plain(),
            "timeout": self.timeout and self.timeout.total_seconds(),
            "keep": self.keep.total_seconds(),
            "keep_result": self.keep_result and self.keep_result.total_seconds(),
            "headers": dict(self.headers),
            "isolate": self.isolate and self.isolate.plain(),
            "interrupt": self.interrupt,
            "at_most_once": self.at_most_once,
        }
        if only is not None:
            return {word: form for word, form in forms.items() if word in only}
        plain = _PLAIN_DEFAULTS
        return {word: form for word, form in forms.items() if form != plain[word]}

    def overridden(self, plain: Mapping[str, object]) -> RunOptions:
        """These options, with those of a body over them.

        Raises ValueError for a value that does not fit, UnknownVersion for an option of a later release.
        """
        changes: dict[str, object] = {}
        for word, value in plain.items():
            match word, value:
                case "retry", _:
                    changes[word] = RetryRule.from_plain(value)
                case "timeout" | "keep_result", None:
                    changes[word] = None
                case "timeout" | "keep" | "keep_result", float() | int():
                    changes[word] = timedelta(seconds=value)
                case "headers", dict():
                    changes[word] = {**self.headers, **value}
                case "isolate", _:
                    changes[word] = isolate_from_plain(value)
                case "interrupt" | "at_most_once", bool():
                    changes[word] = value
                case _ if word not in RunOptions.__dataclass_fields__:
                    raise UnknownVersion(
                        f"the job has an option {word!r}, which is unknown to this taskforge: update it"
                    )
                case _:
                    raise ValueError(f"not an option of a job: {word}={value!r}")
        return replace(self, **changes) if changes else self  # type: ignore[arg-type]  # each form checked above


def check(options: Mapping[str, object], level: str, owner: str) -> dict[str, object]:
    """These options, each in its one form; `level` is app, queue, task or call.

    Spans become timedelta. Raises OptionError that names the owner, the option and what would fit.
    """
    checked: dict[str, object] = {}
    for word, value in options.items():
        if word not in WORDS[level]:
            raise OptionError(f"{owner}: there is no option {word!r}{_hint(word, level)}")
        try:
            checked[word] = CHECKS[word](value, level)
        except (ValueError, OverflowError) as error:
            raise OptionError(f"{owner}: {word} {error}") from error
    if checked.get("at") is not None and checked.get("delay") is not None:
        raise OptionError(f"{owner}: give delay or at, not both")
    if checked.get("isolate") and checked.get("interrupt"):
        raise OptionError(f"{owner}: an isolated run is ended with its process; interrupt is for threads: give one")
    if checked.get("at_most_once") and _repeats(checked):
        raise OptionError(f"{owner}: at_most_once leaves no room for retry attempts; give one of them")
    return checked


def resolve(queue: str, settings: Settings, *levels: Mapping[str, object]) -> Options:
    """One value per option: the first of the levels that has it, else the settings'. Headers are merged key by key."""
    found: dict[str, object] = {}
    headers: dict[str, str] = {}
    for level in reversed(levels):
        found.update(level)
        headers.update(level.get("headers", {}))  # type: ignore[call-overload]  # checked to be text to text
    if any("at" in level for level in levels):
        found.pop("delay", None)  # a moment given for this call replaces a task's standing delay
    retry = found.get("retry")
    retry = retry if isinstance(retry, Retry) else Retry(attempts=settings.attempts)
    if found.get("at_most_once"):
        if any(map(_repeats, takewhile(lambda level: "at_most_once" not in level, levels))):
            raise OptionError("the task is at_most_once: there is no room for retry attempts; say at_most_once=False")
        retry = replace(retry, attempts=1)
    keep_result = found.get("keep_result", settings.result_age)
    return Options(
        queue=queue,
        priority=found.get("priority", settings.priority),  # type: ignore[arg-type]  # checked, as all below
        delay=found.get("delay"),  # type: ignore[arg-type]
        at=found.get("at"),  # type: ignore[arg-type]
        expires=found.get("expires"),  # type: ignore[arg-type]
        retry=retry,
        timeout=found.get("timeout", settings.timeout),  # type: ignore[arg-type]
        keep=keep_age(found.get("keep"), settings),
        keep_result=settings.result_age if keep_result is True else keep_result or None,  # type: ignore[arg-type]
        headers=headers,
        isolate=found.get("isolate"),  # type: ignore[arg-type]
        interrupt=bool(found.get("interrupt")),
        at_most_once=bool(found.get("at_most_once")),
        job_id=found.get("job_id"),  # type: ignore[arg-type]
    )


def body_version(plain: Mapping[str, object]) -> int:
    """The format of a body with these options: one that a release without one of them parks, rather than misreads."""
    return max([LATER_WORDS.get(word, 1) for word in plain], default=1)


def _repeats(options: Mapping[str, object]) -> bool:
    """Whether these options ask for more than one run."""
    retry = options.get("retry")
    return isinstance(retry, Retry) and retry.attempts > 1


def _hint(word: str, level: str) -> str:
    if word in WORDS["call"]:
        return f"; `{word}` belongs to one call: .using({word}=…)"
    if word in CELERY_WORDS:
        return f"; what Celery calls so is {CELERY_WORDS[word]} here"
    return nearest(word, WORDS[level])


def keep_age(keep: object, settings: Settings) -> timedelta:
    """How long a finished job is kept, from a checked `keep` option."""
    if isinstance(keep, Keep) and keep.age is not None:
        return timedelta(seconds=seconds(keep.age))
    return settings.finished_age


_PLAIN_DEFAULTS = RunOptions().plain(only=RunOptions.__dataclass_fields__)
