"""How jobs leave a queue for a worker."""

from __future__ import annotations

import json
from collections.abc import Sequence

from taskforge.brokers.sqlite import moments
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.lists import marks
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import Delivery

# Each query gives one row. Of many rows each would be a step for which sqlite3 lets the GIL go, and must win it back from
# the threads that run jobs, while the database is locked.
_FACTS = "json_group_array(json_array(seq, id, attempts, crashes, rank, enqueued, size))"
_BEST = (
    f"select {_FACTS} from (select j.*, length(b.body) size from jobs j cross join bodies b on b.seq = j.seq "
    "where j.queue = ? and j.state = 'ready' order by j.rank, j.turn limit ?)"
)
_CLAIM = (
    "update jobs set state = 'running', number = ?, lease = ?, started = ?, worker = ?, expires = null "
    "where seq in (select value from json_each(?))"
)
_BODIES = (
    "select cast(group_concat(body, '') as blob) from "
    "(select b.body from json_each(?) e cross join bodies b on b.seq = e.value order by e.key)"
)

#: seq, id, attempts, crashes, rank, enqueued, size of the body
_Facts = tuple[int, str, int, int, int, int, int]


def claim(call: Call, queue: Queue, want: int, room: int, worker: str, *, first: bool) -> list[Delivery]:
    """Take the best `want` ready jobs whose bodies fit into `room` bytes; the `first` of a call always does."""
    taken: list[_Facts] = []
    for facts in json.loads(call.db.execute(_BEST, (queue.id, want)).fetchone()[0]):
        room -= facts[6]
        if room < 0 and (taken or not first):
            break
        taken.append(facts)
    if not taken:
        return []
    queue.number += 1
    seqs = json.dumps([facts[0] for facts in taken])
    call.db.execute(_CLAIM, (queue.number, call.now + call.lease, call.now, worker, seqs))
    return _deliveries(call, queue, queue.number, taken)


def still_held(call: Call, queue: Queue, number: int, ids: Sequence[str]) -> list[Delivery]:
    """Those deliveries of an earlier claim that hold their jobs yet."""
    held: list[_Facts] = []
    for some, values in marks(ids):
        select = (
            f"select {_FACTS} from (select j.*, length(b.body) size from jobs j cross join bodies b on b.seq = j.seq "
            f"where j.queue = ? and j.id in {some} and j.state = 'running' and j.number = ?)"
        )
        held += json.loads(call.db.execute(select, (queue.id, *values, number)).fetchone()[0])
    order = {job: position for position, job in enumerate(ids)}
    return _deliveries(call, queue, number, sorted(held, key=lambda facts: order[facts[1]]))


def any_ready(call: Call, queue: Queue) -> bool:
    """Whether a worker that comes now would get a job."""
    select = "select exists(select 1 from jobs where queue = ? and state = 'ready')"
    return bool(call.db.execute(select, (queue.id,)).fetchone()[0])


def _deliveries(call: Call, queue: Queue, number: int, jobs: Sequence[_Facts]) -> list[Delivery]:
    seqs = json.dumps([facts[0] for facts in jobs])
    bodies: bytes = call.db.execute(_BODIES, (seqs,)).fetchone()[0] or b""
    deliveries, start = [], 0
    for _, job, attempts, crashes, rank, enqueued, size in jobs:
        body = bodies[start : start + size]
        start += size
        at = moments.stamped(enqueued)
        deliveries.append(Delivery(queue.name, job, number, body, attempts, crashes, -rank, at))
    return deliveries
