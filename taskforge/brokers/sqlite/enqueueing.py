"""How jobs enter a queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from taskforge.brokers import moments
from taskforge.brokers.protocol import BATCH
from taskforge.brokers.sqlite import verbs
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.ending import forget
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import NewJob

_ARRIVING = verbs.Input("arriving", "id", "body", "rank", "due", "expires")


def bring(db: sqlite3.Connection, jobs: Sequence[NewJob], now: int) -> list[int]:
    """Fill `arriving` with these jobs; the moments at which some of them fall due."""
    values: list[verbs.Value] = []
    dues: list[int] = []
    for job_id, _, body, priority, delay, at, expires in jobs:
        due = None
        if delay is not None or at is not None:
            due = _due(delay, at, now)
            if due is not None:
                dues.append(due)
        values += (job_id, body, -priority, due, None if expires is None else _expires(expires, now))
    _ARRIVING.fill(db, values)
    return dues


def accept(call: Call, queue: Queue, jobs: Sequence[NewJob]) -> list[int]:
    """Add the jobs that the queue does not know yet; the positions of those it does, or that come twice."""
    repeated: list[int] = []
    seen: set[str] = set()
    for start in range(0, len(jobs), BATCH):
        batch = jobs[start : start + BATCH]
        known = _known(call, queue, batch) | seen
        new: list[NewJob] = []
        for position, job in enumerate(batch, start):
            if job.id in known:
                repeated.append(position)
                continue
            known.add(job.id)
            seen.add(job.id)
            new.append(job)
        if new:
            _add(call, queue, new)
    return repeated


def _add(call: Call, queue: Queue, jobs: Sequence[NewJob]) -> None:
    dues = bring(call.db, jobs, call.now)
    ring_if_earlier(call, queue, dues)
    if len(dues) < len(jobs):
        call.rung.add(queue.name)
    (last,) = call.db.execute("select coalesce(max(seq), 0) from jobs").fetchone()
    verbs.run(call.db, "accept", queue=queue.id, now=call.now, last=last)


def ring_if_earlier(call: Call, queue: Queue, dues: Sequence[int]) -> None:
    """Ring when one of the jobs about to be delayed will be the first to fall due: who waits then waits too long."""
    if dues:
        select = "select min(due) from jobs where queue = ? and state = 'delayed'"
        earliest = call.db.execute(select, (queue.id,)).fetchone()[0]
        if earliest is None or min(dues) < earliest:
            call.rung.add(queue.name)


def _known(call: Call, queue: Queue, jobs: Sequence[NewJob]) -> set[str]:
    """Ids that the queue knows. What has aged out is forgotten here, so that its id is free again."""
    bring(call.db, jobs, call.now)
    found = call.db.execute(
        "select j.seq, j.id, j.kept_until from arriving a cross join jobs j on j.queue = ? and j.id = a.id", (queue.id,)
    ).fetchall()
    call.db.execute("delete from arriving")
    aged = {seq for seq, _, kept_until in found if kept_until is not None and kept_until <= call.now}
    forget(call, queue, aged)
    return {job_id for seq, job_id, _ in found if seq not in aged}


def _due(delay: timedelta | None, at: datetime | None, now: int) -> int | None:
    """When a job falls due; None: now."""
    if delay is not None:
        due = now + moments.span(delay)
    elif at is not None:
        due = moments.moment(at)
    else:
        return None
    return due if due > now else None


def _expires(expires: timedelta | datetime, now: int) -> int:
    if isinstance(expires, timedelta):
        return now + moments.span(expires)
    return moments.moment(expires)
