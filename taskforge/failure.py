"""An exception as text: how a failure is kept once the exception itself is gone."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

#: Bytes (UTF-8) of a message and of a traceback that are kept: a job keeps several failures, a broker many jobs.
MESSAGE_BYTES = 1024
TRACEBACK_BYTES = 8 * 1024
#: A failure of more frames than this is listed without source lines, which cost some 10 µs a frame to find.
#: It leaves room for one that hit Python's usual recursion limit.
RICH_FRAMES = 1_500
#: Of such a failure: the errors that are listed, and for each the outermost and the innermost frames.
BARE_ERRORS, BARE_HEAD, BARE_TAIL = 8, 8, 16


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error as it is kept with a job: text that UTF-8 can carry, within the bounds above.

    `type` is the qualified name of its class, "builtins.OSError": the first name of its `lineage`.
    """

    type: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException, skip_frames: int = 0) -> ErrorText:
        """The text of an error, with what caused it. `skip_frames` outermost frames, the caller's own, are left out.

        Never raises: an error that cannot say what it is must still be recorded.
        """
        if isinstance(error, CarriedError):
            return error.text
        return cls(
            type=_name(type(error)),
            message=_bounded(_message(error), MESSAGE_BYTES),
            traceback=_bounded(_traceback(error, skip_frames), TRACEBACK_BYTES),
        )


class CarriedError(Exception):
    """An error of another process: what is kept of it, and the names of its classes."""

    def __init__(self, text: ErrorText, lineage: tuple[str, ...]) -> None:
        super().__init__(f"{text.type.removeprefix('builtins.')}: {text.message}")
        self.text, self.lineage = text, lineage


def lineage(error: BaseException) -> tuple[str, ...]:
    """The qualified names of an error's classes, nearest first, `object` left out: what retry rules match."""
    if isinstance(error, CarriedError):
        return error.lineage
    return tuple(_name(kind) for kind in type(error).__mro__[:-1])


def _name(kind: type) -> str:
    try:
        return _carried(f"{kind.__module__}.{kind.__qualname__}")
    except BaseException:  # a metaclass may do anything
        return "unknown"


def _message(error: BaseException) -> str:
    try:
        return str.__str__(str(error))  # `__str__` may return a subclass of str with methods of its own
    except BaseException as second:  # SystemExit too: `__str__` is a stranger's code, and this error must be kept
        return f"(its text is not known: __str__ raised {_name(type(second))})"


def _traceback(error: BaseException, skip_frames: int) -> str:
    try:
        start = error.__traceback__
        for _ in range(skip_frames):
            start = start.tb_next if start is not None else None
        if _is_huge(error):
            return _bare(error, start)
        return "".join(traceback.TracebackException(type(error), error, start, compact=True).format())
    except BaseException as second:
        note = f"(listed without source: formatting raised {_name(type(second))})\n"
    try:
        return _bare(error, error.__traceback__) + note
    except BaseException:
        return note


def _is_huge(error: BaseException) -> bool:
    """Whether an error and all that it grew from have more than RICH_FRAMES frames, an error counting as one."""
    waiting, seen, frames = [error], {id(error)}, 0
    while waiting:
        one = waiting.pop()
        frames += 1
        trace = one.__traceback__
        while trace is not None:
            frames, trace = frames + 1, trace.tb_next
            if frames > RICH_FRAMES:
                return True
        parts = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        for other in (one.__cause__, one.__context__, *parts):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return frames > RICH_FRAMES


def _bare(error: BaseException, start: TracebackType | None) -> str:
    """An error and its nearest causes, latest first, as places only. Runs no code of the error but its `__str__`."""
    lines: list[str] = []
    one: BaseException | None = error
    for _ in range(BARE_ERRORS):
        if one is None:
            break
        trace = start if one is error else one.__traceback__
        lines += ["Traceback (most recent call last, without source):\n", *_places(trace)]
        lines.append(f"{_name(type(one))}: {_bounded(_message(one), MESSAGE_BYTES)}\n")
        hidden = one.__cause__ is not None or one.__suppress_context__
        one = one.__cause__ if hidden else one.__context__
        if one is not None:
            lines.append("\nIt came from:\n\n")
    return "".join(lines) + ("(further errors are left out)\n" if one is not None else "")


def _places(trace: TracebackType | None) -> Iterator[str]:
    places: list[tuple[TracebackType, int]] = []
    while trace is not None:
        places.append((trace, trace.tb_lineno))
        trace = trace.tb_next
    left_out = len(places) - BARE_HEAD - BARE_TAIL
    for index, (place, line) in enumerate(places):
        if left_out > 0 and BARE_HEAD <= index < BARE_HEAD + left_out:
            if index == BARE_HEAD:
                yield f"  ({left_out} frames are left out)\n"
            continue
        code = place.tb_frame.f_code
        yield f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'


def _bounded(text: str, limit: int) -> str:
    """At most `limit` bytes of text: its head and its tail, and between them how much is missing."""
    if len(text) > 2 * limit:  # so that a text of megabytes is not encoded whole; the cut is counted in characters
        gap = len(text) - 2 * limit
        text, unread = text[:limit] + text[-limit:], gap
    else:
        unread = 0
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit and not unread:
        return data.decode("utf-8")
    note = f"\n[… about {len(data) + unread - limit} bytes left out …]\n"
    room = limit - len(note.encode("utf-8"))
    head, tail = data[: room // 2], data[len(data) - (room - room // 2) :]
    return head.decode("utf-8", "ignore") + note + tail.decode("utf-8", "ignore")


def _carried(text: str) -> str:
    """The text with what UTF-8 cannot carry (lone surrogates) written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
