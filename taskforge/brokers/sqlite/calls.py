"""One call on the broker: a transaction, the time it happens at, and who is woken once it is committed."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from taskforge.brokers import moments
from taskforge.brokers.protocol import BrokerSettings, Retention
from taskforge.brokers.sqlite.bells import Bells
from taskforge.brokers.sqlite.connections import Connections
from taskforge.brokers.sqlite.queues import Queue, create, load, save, waiting


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
        #: channel → ids of jobs that ended.
        self.told: defaultdict[str, list[str]] = defaultdict(list)
        self._settings = settings
        self._queues: dict[str, Queue] = {}

    def queue(self, name: str) -> Queue:
        """The queue of this name, made if there is none. Its counters are written back when the call ends."""
        queue = self._queues.get(name)
        if queue is None:
            prefix = self._settings.prefix
            queue = load(self.db, prefix, name) or create(self.db, prefix, name)
            queue.see(self.db, self.now, self.lease)
            self._queues[name] = queue
        return queue

    def retention(self, queue: Queue) -> Retention:
        """How much the queue keeps."""
        return self._settings.retention(queue.name)

    def finish(self) -> None:
        """Write the counters of the queues back, and decide which bells ring."""
        for name in self.stirred - self.rung:
            if waiting(self.db, self._queues[name]):
                self.rung.add(name)
        for queue in self._queues.values():
            save(self.db, queue)


class Calls:
    """Begins calls."""

    def __init__(self, connections: Connections, bells: Bells, settings: BrokerSettings) -> None:
        self.prefix, self.bells = settings.prefix, bells
        self._connections, self._settings = connections, settings

    @contextmanager
    def change(self) -> Iterator[Call]:
        """A call that is committed at the end of the `with`; an error inside undoes all of it."""
        with self._connections.write() as db:
            # The time is read with the write lock held: among processes it then never seems to go back.
            call = Call(db, self.now(), self._settings)
            yield call
            call.finish()
        if call.rung:
            self.bells.ring([self.bell(name) for name in call.rung])
        for channel, ids in call.told.items():
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
        clock = self._settings.clock
        return time.time_ns() // 1_000_000 if clock is None else moments.moment(clock.now())
