"""The usual calls: nothing is out of the ordinary, so what happens in a queue is one statement."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import timedelta

from taskforge.brokers import moments
from taskforge.brokers.protocol import BATCH, BATCH_BYTES, Demand, Exchange
from taskforge.brokers.sqlite import verbs
from taskforge.brokers.sqlite.calls import Calls, bounds
from taskforge.brokers.sqlite.claiming import CLAIMED, Standing, Wish, deliveries
from taskforge.brokers.sqlite.enqueueing import bring
from taskforge.brokers.sqlite.settling import hand_in
from taskforge.brokers.stamp import Stamp
from taskforge.job import Delivery, NewJob
from taskforge.settlement import Ack, Settlement

_TOLD = "(select json_group_array(json_array(channel, id)) from told)"
_ANSWER = f"select refused, more, starved, due, lapse, rings, now, {_TOLD}, number, {CLAIMED} from said"

_FIRST_DUE = (
    "select min(j.due) from queues q cross join jobs j on j.queue = q.id "
    "where q.prefix = ? and q.name = ? and j.state = 'delayed'"
)

#: What was settled in one queue, and the indexes of it.
_Batch = tuple[Sequence[Settlement], Sequence[int]]
_NONE: _Batch = ((), ())


def enqueue(calls: Calls, jobs: Sequence[NewJob], stamp: Stamp) -> bool:
    """Enqueue jobs of one queue that it does not know; False, and nothing has happened, if that is not the case."""
    if len({job.queue for job in jobs}) != 1:
        return False
    prefix, name, given_now = calls.prefix, jobs[0].queue, calls.given_now()

    def work(db: sqlite3.Connection) -> bool:
        dues = bring(db, jobs, calls.now())
        verbs.run(db, "enqueue", prefix=prefix, name=name, now=given_now, sender=stamp.sender, number=stamp.number)
        if len(dues) < len(jobs):
            return True
        (first,) = db.execute(_FIRST_DUE, (prefix, name)).fetchone()
        return first is None or min(dues) <= first

    rings = calls.alone(work)
    if rings:
        calls.bells.ring([calls.bell(name)])
    return rings is not None


def exchange(calls: Calls, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange | None:
    """Settle and claim; None, and nothing has happened, if in any of the queues something is out of the ordinary."""
    if any(isinstance(settlement, Ack) and settlement.then for settlement in settlements):
        return None
    batches = _by_queue(settlements)
    only_settled = [name for name in batches if all(name != demanded for demanded, _ in demand.queues)]
    parts = [*((name, None) for name in only_settled), *demand.queues]
    usual = UsualExchange(calls, demand, stamp)

    def work(db: sqlite3.Connection) -> bool:
        if len(parts) > 1:
            db.execute("begin immediate")
        for name, pools in parts:
            usual.part(db, name, pools, batches.get(name, _NONE))
        if len(parts) > 1:
            db.execute("commit")
        return True

    if not parts or calls.alone(work) is None:
        return None
    calls.spread(usual.rung, usual.told)
    return usual.answer()


class UsualExchange:
    """The record that the parts of one exchange share."""

    def __init__(self, calls: Calls, demand: Demand, stamp: Stamp) -> None:
        self.settings, self.prefix, self.given_now = calls.settings, calls.prefix, calls.given_now()
        self.demand, self.stamp = demand, stamp
        self.lease = moments.span(calls.settings.lease)
        self.free = list(demand.free)
        self.bytes = BATCH_BYTES
        self.deliveries: list[Delivery] = []
        self.refused: list[int] = []
        self.more = False
        self.starved: list[str] = []
        self.dues: list[timedelta] = []
        self.rung: list[str] = []
        self.told: list[tuple[str, str]] = []

    def part(self, db: sqlite3.Connection, name: str, pools: Sequence[int] | None, batch: _Batch) -> None:
        """What it does in one queue; `pools` None: settle only."""
        settlements, indexes = batch
        wish = Wish.of(self.free, pools or (), self.demand.ahead.get(name, 0))
        hand_in(db, settlements)
        verbs.run(
            db,
            "exchange",
            prefix=self.prefix,
            name=name,
            now=self.given_now,
            sender=self.stamp.sender,
            number=self.stamp.number,
            lease=self.lease,
            demanded=pools is not None,
            starving=wish.starving,
            slots=wish.slots,
            room=wish.room,
            want=min(wish.room, BATCH),
            bytes=self.bytes,
            first=not self.deliveries,
            **bounds(self.settings, name),
        )
        refused, more, starved, due, lapse, rings, now, told, *claim = db.execute(_ANSWER).fetchone()
        claimed = deliveries(db, name, *claim)
        for pool in pools or ():
            self.free[pool] -= len(claimed)
        self.bytes -= sum([len(delivery.body) for delivery in claimed])
        self.deliveries += claimed
        if refused != "[]":
            self.refused += [indexes[position] for position in json.loads(refused)]
        if told != "[]":
            self.told += json.loads(told)
        self.more |= bool(more)
        if starved:
            self.starved.append(name)
        if rings:
            self.rung.append(name)
        if pools is not None and (wait := Standing(None, due, lapse).next_due(now)) is not None:
            self.dues.append(wait)

    def answer(self) -> Exchange:
        """What has come of it."""
        return Exchange(
            self.deliveries,
            frozenset(self.refused),
            self.more,
            min(self.dues, default=None),
            starved=frozenset(self.starved),
        )


def _by_queue(settlements: Sequence[Settlement]) -> dict[str, _Batch]:
    names = {settlement.delivery.queue for settlement in settlements}
    if len(names) == 1:
        return {names.pop(): (settlements, range(len(settlements)))}
    indexes: dict[str, list[int]] = {name: [] for name in names}
    for index, settlement in enumerate(settlements):
        indexes[settlement.delivery.queue].append(index)
    return {name: ([settlements[index] for index in mine], mine) for name, mine in indexes.items()}
