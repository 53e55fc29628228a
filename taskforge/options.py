"""A task's options: checked where they are written, resolved call over task over queue over app."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from taskforge.errors import OptionError
from taskforge.job import MAX_PRIORITY, MIN_PRIORITY
from taskforge.retry import MAX_DELAY, Retry, RetryRule, Seconds, seconds
from taskforge.settings import Settings, nearest

#: A queue's name on Redis is part of twenty key names; 200 bytes are ample for a person.
MAX_QUEUE_BYTES = 200
MAX_JOB_ID_BYTES = 100
MAX_HEADERS_BYTES = 8 * 1024

DEFAULTS = Settings()
DEFAULT_RETRY = RetryRule.of(Retry())


@dataclass(frozen=True, slots=True)
class Keep:
    """How long finished jobs without a result are kept: by `age`, and on a queue also the newest `count` at most."""

    count: int | None = None
    age: Seconds | None = None


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

    @classmethod
    def of(cls, options: Options) -> RunOptions:
        """The travelling part of these options."""
        rule = RetryRule.of(options.retry)
        return cls(rule, options.timeout, options.keep, options.keep_result, options.headers)

    def plain(self, only: Collection[str] | None = None) -> dict[str, object]:
        """As plain data: what differs from the defaults; or exactly the options named by `only`."""
        forms: dict[str, object] = {
            "retry": self.retry.plain(),
            "timeout": self.timeout and self.timeout.total_seconds(),
            "keep": self.keep.total_seconds(),
            "keep_result": self.keep_result and self.keep_result.total_seconds(),
            "headers": dict(self.headers),
        }
        if only is not None:
            return {word: form for word, form in forms.items() if word in only}
        plain = _PLAIN_DEFAULTS
        return {word: form for word, form in forms.items() if form != plain[word]}

    def overridden(self, plain: Mapping[str, object]) -> RunOptions:
        """These options, with those of a body over them. Raises ValueError for what is no such option."""
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
            hint = f"; `{word}` belongs to one call: .using({word}=…)" if word in WORDS["call"] else ""
            raise OptionError(f"{owner}: there is no option {word!r}{hint or nearest(word, list(WORDS[level]))}")
        try:
            checked[word] = _CHECKS[word](value, level)
        except (ValueError, OverflowError) as error:
            raise OptionError(f"{owner}: {word} {error}") from error
    if checked.get("at") is not None and checked.get("delay") is not None:
        raise OptionError(f"{owner}: give delay or at, not both")
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
    keep_result = found.get("keep_result", settings.result_age)
    return Options(
        queue=queue,
        priority=found.get("priority", settings.priority),  # type: ignore[arg-type]  # checked, as all below
        delay=found.get("delay"),  # type: ignore[arg-type]
        at=found.get("at"),  # type: ignore[arg-type]
        expires=found.get("expires"),  # type: ignore[arg-type]
        retry=retry if isinstance(retry, Retry) else Retry(attempts=settings.attempts),
        timeout=found.get("timeout", settings.timeout),  # type: ignore[arg-type]
        keep=keep_age(found.get("keep"), settings),
        keep_result=settings.result_age if keep_result is True else keep_result or None,  # type: ignore[arg-type]
        headers=headers,
        job_id=found.get("job_id"),  # type: ignore[arg-type]
    )


def keep_age(keep: object, settings: Settings) -> timedelta:
    """How long a finished job is kept, from a checked `keep` option."""
    if isinstance(keep, Keep) and keep.age is not None:
        return timedelta(seconds=seconds(keep.age))
    return settings.finished_age


def check_queue_name(name: object, _level: str = "") -> str:
    """A queue's name: text of 1 to 200 bytes without braces or control characters."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"must be a name of 1 to {MAX_QUEUE_BYTES} bytes, not {name!r}")
    if any(c in "{}" or ord(c) < 32 or ord(c) == 127 for c in name):
        raise ValueError(f"must not contain braces or control characters: {name!r}")
    if len(_utf8(name)) > MAX_QUEUE_BYTES:
        raise ValueError(f"must be at most {MAX_QUEUE_BYTES} bytes, not {len(_utf8(name))}: {name[:40]!r}…")
    return name


def check_moment(value: object, _level: str = "") -> datetime:
    """An aware datetime, at most a year ahead."""
    if not isinstance(value, datetime):
        raise ValueError(f"must be a datetime with a time zone, not {value!r}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(
            f"is naive ({value.isoformat()}): say which zone is meant, as datetime.now(UTC) or .replace(tzinfo=…) do"
        )
    if (value - datetime.now(UTC)).total_seconds() > MAX_DELAY:
        raise ValueError(f"is over a year ahead: {value.isoformat()}")
    return value


def check_span(value: object, _level: str = "") -> timedelta:
    """0 seconds to a year, from a number or a timedelta."""
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise ValueError(f"must be a number of seconds or a timedelta, not {value!r}")
    if not 0 <= seconds(value) <= MAX_DELAY:
        raise ValueError(f"must be from 0 seconds to a year, not {value!r}")
    return timedelta(seconds=seconds(value))


def check_priority(value: object, _level: str = "") -> int:
    """A whole number from -100 to 100."""
    if isinstance(value, bool) or not isinstance(value, int) or not MIN_PRIORITY <= value <= MAX_PRIORITY:
        raise ValueError(f"must be a whole number from {MIN_PRIORITY} to {MAX_PRIORITY} (higher first), not {value!r}")
    return value


def _check_retry(value: object, level: str) -> Retry:
    if not isinstance(value, Retry):
        raise ValueError(f"must be a Retry(attempts=…, backoff=…), not {value!r}")
    if level == "call" and not value.travels:
        raise ValueError("with a callable backoff belongs to the task's declaration: code cannot travel with one call")
    return value


def _check_timeout(value: object, _level: str) -> timedelta | None:
    if value is None:
        return None
    span = check_span(value)
    if not span:
        raise ValueError("must be more than 0 seconds; None means no limit")
    return span


def _check_keep(value: object, level: str) -> Keep:
    keep = value if isinstance(value, Keep) else Keep(age=check_span(value))
    if keep.count is not None:
        if level in ("task", "call"):
            raise ValueError(
                "has a count: counts belong to queues (app.queue(…, keep=Keep(count=…))), give an age here"
            )
        if isinstance(keep.count, bool) or not isinstance(keep.count, int) or keep.count < 0:
            raise ValueError(f"count must be a whole number from 0, not {keep.count!r}")
    return Keep(keep.count, None if keep.age is None else check_span(keep.age))


def _check_keep_result(value: object, _level: str) -> bool | timedelta:
    return value if isinstance(value, bool) else check_span(value)


def _check_expires(value: object, _level: str) -> timedelta | datetime:
    return check_moment(value) if isinstance(value, datetime) else check_span(value)


def _check_headers(value: object, _level: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise ValueError(f"must map text to text, not {value!r}")
    size = sum(len(_utf8(k)) + len(_utf8(v)) for k, v in value.items())
    if size > MAX_HEADERS_BYTES:
        raise ValueError(f"must be at most {MAX_HEADERS_BYTES} bytes altogether, not {size}")
    return dict(value)


def check_job_id(value: object, _level: str = "") -> str:
    """Text of 1 to 100 bytes without control characters or spaces."""
    if not isinstance(value, str) or not 1 <= len(_utf8(value)) <= MAX_JOB_ID_BYTES:
        raise ValueError(f"must be text of 1 to {MAX_JOB_ID_BYTES} bytes, not {value!r}")
    if any(ord(c) <= 32 or ord(c) == 127 for c in value):
        raise ValueError(f"must not contain spaces or control characters: {value!r}")
    return value


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_CHECKS: Mapping[str, Callable[[object, str], object]] = {
    "queue": check_queue_name,
    "priority": check_priority,
    "delay": check_span,
    "at": check_moment,
    "expires": _check_expires,
    "retry": _check_retry,
    "timeout": _check_timeout,
    "keep": _check_keep,
    "keep_result": _check_keep_result,
    "headers": _check_headers,
    "job_id": check_job_id,
}

_PLAIN_DEFAULTS = RunOptions().plain(only=("retry", "timeout", "keep", "keep_result", "headers"))
