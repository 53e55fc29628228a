"""The settings of an app: one frozen value, from keywords, from the environment, or from defaults, in that order."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta

from taskforge.errors import SettingsError

ENV_PREFIX = "TASKFORGE_"
DURABILITIES = ("default", "disk", "replicated")
#: What means "no limit" where a setting comes as text.
NONE_WORDS = ("none", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each is a keyword of `Taskforge(…)` and an environment variable TASKFORGE_<NAME>.

    Spans are given as seconds or as timedelta. Every bound exists so that nothing grows without end.
    """

    #: Where jobs wait: sqlite:///file.db, memory://, redis://…, redis+sentinel://… Unset: a file of this user, named
    #: after the app.
    broker: str | None = None
    #: Keeps apps on one server apart. Unset: tf:<app name>.
    prefix: str | None = None
    #: What a confirmed call survives: default, disk or replicated (docs/durability.md).
    durability: str = "default"
    #: How long a call from user code keeps trying to reach the broker.
    call_timeout: timedelta = timedelta(seconds=10)

    #: A claim's life unless extended; keepers extend four times per lease.
    lease: timedelta = timedelta(seconds=60)
    #: Runs of a job, the first included, where no retry is declared.
    attempts: int = 4
    #: Longest run of a job; None (in text: none) for no limit.
    timeout: timedelta | None = timedelta(minutes=30)
    #: Of jobs that do not say: -100 to 100, higher first.
    priority: int = 0
    #: Deliveries of one job that may end without a word before it is dead.
    max_crashes: int = 3
    #: How long a job waits for a worker that knows its task.
    unknown_task_age: timedelta = timedelta(days=1)

    #: Bytes of a job's arguments.
    payload_limit: int = 256 * 1024
    #: Bytes of one result.
    result_limit: int = 64 * 1024
    #: How long a result is kept.
    result_age: timedelta = timedelta(hours=1)
    #: Results kept per queue, in number and in bytes.
    result_count: int = 100_000
    result_bytes: int = 256 * 1024 * 1024
    #: How long, and how many per queue, finished jobs without a result are kept.
    finished_age: timedelta = timedelta(hours=1)
    finished_count: int = 1_000
    #: How long, and how many per queue, dead jobs are kept.
    dead_age: timedelta = timedelta(days=30)
    dead_count: int = 10_000

    #: Slots for plain functions in a process.
    threads: int = 8
    #: Slots for async def tasks in a process.
    slots: int = 100
    #: What a worker may claim beyond its free slots: as much as it has shown to finish in this time. 0: nothing.
    claim_ahead: timedelta = timedelta(milliseconds=20)
    #: How long running jobs may go on at shutdown.
    grace: timedelta = timedelta(seconds=25)
    #: How long a run that was asked to stop may take to end.
    stop_grace: timedelta = timedelta(seconds=3)
    #: A worker that the broker has not answered for so long ends: it may be this machine that is cut off.
    deaf_after: timedelta = timedelta(seconds=60)
    #: What waits should be done within this time: by it the number of processes is chosen that are wanted.
    drain_time: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        """Refuse what is out of range, by name."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.name)

    @classmethod
    def load(cls, given: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
        """From keywords first, the environment second, defaults last. Unknown keywords are refused with the nearest
        name.

        Raises SettingsError for a value that does not fit, naming where it came from.
        """
        environ = os.environ if environ is None else environ
        names = [field.name for field in fields(cls)]
        values: dict[str, object] = {}
        for name in names:
            variable = ENV_PREFIX + name.upper()
            if name in given:
                values[name] = _fit(name, given[name], name)
            elif variable in environ:
                values[name] = _fit(name, environ[variable], variable)
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise SettingsError(f"there is no setting {unknown[0]!r}{nearest(unknown[0], names)}")
        return cls(**values)  # type: ignore[arg-type]  # _fit has checked each against its field

    def changed(self, given: Mapping[str, object]) -> Settings:
        """A copy with these values, checked the same way."""
        fitted = {name: _fit(name, value, name) for name, value in given.items() if name in asdict(self)}
        unknown = sorted(set(given) - set(fitted))
        if unknown:
            raise SettingsError(f"there is no setting {unknown[0]!r}{nearest(unknown[0], list(asdict(self)))}")
        return replace(self, **fitted)  # type: ignore[arg-type]  # _fit has checked each against its field


def nearest(word: str, known: Iterable[str]) -> str:
    """The tail of an error about a misspelt word: the nearest known one, or all of them."""
    words = sorted(set(known))
    close = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are: {', '.join(words)}"


def listed(name: str, words: Sequence[str]) -> tuple[str, ...]:
    """These words; a text on its own is refused, for it would be taken letter by letter."""
    if isinstance(words, str):
        raise SettingsError(f"{name} must be a list, not a text: {name}=[{words!r}]")
    return tuple(words)


_SPANS = frozenset(f.name for f in fields(Settings) if isinstance(f.default, timedelta))
_NUMBERS = frozenset(f.name for f in fields(Settings) if isinstance(f.default, int))
_YEAR = timedelta(days=366)
_RANGES: dict[str, tuple[timedelta, timedelta] | tuple[int, int]] = {
    "call_timeout": (timedelta(milliseconds=100), timedelta(seconds=60)),
    "lease": (timedelta(milliseconds=500), timedelta(days=1)),
    "attempts": (1, 1_000_000),
    "timeout": (timedelta(milliseconds=1), _YEAR),
    "priority": (-100, 100),
    "max_crashes": (1, 1_000),
    "unknown_task_age": (timedelta(0), _YEAR),
    # Larger ones would keep a broker busy for longer than a call may take.
    "payload_limit": (1_024, 16 * 1024 * 1024),
    "result_limit": (0, 16 * 1024 * 1024),
    "result_age": (timedelta(0), _YEAR),
    "result_count": (0, 10_000_000),
    "result_bytes": (0, 1 << 40),
    "finished_age": (timedelta(0), _YEAR),
    "finished_count": (0, 10_000_000),
    "dead_age": (timedelta(seconds=1), 10 * _YEAR),
    "dead_count": (1, 10_000_000),
    "threads": (0, 1_000),
    "slots": (0, 100_000),
    "claim_ahead": (timedelta(0), timedelta(seconds=1)),
    "grace": (timedelta(0), timedelta(days=1)),
    "stop_grace": (timedelta(0), timedelta(hours=1)),
    "deaf_after": (timedelta(seconds=1), timedelta(days=1)),
    "drain_time": (timedelta(seconds=1), timedelta(days=1)),
}


def _fit(name: str, value: object, source: str) -> object:
    """The value as its field's type, from itself or from text, and within its range. `source` is where it stood."""
    if name in _SPANS:
        value = _span(name, value, source)
    elif name in _NUMBERS:
        value = _number(value, source)
    elif value is not None and not isinstance(value, str):
        raise SettingsError(f"{source} must be text, not {value!r}")
    _check(name, value, source)
    return value


def _check(name: str, value: object, source: str) -> None:
    if name == "durability" and value not in DURABILITIES:
        raise SettingsError(f"{source} must be one of {', '.join(DURABILITIES)}, not {value!r}")
    if name not in _RANGES or value is None:
        return
    low, high = _RANGES[name]
    if not low <= value <= high:  # type: ignore[operator]  # both are spans, or both numbers
        raise SettingsError(f"{source} must be from {_said(low)} to {_said(high)}, not {_said(value)}")


def _span(name: str, value: object, source: str) -> timedelta | None:
    if name == "timeout" and (value is None or (isinstance(value, str) and value.lower() in NONE_WORDS)):
        return None
    if isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return timedelta(seconds=float(value))
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{source} must be a number of seconds, or a timedelta, not {value!r}") from error


def _number(value: object, source: str) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        return int(value)
    except ValueError as error:
        raise SettingsError(f"{source} must be a whole number, not {value!r}") from error


def _said(value: object) -> str:
    return f"{value.total_seconds():g} s" if isinstance(value, timedelta) else f"{value}"
