"""How jobs are read back."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from taskforge.brokers.moments import stamped, stamped_or_none
from taskforge.job import Counts, JobRecord, JobState

_SELECT = (
    "select j.seq, j.id, q.name, j.state, coalesce(j.body, b.body), j.rank, j.attempts, j.crashes, j.enqueued, "
    "j.reason, j.due, j.expires, j.started, j.lease, j.worker, j.stop, j.ended, j.kept_until, {result}, p.value "
    "from queues q cross join jobs j on j.queue = q.id left join bodies b on b.seq = j.seq "
    "left join results r on r.seq = j.seq left join progress p on p.seq = j.seq "
    "where q.prefix = ? and {where} and (j.kept_until is null or j.kept_until > ?)"
)
_ORDER = {JobState.READY: "j.rank, j.turn", JobState.DELAYED: "j.due, j.rank, j.id", JobState.RUNNING: "j.lease, j.id"}
_LATEST_FIRST = "j.ended desc, j.id desc"


def get(db: sqlite3.Connection, now: int, prefix: str, queue: str, job_id: str) -> JobRecord | None:
    """One job of one queue."""
    where = "q.name = ? and j.id = ?"
    found = _read(db, _SELECT.format(result="r.value", where=where), (prefix, queue, job_id, now))
    return found[0] if found else None


def find(db: sqlite3.Connection, now: int, prefix: str, job_id: str) -> list[JobRecord]:
    """The job of this id in each known queue."""
    where = "q.known is not null and j.id = ?"
    return _read(db, _SELECT.format(result="r.value", where=where) + " order by q.name", (prefix, job_id, now))


def page(
    db: sqlite3.Connection, now: int, prefix: str, queue: str, state: JobState, offset: int, limit: int
) -> list[JobRecord]:
    """Jobs in one state, in the Inspector's order, without results."""
    # The state is spelled out: only then do the indexes over one state's jobs serve.
    select = _SELECT.format(result="null", where=f"q.name = ? and j.state = '{state.value}'")
    order = f" order by {_ORDER.get(state, _LATEST_FIRST)} limit ? offset ?"
    return _read(db, select + order, (prefix, queue, now, limit, offset))


def counts(db: sqlite3.Connection, now: int, prefix: str, queue: str) -> Counts:
    """How many jobs stand in each state."""
    rows = db.execute(
        "select j.state, count(*), sum(j.retrying) from queues q cross join jobs j on j.queue = q.id "
        "where q.prefix = ? and q.name = ? and (j.kept_until is null or j.kept_until > ?) group by j.state",
        (prefix, queue, now),
    ).fetchall()
    return Counts(**{state: count for state, count, _ in rows}, retrying=sum(retrying for *_, retrying in rows))


def _read(db: sqlite3.Connection, select: str, values: Sequence[str | int]) -> list[JobRecord]:
    rows = db.execute(select, values).fetchall()
    errors = _errors(db, (row[0] for row in rows))
    return [_record(row, tuple(errors[row[0]])) for row in rows]


def _errors(db: sqlite3.Connection, seqs: Iterable[int]) -> defaultdict[int, list[bytes]]:
    """The error texts of jobs, oldest first."""
    errors: defaultdict[int, list[bytes]] = defaultdict(list)
    select = "select seq, error from errors where seq in (select value from json_each(?)) order by n"
    found = db.execute(select, (json.dumps(list(seqs)),))
    for seq, error in found:
        errors[seq].append(error)
    return errors


def _record(row: tuple[Any, ...], errors: tuple[bytes, ...]) -> JobRecord:
    (_, job_id, queue, state, body, rank, attempts, crashes, enqueued, reason, due, expires,
     started, lease, worker, stop, ended, kept_until, result, progress) = row  # fmt: skip
    return JobRecord(
        id=job_id,
        queue=queue,
        state=JobState(state),
        body=body,
        priority=-rank,
        attempts=attempts,
        crashes=crashes,
        enqueued_at=stamped(enqueued),
        reason=reason,
        due_at=stamped_or_none(due),
        expires_at=stamped_or_none(expires),
        started_at=stamped_or_none(started),
        lease_until=stamped_or_none(lease),
        worker=worker,
        stop_requested=stop is not None,
        ended_at=stamped_or_none(ended),
        kept_until=stamped_or_none(kept_until),
        result=result,
        progress=progress,
        errors=errors,
    )
