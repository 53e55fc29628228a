"""How jobs, settlements and demands are written for the scripts: lists, packed with msgpack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import msgpack

from taskforge.brokers.moments import MS, moment, span
from taskforge.brokers.protocol import Demand, Retention
from taskforge.job import NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement

#: What msgpack makes of a row. False stands for "none": nil would leave a hole in a Lua table.
Cell: TypeAlias = "str | bytes | int | bool | Sequence[Cell]"
Row: TypeAlias = "list[Cell]"

_ACK, _REQUEUE, _BURY, _CANCEL = 1, 2, 3, 4


class _Packers(threading.local):
    """One a thread, kept: it costs more to make than to use."""

    def __init__(self) -> None:
        self.pack = msgpack.Packer(use_bin_type=False).pack  # Redis's msgpack knows no type for bytes apart from text


_packers = _Packers()


def pack(cells: Sequence[Cell]) -> bytes:
    """As one argument of a script."""
    return _packers.pack(cells)


def pack_jobs(jobs: Sequence[NewJob]) -> bytes:
    """The script's argument `jobs`."""
    row: Row = []
    for job in jobs:
        add_job(row, job)
    return pack(row)


def add_job(row: Row, job: NewJob) -> None:
    """What include/accept takes of a job, put at the end of a row."""
    job_id, _, body, priority, delay, at, expires = job
    if delay is None and at is None and expires is None:
        row += (job_id, body, priority)
        return
    more: Row = [priority, False if delay is None else span(delay), False if at is None else moment(at)]
    more.append(span(expires) if isinstance(expires, timedelta) else False)
    more.append(moment(expires) if isinstance(expires, datetime) else False)
    row += (job_id, body, more)


def retention_row(retention: Retention) -> Row:
    """How much of its past a queue keeps."""
    return [retention.finished, retention.results, retention.result_bytes, retention.dead]


def _how(settlement: Settlement) -> Row:
    """What include/settle takes of a settlement that is more than a plain ack."""
    if isinstance(settlement, Ack):
        took = settlement.took // MS
        if settlement.result is None:
            return [_ACK, settlement.keep // MS, took]
        return [_ACK, settlement.keep_result // MS, took, "", settlement.result]
    keep = span(settlement.keep)
    row: Row
    match settlement:
        case Requeue(delay=delay, counts=counts, crashed=crashed):
            row = [_REQUEUE, keep, False, "", False, int(counts), -1 if delay is None else max(0, span(delay))]
        case Bury(reason=reason, took=lasted, counts=counts, crashed=crashed):
            row = [_BURY, keep, span(lasted), reason, False, int(counts), 0]
        case Cancel(reason=reason, took=lasted):
            row, crashed = [_CANCEL, keep, span(lasted), reason, False, 0, 0], False
    if settlement.error is not None or crashed:
        row.append(False if settlement.error is None else settlement.error)
    if crashed:
        row.append(1)
    return row


class Part:
    """What one queue is asked: settlements, with their indexes in the caller's list; its pools, and how many ahead."""

    __slots__ = ("ahead", "given", "indexes", "keep", "pools")

    def __init__(self, pools: Sequence[int] = (), ahead: int = 0) -> None:
        self.pools = [pool + 1 for pool in pools]
        self.ahead = ahead
        self.given: Row = []
        self.indexes: list[int] = []
        self.keep: timedelta | None = None

    def row(self, retention: Retention) -> Row:
        """As the script takes it."""
        keep = 0 if self.keep is None else self.keep // MS
        return [self.given, keep, self.pools, self.ahead, retention_row(retention)]


class ExchangeRequest:
    """An exchange, taken apart by queue: the demanded queues in the order of the demand, then the others."""

    def __init__(self, demand: Demand, settlements: Sequence[Settlement]) -> None:
        ahead = demand.ahead
        self.parts = {queue: Part(pools, ahead.get(queue, 0)) for queue, pools in demand.queues}
        self._free = demand.free
        self._then: list[tuple[str, int, NewJob]] = []
        for index, settlement in enumerate(settlements):
            self._add(index, settlement)
        for _, _, job in self._then:
            if job.queue not in self.parts:
                self.parts[job.queue] = Part()

    def packed(self, retention: Callable[[str], Retention], keep_expired: int) -> bytes:
        """The script's argument `request`."""
        parts: Row = [part.row(retention(queue)) for queue, part in self.parts.items()]
        then: Row = []
        if self._then:
            place = {queue: number for number, queue in enumerate(self.parts, 1)}
            for queue, position, job in self._then:
                then += (place[queue], position, place[job.queue])
                add_job(then, job)
        return pack([parts, self._free, then, keep_expired])

    def _add(self, index: int, settlement: Settlement) -> None:
        """Settle this, too."""
        delivery = settlement.delivery
        queue = delivery.queue
        part = self.parts.get(queue)
        if part is None:
            part = self.parts[queue] = Part()
        part.indexes.append(index)
        if isinstance(settlement, Ack):
            _, keep, took, result, _, then = settlement
            if part.keep is None:
                part.keep = keep
            plain = result is None and (keep is part.keep or keep == part.keep)  # as nearly all are
            part.given += (delivery.id, delivery.number, took // MS if plain else _how(settlement))
            if then:
                self._then += [(queue, len(part.indexes), job) for job in then]
        else:
            part.given += (delivery.id, delivery.number, _how(settlement))
