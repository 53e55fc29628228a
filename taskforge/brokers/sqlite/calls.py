"""One call on the broker: when it happens, its transaction, and who is woken once it is committed."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import TypeVar

from taskforge.brokers import moments
from taskforge.brokers.protocol import BrokerSettings
from taskforge.brokers.sqlite import verbs
from taskforge.brokers.sqlite.bells import Bells
from taskforge.brokers.sqlite.connections import Connections
from taskforge.brokers.sqlite.queues import Queue, create, load, see, waiting

A = TypeVar("A")


class Call:
    """A changing call under way."""

    def __init__(self, db: sqlite3.Connection, now: int, settings: BrokerSettings) -> None:
        self.db, self.now = db, now
        self.lease = moments.span(settings.lease)
        self.keep_expired = moments.span(settings.keep_expired)
        #: Queues whose bell rings: a job came, or the next due time moved nearer.
        self.rung: set[str] = set()
        #: Queues whose bell rings if, at the end of the call, there is still work in them for others.
        self.stirred: set[str] = set()
        self.told: list[tuple[str, str]] = []
        #: Names of workers, and what each is to be told (see register.Attention).
        self.nudged: list[tuple[str, str]] = []
        self._settings = settings
        self._queues: dict[str, Queue] = {}
        verbs.run(db, "afresh", x=0)

    def queue(self, name: str) -> Queue:
        """The queue of this name, made if there is none."""
        queue = self._queues.get(name)
        if queue is None:
            prefix = self._settings.prefix
            queue = load(self.db, prefix, name) or create(self.db, prefix, name)
            queue = self._queues[name] = see(self.db, queue, self.now, self.lease)
        return queue

    def finish(self) -> None:
        """Decide which bells ring, and who is told."""
        for name in self.stirred - self.rung:
            if waiting(self.db, self._queues[name]):
                self.rung.add(name)
        self.told = self.db.execute("select channel, id from told").fetchall()

    def bounds(self, queue: Queue) -> dict[str, int]:
        """How much the queue keeps, as the scripts take it."""
        return bounds(self._settings, queue.name)


class Calls:
    """Begins calls."""

    def __init__(self, connections: Connections, bells: Bells, settings: BrokerSettings) -> None:
        self.prefix, self.bells, self.settings = settings.prefix, bells, settings
        self.alone = connections.alone
        self._connections = connections

    @contextmanager
    def change(self) -> Iterator[Call]:
        """A call that is committed at the end of the `with`; an error inside undoes all of it."""
        with self._connections.write() as db:
            # The time is read with the write lock held: among processes it then never seems to go back.
            call = Call(db, self.now(), self.settings)
            yield call
            call.finish()
        self.spread(call.rung, call.told)
        for name, word in call.nudged:
            self.bells.tell(self.attention(name), [word])

    def spread(self, rung: Iterable[str], told: Iterable[tuple[str, str]]) -> None:
        """Ring the bells of these queues, and tell channels of the ends of jobs."""
        if rung:
            self.bells.ring([self.bell(name) for name in rung])
        ids_of: defaultdict[str, list[str]] = defaultdict(list)
        for channel, job_id in told:
            ids_of[channel].append(job_id)
        for channel, ids in ids_of.items():
            if not self.bells.tell(channel, ids):
                self.forget_channel(channel)

    @contextmanager
    def read(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A connection that sees one state, and the time."""
        with self._connections.read() as db:
            yield db, self.now()

    def bell(self, queue: str) -> str:
        """The name of a queue's bell, apart from those of other apps on the file."""
        return f"{self.prefix}\0{queue}"

    def attention(self, name: str) -> str:
        """The channel of a worker's ear: any process can tell it from the name, and it is a file's name."""
        return f"wa{blake2b(self.bell(name).encode(), digest_size=8).hexdigest()}"

    def changes(self) -> object:
        """A value that differs after any change of the database."""
        return self._connections.changes()

    def registered(self, channel: str) -> set[str]:
        """The jobs whose end this channel waits for."""
        with self._connections.read() as db:
            select = "select j.id from waiters w cross join jobs j on j.seq = w.seq where channel = ?"
            return {job_id for (job_id,) in db.execute(select, (channel,))}

    def forget_channel(self, channel: str) -> None:
        """Tell nobody there again."""
        with self._connections.write() as db:
            db.execute("delete from waiters where channel = ?", (channel,))

    def now(self) -> int:
        """Unix milliseconds."""
        clock = self.settings.clock
        return time.time_ns() // 1_000_000 if clock is None else moments.moment(clock.now())

    def given_now(self) -> int | None:
        """The time for a script: None, its own reading, unless a clock was handed in."""
        return None if self.settings.clock is None else self.now()


def bounds(settings: BrokerSettings, queue: str) -> dict[str, int]:
    """How much a queue keeps, as the scripts take it."""
    keep = settings.retention(queue)
    return {
        "most_finished": keep.finished,
        "most_results": keep.results,
        "most_result_bytes": keep.result_bytes,
        "most_dead": keep.dead,
    }
