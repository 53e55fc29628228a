"""How a run, and how it ended, travel between a pen and its children."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from taskforge.errors import DecodeError
from taskforge.failure import CarriedError, ErrorText, lineage
from taskforge.job import Delivery, NewJob
from taskforge.outcome import (
    Dropped,
    Failed,
    GivenUp,
    HandedBack,
    Outcome,
    Packed,
    Postponed,
    Unfit,
)
from taskforge.run import Said


def outcome_to_plain(outcome: Outcome, skip_frames: int = 0) -> list[object]:
    """As plain data. The `skip_frames` outermost frames of an error's traceback are left out."""

    def said(error: BaseException) -> list[object]:
        text = ErrorText.of(error, skip_frames if error.__traceback__ else 0)
        return [text.type, text.message, text.traceback, list(lineage(error))]

    match outcome:
        case Packed(result):
            return ["packed", result]
        case Failed(error, reason):
            return ["failed", said(error), reason]
        case Postponed(delay, counts, error):
            return ["postponed", said(error), delay, counts]
        case GivenUp(error, reason):
            return ["given up", said(error), reason]
        case Dropped(reason, dropped):
            return ["dropped", said(dropped) if dropped else None, reason]
        case Unfit(error, reason):
            return ["unfit", said(error), reason]
        case HandedBack():
            return ["handed back"]
        case _:
            raise ValueError(f"not how a run ends in a child: {outcome!r}")


def outcome_from_plain(plain: object) -> Outcome:
    """The opposite of `outcome_to_plain`. Raises DecodeError for anything else."""
    match plain:
        case ["packed", (bytes() | None) as result]:
            return Packed(result)
        case ["failed", error, str(reason)]:
            return Failed(_error(error), reason)
        case ["postponed", error, timedelta() as delay, bool(counts)]:
            return Postponed(delay, counts, _error(error))
        case ["given up", error, str(reason)]:
            return GivenUp(_error(error), reason)
        case ["dropped", error, str(reason)]:
            return Dropped(reason, None if error is None else _error(error))
        case ["unfit", error, str(reason)]:
            return Unfit(_error(error), reason)
        case ["handed back"]:
            return HandedBack()
        case _:
            raise DecodeError(f"not how a run ends: {plain!r}")


def jobs_from_plain(plain: object) -> list[NewJob]:
    """Jobs that a run wants enqueued, each as the list of its fields. Raises DecodeError for anything else."""
    match plain:
        case [*jobs]:
            return [_job(job) for job in jobs]
        case _:
            raise DecodeError(f"not a list of jobs: {plain!r}")


def progress_from_plain(plain: object) -> Said:
    """How far a run is, from the list of its parts. Raises DecodeError for anything else."""
    match plain:
        case [(int() | float()) as done, (int() | float() | None) as total, str(note), bytes(checkpoint)]:
            return done, total, note, checkpoint
        case _:
            raise DecodeError(f"not how far a run is: {plain!r}")


def delivery_from_plain(plain: Sequence[object]) -> Delivery:
    """A delivery from the list of its fields. Raises DecodeError for another number of them."""
    if len(plain) != len(Delivery._fields):
        raise DecodeError(f"not a delivery: {len(plain)} fields")
    # No pattern of the types here: this is on every run's path, and the other end is the same program.
    return Delivery(*cast("tuple[str, str, int, bytes, int, int, int, datetime]", plain))


def _job(plain: object) -> NewJob:
    match plain:
        case [
            str(id),
            str(queue),
            bytes(body),
            int(priority),
            (timedelta() | None) as delay,
            (datetime() | None) as at,
            (timedelta() | datetime() | None) as expires,
        ]:
            return NewJob(id, queue, body, priority, delay, at, expires)
        case _:
            raise DecodeError("not a job")


def _error(plain: object) -> CarriedError:
    match plain:
        case [str(kind), str(message), str(traceback), [*names]]:
            return CarriedError(ErrorText(kind, message, traceback), tuple(map(str, names)))
        case _:
            raise DecodeError(f"not an error: {plain!r}")
