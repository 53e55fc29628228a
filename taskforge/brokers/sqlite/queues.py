"""The row of a queue: its counters, and what it makes of the time."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from taskforge.brokers import moments
from taskforge.brokers.protocol import CLOCK_JUMP

_JUMP = moments.span(CLOCK_JUMP)
#: After a jump of the clock nothing is reclaimed for a quarter of a lease (one beat of the keepers) and this (ms).
_HOLD_EXTRA = 5_000
#: An empty queue that nobody touched for this long (ms) is forgotten.
_FORGOTTEN_AFTER = 24 * 3600 * 1000

_SAVE = (
    "update queues set seen = ?, hold = ?, swept = ?, turn = ?, number = ?, finished = ?, results = ?, dead = ?, "
    "cancelled = ?, result_bytes = ? where id = ?"
)
_COLUMNS = "seen, hold, swept, turn, number, finished, results, dead, cancelled, result_bytes, id"


@dataclass(slots=True)
class Queue:
    """A queue during one call. The fields after the name are the row's columns; schema.sql says what they mean."""

    name: str
    seen: int | None
    hold: int
    swept: int
    turn: int
    number: int
    finished: int
    results: int
    dead: int
    cancelled: int
    result_bytes: int
    id: int

    def next_turn(self) -> int:
        """The turn of a job that stands last from now on."""
        self.turn += 1
        return self.turn

    def see(self, db: sqlite3.Connection, now: int, lease: int) -> None:
        """Take notice of the time. After a jump, keepers get the chance to extend before anything is reclaimed."""
        seen, self.seen = self.seen, now
        if seen is None or seen <= now <= seen + _JUMP:
            return
        self.hold = now + lease // 4 + _HOLD_EXTRA
        if now < seen:
            too_far = "queue = ? and state = 'running' and lease > ?"
            db.execute(f"update jobs set lease = ? where {too_far}", (now + lease, self.id, now + lease))

    def shelve(self, shelf: str, records: int, result_bytes: int = 0) -> None:
        """Count ended records onto a shelf, or off it."""
        setattr(self, shelf, getattr(self, shelf) + records)
        self.result_bytes += result_bytes


def load(db: sqlite3.Connection, prefix: str, name: str) -> Queue | None:
    """The queue as the database has it."""
    row = db.execute(f"select {_COLUMNS} from queues where prefix = ? and name = ?", (prefix, name)).fetchone()
    return None if row is None else Queue(name, *row)


def create(db: sqlite3.Connection, prefix: str, name: str) -> Queue:
    """A new row for the queue."""
    db.execute("insert into queues(prefix, name, number) select ?, ?, number from meta", (prefix, name))
    queue = load(db, prefix, name)
    assert queue is not None
    return queue


def save(db: sqlite3.Connection, queue: Queue) -> None:
    """Write the counters back."""
    db.execute(_SAVE, (queue.seen, queue.hold, queue.swept, queue.turn, queue.number, queue.finished, queue.results,
                       queue.dead, queue.cancelled, queue.result_bytes, queue.id))  # fmt: skip


def waiting(db: sqlite3.Connection, queue: Queue) -> bool:
    """Whether a job is ready or delayed."""
    select = (
        "select exists(select 1 from jobs where queue = ?1 and state = 'ready') "
        "or exists(select 1 from jobs where queue = ?1 and state = 'delayed')"
    )
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
