"""How jobs leave a queue for a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from taskforge.brokers import moments
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.lists import marks
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import Delivery

_BEST = (
    "select j.seq, j.id, b.body, j.attempts, j.crashes, j.rank, j.enqueued "
    "from jobs j cross join bodies b on b.seq = j.seq "
    "where j.queue = ? and j.state = 'ready' order by j.rank, j.turn limit ?"
)
_CLAIM = (
    "update jobs set state = 'running', number = ?, lease = ?, started = ?, worker = ?, expires = null "
    "where seq in (select value from json_each(?))"
)

_Row = tuple[int, str, bytes, int, int, int, int]


def claim(call: Call, queue: Queue, want: int, room: int, worker: str, *, first: bool) -> list[Delivery]:
    """Take the best `want` ready jobs whose bodies fit into `room` bytes; the `first` of a call always does."""
    taken: list[_Row] = []
    best = call.db.execute(_BEST, (queue.id, want))
    for row in best:  # bodies are read one by one, so none is read in vain but the last
        room -= len(row[2])
        if room < 0 and (taken or not first):
            break
        taken.append(row)
    best.close()
    if not taken:
        return []
    queue.number = max(queue.number + 1, call.now)  # not only counted: a file that lost its last commits goes on higher
    seqs = json.dumps([row[0] for row in taken])
    call.db.execute(_CLAIM, (queue.number, call.now + call.lease, call.now, worker, seqs))
    return _deliveries(queue, queue.number, taken)


def still_held(call: Call, queue: Queue, number: int, ids: Sequence[str]) -> list[Delivery]:
    """Those deliveries of an earlier claim that hold their jobs yet."""
    held: list[_Row] = []
    for some, values in marks(ids):
        held += call.db.execute(
            "select j.seq, j.id, b.body, j.attempts, j.crashes, j.rank, j.enqueued from jobs j "
            "cross join bodies b on b.seq = j.seq "
            f"where j.queue = ? and j.id in {some} and j.state = 'running' and j.number = ?",
            (queue.id, *values, number),
        )
    order = {job: position for position, job in enumerate(ids)}
    return _deliveries(queue, number, sorted(held, key=lambda row: order[row[1]]))


def any_ready(call: Call, queue: Queue) -> bool:
    """Whether a worker that comes now would get a job."""
    select = "select exists(select 1 from jobs where queue = ? and state = 'ready')"
    return bool(call.db.execute(select, (queue.id,)).fetchone()[0])


def _deliveries(queue: Queue, number: int, rows: Iterable[_Row]) -> list[Delivery]:
    return [
        Delivery(queue.name, job, number, body, attempts, crashes, -rank, moments.stamped(enqueued))
        for _, job, body, attempts, crashes, rank, enqueued in rows
    ]
