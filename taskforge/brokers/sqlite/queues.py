"""The row of a queue: its counters, and what it makes of the time."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from taskforge.brokers import moments
from taskforge.brokers.protocol import CLOCK_JUMP

_JUMP = moments.span(CLOCK_JUMP)
#: After a jump of the clock nothing is reclaimed for a quarter of a lease (one beat of the keepers) and this (ms).
_HOLD_EXTRA = 5_000
#: An empty queue that nobody touched for this long (ms) is forgotten.
_FORGOTTEN_AFTER = 24 * 3600 * 1000


class Queue(NamedTuple):
    """A queue during one call. The fields after the name are columns of its row; schema.sql says what they mean."""

    name: str
    id: int
    seen: int | None
    hold: int
    swept: int


def load(db: sqlite3.Connection, prefix: str, name: str) -> Queue | None:
    """The queue as the database has it."""
    select = "select id, seen, hold, swept from queues where prefix = ? and name = ?"
    row = db.execute(select, (prefix, name)).fetchone()
    return None if row is None else Queue(name, *row)


def create(db: sqlite3.Connection, prefix: str, name: str) -> Queue:
    """A new row for the queue."""
    db.execute("insert into queues(prefix, name, number) select ?, ?, number from meta", (prefix, name))
    queue = load(db, prefix, name)
    assert queue is not None
    return queue


def see(db: sqlite3.Connection, queue: Queue, now: int, lease: int) -> Queue:
    """Take notice of the time. After a jump, keepers get the chance to extend before anything is reclaimed."""
    hold = queue.hold
    if queue.seen is not None and not queue.seen <= now <= queue.seen + _JUMP:
        hold = now + lease // 4 + _HOLD_EXTRA
    if queue.seen is not None and now < queue.seen:
        too_far = "queue = ? and state = 'running' and lease > ?"
        db.execute(f"update jobs set lease = ? where {too_far}", (now + lease, queue.id, now + lease))
    db.execute("update queues set seen = ?, hold = ? where id = ?", (now, hold, queue.id))
    return queue._replace(hold=hold)


def next_turn(db: sqlite3.Connection, queue: Queue, count: int = 1) -> int:
    """The turn of the job that stands last from now on; of `count` such jobs, the first one's."""
    take = "update queues set turn = (select last from turns where queue = id) + ? where id = ? returning turn"
    (turn,) = db.execute(take, (count, queue.id)).fetchone()
    return int(turn) - count + 1


def waiting(db: sqlite3.Connection, queue: Queue) -> bool:
    """Whether a job is ready or delayed."""
    select = "select wary is not null or due is not null from standing where queue = ?"
    return bool(db.execute(select, (queue.id,)).fetchone()[0])


def known(db: sqlite3.Connection, prefix: str) -> list[str]:
    """The announced queues, sorted."""
    rows = db.execute("select name from queues where prefix = ? and known is not null order by name", (prefix,))
    return [name for (name,) in rows]


def announce(db: sqlite3.Connection, queue: Queue, now: int) -> None:
    """Make the queue a known one."""
    db.execute("update queues set known = ? where id = ?", (now, queue.id))


def forget_idle(db: sqlite3.Connection, prefix: str, now: int) -> list[str]:
    """Drop the queues that are empty and were not used for a day; their names. meta remembers how far they counted."""
    idle = db.execute(
        "select id, name, number from queues q where prefix = ? and max(coalesce(seen, 0), coalesce(known, 0)) <= ? "
        "and not exists (select 1 from jobs where queue = q.id)",
        (prefix, now - _FORGOTTEN_AFTER),
    ).fetchall()
    for queue, _, number in idle:
        db.execute("update meta set number = max(number, ?)", (number,))
        db.execute("delete from senders where queue = ?", (queue,))
        db.execute("delete from queues where id = ?", (queue,))
    return [name for _, name, _ in idle]
