"""Learns that jobs of a file have ended: the Waiter."""

from __future__ import annotations

from taskforge.brokers.sqlite import records
from taskforge.brokers.sqlite.bells import Ear
from taskforge.brokers.sqlite.calls import Call, Calls
from taskforge.brokers.sqlite.polling import PollingEar
from taskforge.job import JobRecord

#: How many waiters a job keeps; the oldest give way and find out by reading again.
_MOST = 32


class SqliteWaiter:
    """See taskforge.brokers.inspecting.Waiter for what each method promises."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._ear: Ear
        try:
            self._ear = calls.bells.ear()
        except OSError:  # no FIFO can be made there
            self._ear = PollingEar(calls.changes, calls.registered)

    def watch(self, queue: str | None, job_id: str) -> list[JobRecord]:
        self._ear.check()
        prefix = self._calls.prefix
        with self._calls.change() as call:
            if queue is None:
                found = records.find(call.db, call.now, prefix, job_id)
            else:
                record = records.get(call.db, call.now, prefix, queue, job_id)
                found = [] if record is None else [record]
            living = [record for record in found if not record.state.ended]
            for record in living:
                _register(call, prefix, record, self._ear.channel)
        for record in living:
            self._ear.expect(record.id)
        return found

    def listen(self, timeout: float) -> list[str]:
        return self._ear.listen(timeout)

    def close(self) -> None:
        self._ear.close()
        self._calls.forget_channel(self._ear.channel)


def _register(call: Call, prefix: str, record: JobRecord, channel: str) -> None:
    (seq,) = call.db.execute(
        "select j.seq from queues q cross join jobs j on j.queue = q.id where q.prefix = ? and q.name = ? and j.id = ?",
        (prefix, record.queue, record.id),
    ).fetchone()
    call.db.execute("insert or ignore into waiters(seq, channel) values(?, ?)", (seq, channel))
    call.db.execute(
        "delete from waiters where n in (select n from waiters where seq = ? order by n desc limit -1 offset ?)",
        (seq, _MOST),
    )
