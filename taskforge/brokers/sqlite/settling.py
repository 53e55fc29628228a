"""What a settlement does to its job, if its delivery still holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from taskforge.brokers import moments
from taskforge.brokers.protocol import ERRORS_BYTES
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.ending import Ending, end
from taskforge.brokers.sqlite.enqueueing import ring_if_earlier
from taskforge.brokers.sqlite.lists import marks
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import JobState, NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement


class Running(NamedTuple):
    """A running job: the delivery that holds it, its place's turn, and its stop mark."""

    id: str
    seq: int
    number: int
    turn: int
    stop: int | None


class Return(NamedTuple):
    """Where a requeued job goes: ready at `turn`, or delayed until `due`."""

    state: str
    turn: int
    due: int | None
    retrying: bool
    counts: bool
    seq: int


_RETURN = (
    "update jobs set state = ?, turn = ?, due = ?, retrying = ?, attempts = attempts + ?, "
    "lease = null, started = null, worker = null where seq = ?"
)


def settle(call: Call, queue: Queue, batch: Sequence[tuple[int, Settlement]], then: list[NewJob]) -> list[int]:
    """Settle deliveries of one queue; the indexes of those that came too late. Accepted acks add to `then`."""
    held = running(call, queue, [settlement.delivery.id for _, settlement in batch])
    refused: list[int] = []
    endings: list[Ending] = []
    returns: list[Return] = []
    for index, settlement in batch:
        job = held.get(settlement.delivery.id)
        if job is None or job.number != settlement.delivery.number:
            refused.append(index)
            continue
        del held[job.id]
        if isinstance(settlement, Ack):
            then.extend(settlement.then)
        elif settlement.error is not None:
            _keep_error(call, job.seq, settlement.error)
        if isinstance(settlement, Requeue) and job.stop is None:
            returns.append(_return(call, queue, job, settlement))
        else:
            endings.append(_ending(job, settlement))
    _give_back(call, queue, returns)
    end(call, queue, endings)
    return refused


def running(call: Call, queue: Queue, ids: Sequence[str]) -> dict[str, Running]:
    """Those of the jobs that are running."""
    found = {}
    for some, values in marks(ids):
        select = f"select id, seq, number, turn, stop from jobs where queue = ? and id in {some} and state = 'running'"
        for row in call.db.execute(select, (queue.id, *values)):
            found[row[0]] = Running(*row)
    return found


def _ending(job: Running, settlement: Settlement) -> Ending:
    keep = moments.span(settlement.keep)
    match settlement:
        case Ack(result=None, took=took):
            return Ending(job.seq, JobState.SUCCEEDED, keep, took=moments.span(took))
        case Ack(result=result, keep_result=keep_result, took=took):
            keep = moments.span(keep_result)
            return Ending(job.seq, JobState.SUCCEEDED, keep, took=moments.span(took), result=result)
        case Bury(reason=reason, took=took, counts=counts):
            return Ending(job.seq, JobState.DEAD, keep, reason, moments.span(took), counts)
        case Cancel(reason=reason, took=took):
            return Ending(job.seq, JobState.CANCELLED, keep, reason, moments.span(took))
        case Requeue(counts=counts):  # it was asked to stop meanwhile
            return Ending(job.seq, JobState.CANCELLED, keep, "requested", None, counts)


def _return(call: Call, queue: Queue, job: Running, settlement: Requeue) -> Return:
    if settlement.delay is None:
        return Return("ready", job.turn, None, False, settlement.counts, job.seq)
    delay = moments.span(settlement.delay)
    if delay <= 0:
        return Return("ready", queue.next_turn(), None, False, settlement.counts, job.seq)
    return Return("delayed", job.turn, call.now + delay, settlement.counts, settlement.counts, job.seq)


def _give_back(call: Call, queue: Queue, returns: Sequence[Return]) -> None:
    if not returns:
        return
    dues = [back.due for back in returns if back.due is not None]
    ring_if_earlier(call, queue, dues)
    if len(dues) < len(returns):
        call.stirred.add(queue.name)
    call.db.executemany(_RETURN, returns)


def _keep_error(call: Call, seq: int, error: bytes) -> None:
    """Add an error text to those of the job, or put it in their place when they become too many."""
    kept = call.db.execute("select coalesce(sum(length(error)), 0) from errors where seq = ?", (seq,)).fetchone()[0]
    if kept + len(error) > ERRORS_BYTES:
        call.db.execute("delete from errors where seq = ?", (seq,))
    call.db.execute("insert into errors(seq, error) values(?, ?)", (seq, error))
