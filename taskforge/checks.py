"""What each option must be: one check per option, each giving the value in its one form."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from taskforge.errors import OptionError
from taskforge.isolate import Isolate, checked_isolate
from taskforge.job import MAX_PRIORITY, MIN_PRIORITY
from taskforge.retry import MAX_DELAY, Retry, Seconds, seconds

#: A queue's name on Redis is part of twenty key names; 200 bytes are ample for a person.
MAX_QUEUE_BYTES = 200
MAX_JOB_ID_BYTES = 100
MAX_HEADERS_BYTES = 8 * 1024


#: Unicode's categories of control characters and of surrogates, which UTF-8 cannot carry.
_CONTROL = ("Cc", "Cs")


@dataclass(frozen=True, slots=True)
class Keep:
    """How long finished jobs without a result are kept: by `age`, and on a queue also the newest `count` at most."""

    count: int | None = None
    age: Seconds | None = None


def check_queue_name(name: object, _level: str = "") -> str:
    """A queue's name: text of 1 to 200 bytes without braces or control characters."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"must be a name of 1 to {MAX_QUEUE_BYTES} bytes, not {name!r}")
    if any(c in "{}" or unicodedata.category(c) in _CONTROL for c in name):
        raise ValueError(f"must not contain braces or control characters: {name!r}")
    if len(_utf8(name)) > MAX_QUEUE_BYTES:
        raise ValueError(f"must be at most {MAX_QUEUE_BYTES} bytes, not {len(_utf8(name))}: {name[:40]!r}…")
    return name


def checked_queue_name(name: object) -> str:
    """The name, or an OptionError that says what is wrong with it."""
    try:
        return check_queue_name(name)
    except ValueError as error:
        raise OptionError(f"a queue's name {error}") from None


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
    if level != "task" and not value.travels:
        raise ValueError("with a callable backoff belongs to a task's declaration, for code cannot travel with a job")
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


def _check_isolate(value: object, _level: str) -> Isolate | None:
    return checked_isolate(value)


def _check_flag(value: object, _level: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {value!r}")
    return value


def check_job_id(value: object, _level: str = "") -> str:
    """Text of 1 to 100 bytes without control characters or spaces."""
    if not isinstance(value, str) or not 1 <= len(_utf8(value)) <= MAX_JOB_ID_BYTES:
        raise ValueError(f"must be text of 1 to {MAX_JOB_ID_BYTES} bytes, not {value!r}")
    if any(c.isspace() or unicodedata.category(c) in _CONTROL for c in value):
        raise ValueError(f"must not contain spaces or control characters: {value!r}")
    return value


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


CHECKS: Mapping[str, Callable[[object, str], object]] = {
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
    "isolate": _check_isolate,
    "interrupt": _check_flag,
    "at_most_once": _check_flag,
    "job_id": check_job_id,
}
