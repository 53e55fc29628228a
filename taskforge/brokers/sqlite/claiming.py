"""How jobs leave a queue for a worker."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import accumulate, repeat
from typing import NamedTuple

from taskforge.brokers.moments import MS, stamped
from taskforge.brokers.sqlite import verbs
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.queues import Queue
from taskforge.brokers.sqlite.settling import held
from taskforge.errors import BrokerUnavailable
from taskforge.job import Delivery

#: What was claimed, as one row: a step for each job would let go of the interpreter lock each time. The last value is
#: how many of the bodies are long ones, which stand elsewhere.
CLAIMED = (
    "(select json_array(json_group_array(id), json_group_array(attempts), json_group_array(crashes), "
    "json_group_array(-rank), json_group_array(enqueued), json_group_array(size)) "
    "from (select * from claimed order by n)), "
    "(select cast(group_concat(body, '') as blob) from (select body from claimed order by n)), "
    "(select count(*) from claimed where body is null)"
)
_BODIES = (
    "select coalesce(c.body, b.body) from claimed c left join bodies b on c.body is null and b.seq = c.seq order by c.n"
)
#: Jobs that were enqueued together share a moment.
_stamped = lru_cache(256)(stamped)


class Standing(NamedTuple):
    """How a queue stands: the row of the view `standing`."""

    wary: int | None
    due: int | None
    lapse: int | None

    @property
    def ready(self) -> bool:
        """Whether a job is ready."""
        return self.wary is not None

    def next_due(self, now: int) -> timedelta | None:
        """How long until a delayed job falls due, or a lease runs out and may be reclaimed."""
        moments = [at for at in (self.due, self.lapse) if at is not None]
        return MS * max(0, min(moments) - now) if moments else None


class Wish(NamedTuple):
    """What a demand asks of one queue: so many jobs into free slots, so many in all; whether it starves if there are
    any.
    """

    slots: int
    room: int
    starving: bool

    @classmethod
    def of(cls, free: Sequence[int], pools: Sequence[int], ahead: int) -> Wish:
        """Of a queue whose jobs need these pools."""
        if not pools:
            return cls(0, 0, False)
        least = min([free[pool] for pool in pools])
        return cls(max(0, least), max(0, least + ahead), least + ahead <= 0)


def claim(call: Call, queue: Queue, worker: str, slots: int, want: int, room: int, *, first: bool) -> list[Delivery]:
    """Take the best `want` ready jobs whose bodies fit into `room` bytes; the `first` of a call always does. Those
    beyond `slots` are claimed ahead.
    """
    verbs.run(
        call.db, "claim", queue=queue.id, now=call.now, lease=call.lease, worker=worker, slots=slots, want=want,
        bytes=room, first=first,
    )  # fmt: skip
    select = f"select number, {CLAIMED} from queues where id = ?"
    return deliveries(call.db, queue.name, *call.db.execute(select, (queue.id,)).fetchone())


def still_held(call: Call, queue: Queue, number: int, ids: Sequence[str]) -> list[Delivery]:
    """Those deliveries of an earlier claim that hold their jobs yet."""
    select = (
        "select coalesce(j.body, b.body), j.attempts, j.crashes, -j.rank, j.enqueued "
        "from jobs j left join bodies b on b.seq = j.seq where j.seq = ?"
    )
    found: list[Delivery] = []
    for (job_id, _), job in held(call, queue, [(job_id, number) for job_id in ids]).items():
        body, attempts, crashes, priority, enqueued = call.db.execute(select, (job.seq,)).fetchone()
        found.append(Delivery(queue.name, job_id, number, body, attempts, crashes, priority, stamped(enqueued)))
    return found


def standing(db: sqlite3.Connection, queue: Queue) -> Standing:
    """How the queue stands."""
    return Standing(*db.execute("select wary, due, lapse from standing where queue = ?", (queue.id,)).fetchone())


def deliveries(
    db: sqlite3.Connection, queue: str, number: int, jobs: str, bodies: bytes | None, long: int
) -> list[Delivery]:
    """What was claimed, from the values of CLAIMED."""
    ids, attempts, crashes, priorities, enqueued, sizes = json.loads(jobs)
    if long:
        each = _bodies(db, queue)
    else:
        joined = bodies or b""
        each = [joined[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
    rows = zip(repeat(queue), ids, repeat(number), each, attempts, crashes, priorities, map(_stamped, enqueued))
    return list(map(Delivery._make, rows))


def _bodies(db: sqlite3.Connection, queue: str) -> list[bytes]:
    """The bodies of what was claimed, long ones among them.

    They are read after the claim: should this process have slept in between, for longer than the lease, they may be
    gone. The call sent again then brings what it still holds.
    """
    bodies = [body for (body,) in db.execute(_BODIES)]
    if None in bodies:
        raise BrokerUnavailable(f"queue {queue!r}: some of the claimed jobs were taken over before they were read")
    return bodies
