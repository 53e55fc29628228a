"""How jobs, settlements and demands are written for the scripts: rows, packed with msgpack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import msgpack

from taskforge.brokers.moments import MS, moment, span
from taskforge.brokers.protocol import BrokerSettings, Demand, Retention
from taskforge.job import NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement

#: What msgpack makes of a row. False stands for "none": nil would leave a hole in a Lua table.
Cell: TypeAlias = "str | bytes | int | bool | Sequence[Cell]"
Row: TypeAlias = "list[Cell]"

_ACK, _REQUEUE, _BURY, _CANCEL = 1, 2, 3, 4


def pack(cells: Sequence[Cell]) -> bytes:
    """As one argument of a script. Redis's msgpack knows no type for bytes apart from text."""
    return msgpack.packb(cells, use_bin_type=False)


def job_row(job: NewJob) -> Row:
    """A row of include/accept."""
    row: Row = [job.id, job.body, job.priority]
    if job.delay is None and job.at is None and job.expires is None:
        return row
    row.append(False if job.delay is None else span(job.delay))
    row.append(False if job.at is None else moment(job.at))
    row.append(span(job.expires) if isinstance(job.expires, timedelta) else False)
    row.append(moment(job.expires) if isinstance(job.expires, datetime) else False)
    return row


def retention_row(retention: Retention) -> Row:
    """How much of its past a queue keeps."""
    return [retention.finished, retention.results, retention.result_bytes, retention.dead]


def settlement_row(settlement: Settlement) -> Row:
    """A row of include/settle."""
    delivery = settlement.delivery
    row: Row
    match settlement:
        case Ack():  # the way of nearly all: worth half a microsecond
            if settlement.result is None:
                return [delivery.id, delivery.number, _ACK, settlement.keep // MS, settlement.took // MS]
            row = [delivery.id, delivery.number, _ACK, settlement.keep_result // MS, settlement.took // MS]
            row += ["", settlement.result]
        case Requeue():
            row = [delivery.id, delivery.number, _REQUEUE, span(settlement.keep), False, "", False]
            delay = -1 if settlement.delay is None else max(0, span(settlement.delay))
            row += [_error(settlement), int(settlement.counts), delay]
        case Bury():
            row = [delivery.id, delivery.number, _BURY, span(settlement.keep), span(settlement.took)]
            row += [settlement.reason, False, _error(settlement), int(settlement.counts)]
        case Cancel():
            row = [delivery.id, delivery.number, _CANCEL, span(settlement.keep), span(settlement.took)]
            row += [settlement.reason, False, _error(settlement), 0]
    return row


def _error(settlement: Requeue | Bury | Cancel) -> Cell:
    return False if settlement.error is None else settlement.error


@dataclass
class _Part:
    """What one queue is asked: the settlements of its deliveries, by row and by their index in the caller's list."""

    pools: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)


class ExchangeRequest:
    """An exchange, taken apart by queue: the demanded queues in the order of the demand, then the others."""

    def __init__(self, demand: Demand, settlements: Sequence[Settlement], settings: BrokerSettings) -> None:
        self._parts: dict[str, _Part] = {}
        self._then: list[tuple[str, int, NewJob]] = []
        for queue, pools in demand.queues:
            self._part(queue).pools = [pool + 1 for pool in pools]
        for index, settlement in enumerate(settlements):
            queue = settlement.delivery.queue
            part = self._part(queue)
            part.rows.append(settlement_row(settlement))
            part.indexes.append(index)
            if isinstance(settlement, Ack) and settlement.then:
                self._then += [(queue, len(part.rows), job) for job in settlement.then]
        for _, _, job in self._then:
            self._part(job.queue)
        self._free = [max(free, 0) for free in demand.free]
        self._settings = settings

    @property
    def queues(self) -> list[str]:
        """The queues that the call touches, in the order of the script's keys."""
        return list(self._parts)

    def packed(self) -> bytes:
        """The script's argument `request`."""
        retention = self._settings.retention
        place = {queue: number for number, queue in enumerate(self._parts, 1)}
        parts: Row = [[part.rows, part.pools, retention_row(retention(queue))] for queue, part in self._parts.items()]
        then: Row = [[place[queue], row, place[job.queue], job_row(job)] for queue, row, job in self._then]
        return pack([parts, self._free, then, span(self._settings.keep_expired)])

    def indexes(self, queue: str) -> list[int]:
        """Where the settlements of this queue stood in the caller's list."""
        return self._parts[queue].indexes

    def _part(self, queue: str) -> _Part:
        part = self._parts.get(queue)
        if part is None:
            part = self._parts[queue] = _Part()
        return part
