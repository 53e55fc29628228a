"""The end of a job, whatever the way, and of its record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from taskforge.brokers.sqlite import senders
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import JobState

#: The most records that one step looks at in one call, so that no call holds the database for long.
STEP = 250
#: The most records that are removed for a bound in one call. More than a call can add, so that the bound is reached.
_TRIM = 1_000
#: An exchange looks for aged-out records this often per queue (ms).
_SWEEP_EVERY = 1_000
SHELVES = ("finished", "results", "dead", "cancelled")


class Ending(NamedTuple):
    """How one job ends. `keep` and `took` in milliseconds; `counts` spends an attempt."""

    seq: int
    state: JobState
    keep: int
    reason: str | None = None
    took: int | None = None
    counts: bool = False
    result: bytes | None = None

    @property
    def shelf(self) -> str:
        """Which bound of Retention counts the record."""
        if self.state is JobState.SUCCEEDED:
            return "finished" if self.result is None else "results"
        return str(self.state)


_END = (
    "update jobs set state = ?, shelf = ?, reason = ?, ended = ?, kept_until = ?, took = ?, result_bytes = ?, "
    "attempts = attempts + ?, retrying = 0, due = null, lease = null, worker = null, expires = null, stop = null "
    "where seq = ?"
)


def end(call: Call, queue: Queue, endings: Sequence[Ending]) -> None:
    """End these jobs. Every way a job ends comes through here."""
    if not endings:
        return
    call.db.executemany(_END, [_columns(call.now, ending) for ending in endings])
    results = [(ending.seq, ending.result) for ending in endings if ending.result is not None]
    if results:
        call.db.executemany("insert into results(seq, value) values(?, ?)", results)
    for shelf, records in Counter(ending.shelf for ending in endings).items():
        queue.shelve(shelf, records)
    queue.result_bytes += sum(len(result) for _, result in results)
    seqs = json.dumps([ending.seq for ending in endings])
    call.db.execute("delete from progress where seq in (select value from json_each(?))", (seqs,))
    tell_waiters(call, seqs)
    _trim(call, queue)


def _columns(now: int, ending: Ending) -> tuple[object, ...]:
    """The parameters of _END."""
    seq, state, keep, reason, took, counts, result = ending
    size = None if result is None else len(result)
    return state, ending.shelf, reason, now, now + keep, took, size, counts, seq


def tell_waiters(call: Call, seqs: str) -> None:
    """Note who is to be told that these jobs (a JSON list) ended, and strike them off."""
    told = call.db.execute(
        "select w.channel, j.id from json_each(?) e cross join waiters w on w.seq = e.value "
        "cross join jobs j on j.seq = w.seq",
        (seqs,),
    ).fetchall()
    for channel, job_id in told:
        call.told[channel].append(job_id)
    if told:
        call.db.execute("delete from waiters where seq in (select value from json_each(?))", (seqs,))


def forget(call: Call, queue: Queue, seqs: Sequence[int]) -> None:
    """Remove records for good."""
    if not seqs:
        return
    these = json.dumps(seqs)
    per_shelf = call.db.execute(
        "select shelf, count(*), coalesce(sum(result_bytes), 0) from jobs "
        "where seq in (select value from json_each(?)) and shelf is not null group by shelf",
        (these,),
    ).fetchall()
    for shelf, records, result_bytes in per_shelf:
        queue.shelve(shelf, -records, -result_bytes)
    for table in ("jobs", "bodies", "results", "errors", "progress", "waiters"):
        call.db.execute(f"delete from {table} where seq in (select value from json_each(?))", (these,))


def sweep(call: Call, queue: Queue) -> None:
    """Remove what has aged out: records, and senders that call no more. Goes on at the next call if a bound cut it."""
    if 0 <= call.now - queue.swept < _SWEEP_EVERY:
        return
    aged = call.db.execute(
        f"select seq from jobs where queue = ? and shelf in {SHELVES} and kept_until <= ? limit ?",
        (queue.id, call.now, STEP),
    ).fetchall()
    forget(call, queue, [seq for (seq,) in aged])
    senders.drop_old(call, queue, STEP)
    if len(aged) < STEP:
        queue.swept = call.now


def _trim(call: Call, queue: Queue) -> None:
    """Remove the soonest to expire of each shelf that is over its bound."""
    retention = call.retention(queue)
    bounds = (retention.finished, retention.results, retention.dead, retention.finished)
    for shelf, bound in zip(SHELVES, bounds, strict=True):
        over = getattr(queue, shelf) - bound
        if over > 0:
            forget(call, queue, [seq for seq, _ in _soonest(call, queue, shelf, min(over, _TRIM))])
    over = queue.result_bytes - retention.result_bytes
    if over <= 0:
        return
    gone = []
    for seq, size in _soonest(call, queue, "results", _TRIM):
        if over <= 0:
            break
        gone.append(seq)
        over -= size
    forget(call, queue, gone)


def _soonest(call: Call, queue: Queue, shelf: str, limit: int) -> list[tuple[int, int]]:
    """The records of a shelf that are the next to expire, with the sizes of their results."""
    return call.db.execute(
        "select seq, result_bytes from jobs where queue = ? and shelf = ? order by kept_until limit ?",
        (queue.id, shelf, limit),
    ).fetchall()
