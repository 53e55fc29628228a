"""How much waits in a queue, and for how long."""

from __future__ import annotations

import sqlite3

from taskforge.brokers.inspecting import Pressure
from taskforge.brokers.moments import MS
from taskforge.brokers.sqlite.queues import Queue

#: Since when the first in line of each priority has been ready: one step of the index for each.
_OLDEST = """
with recursive first(rank) as (
    select min(rank) from jobs where queue = ?1 and state = 'ready'
    union all
    select (select min(rank) from jobs where queue = ?1 and state = 'ready' and rank > first.rank)
        from first where first.rank is not null
)
select min((
    select coalesce(since, enqueued) from jobs where queue = ?1 and state = 'ready' and rank = first.rank
    order by turn limit 1
)) from first where rank is not null
"""
_FALLEN = "select count(*), min(due) from jobs where queue = ? and state = 'delayed' and due <= ?"
_SOON = "select count(*) from jobs where queue = ? and state = 'delayed' and due > ? and due <= ?"
_IN_STATE = "select count(*) from jobs where queue = ? and state = '{}'"


def pressure(db: sqlite3.Connection, queue: Queue, now: int, within: int) -> Pressure:
    """The pressure in a queue; `within` in milliseconds."""
    (ready,) = db.execute(_IN_STATE.format("ready"), (queue.id,)).fetchone()
    (running,) = db.execute(_IN_STATE.format("running"), (queue.id,)).fetchone()
    fallen, due = db.execute(_FALLEN, (queue.id, now)).fetchone()
    (soon,) = db.execute(_SOON, (queue.id, now, now + within)).fetchone()
    (since,) = db.execute(_OLDEST, (queue.id,)).fetchone()
    known = [moment for moment in (since, due) if moment is not None]
    oldest = max(0, now - min(known)) * MS if known else None
    return Pressure(ready + fallen, oldest, soon, running)
