"""The floor on SQLite."""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.floor.jobs import pack
from benchmarks.floor.redis_broker import Job, Settlement

SCHEMA, VERBS = (Path(__file__).with_name(name).read_text() for name in ("schema.sql", "verbs.sql"))
PRAGMAS = ("page_size=4096", "journal_mode=wal", "synchronous=normal", "cache_size=-16000", "temp_store=memory")
QUEUE = 1
#: A single job needs no view.
ENQUEUE_ONE = """
insert or ignore into jobs(id, queue, rank, body)
select ?1, ?2, ?3, ?4 where not exists (select 1 from finished where id = ?1)
"""
#: The answer of an exchange in one row.
CLAIMED = """
select (select count(*) from settled), count(*), group_concat(seq), group_concat(number), group_concat(id, ''),
       group_concat(length(body)), cast(group_concat(body, '') as blob)
from (select c.seq, c.number, j.id, j.body from claimed c cross join jobs j on j.seq = c.seq order by c.n)
"""


class SqliteBroker:
    """What floor.worker.Worker needs of a broker; besides, `enqueue`."""

    def __init__(self, path: str, lease_ms: int = 60_000, keep: int = 1_000) -> None:
        self._lease, self._keep, self.refused = lease_ms, keep, 0
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256, timeout=30)
        for pragma in PRAGMAS:
            self._db.execute(f"pragma {pragma}")
        self._db.executescript(SCHEMA + VERBS)
        if not os.path.exists(f"{path}-bell"):
            os.mkfifo(f"{path}-bell")
        self.fd = os.open(f"{path}-bell", os.O_RDWR | os.O_NONBLOCK)
        # Writers queue at a file lock: SQLite's own waiting is a sleep of 1, 2, 5, 10 … 100 ms.
        self._gate = os.open(f"{path}-gate", os.O_RDWR | os.O_CREAT)
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._out.setblocking(False)

    def enqueue(self, jobs: Sequence[tuple[str, bytes]]) -> None:
        """Accept jobs; a known id changes nothing."""
        if len(jobs) == 1:
            job_id, data = jobs[0]
            self._write(ENQUEUE_ONE, (job_id, QUEUE, data[0], data))
        else:
            sizes, at = [], 0
            for _, data in jobs:
                sizes.append(data[0] << 44 | at << 20 | len(data))
                at += len(data)
            ids = "".join([job[0] for job in jobs]).encode()
            self._write(
                "insert into enqueue values(?, ?, ?, ?)", (QUEUE, ids, str(sizes), b"".join([j[1] for j in jobs]))
            )
        self._ring()

    def exchange(self, batch: Sequence[Settlement], want: int) -> list[Job]:
        """Settle and claim in one statement."""
        now = int(time.time() * 1000)
        settle = "[" + ",".join([str(each[0][0] << 12 | each[1]) for each in batch]) + "]"
        row = (QUEUE, settle, want, now, now + self._lease, self._keep)
        self._write("insert into exchange values(?, ?, ?, ?, ?, ?)", row)
        settled, n, seqs, numbers, ids, lengths, data = self._db.execute(CLAIMED).fetchone()
        self.refused += len(batch) - settled
        self._push([each for each in batch if each[2] is not None], now)
        if not n:
            return []
        if n == want:
            self._ring()  # perhaps more is left: pass the bell on
        jobs, at, view = [], 0, memoryview(data)
        rows = zip(seqs.split(","), numbers.split(","), lengths.split(","), strict=True)
        for i, (seq, number, length) in enumerate(rows):
            end = at + int(length)
            jobs.append(((int(seq), ids[22 * i : 22 * i + 22]), int(number), view[at:end]))
            at = end
        return jobs

    def arm(self) -> None:
        """Listen for the bell: the FIFO is always open."""

    def woken(self, want: int) -> list[Job]:
        """The bell rang: claim, unless another worker was faster."""
        try:
            os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        return self.exchange([], want)

    def left(self) -> dict[str, int]:
        """How many jobs stand where; to check a run."""
        names = ("jobs", "ready", "running", "delayed", "finished")
        return {name: self._db.execute(f"select count(*) from {name}").fetchone()[0] for name in names}

    def close(self) -> None:
        """Let the files go."""
        self._db.close()
        self._out.close()
        os.close(self.fd)
        os.close(self._gate)

    def _write(self, sql: str, values: tuple[Any, ...]) -> None:
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            self._db.execute(sql, values)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _ring(self) -> None:
        try:  # noqa: SIM105  # suppress() would cost a microsecond on the hot path
            os.write(self.fd, b"1")  # wakes a waiting worker; stays in the pipe when none waits
        except BlockingIOError:
            pass

    def _push(self, batch: Sequence[Settlement], now: int) -> None:
        """Results. A second transaction, which a product must not have: a floor may be lower than allowed."""
        for (_, job_id), _, result, reply in batch:
            value = pack(result)
            self._write("insert or replace into results values(?, ?, ?)", (job_id, value, now + 3_600_000))
            if reply:
                with suppress(OSError):  # nobody waits any more; the result is in the table
                    self._out.sendto(job_id.encode() + value, reply)
