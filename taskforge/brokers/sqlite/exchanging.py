"""One exchange, step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from taskforge.brokers.protocol import BATCH, BATCH_BYTES, Demand, Exchange
from taskforge.brokers.sqlite import senders
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.claiming import Wish, claim, standing, still_held
from taskforge.brokers.sqlite.due import expire, promote, reclaim
from taskforge.brokers.sqlite.ending import sweep
from taskforge.brokers.sqlite.enqueueing import accept
from taskforge.brokers.sqlite.queues import Queue
from taskforge.brokers.sqlite.settling import settle
from taskforge.brokers.stamp import Stamp
from taskforge.job import Delivery, NewJob
from taskforge.settlement import Settlement

#: Which of the queue's settlements were refused, the number and the ids of the claim, and whether a bound cut it.
Answer = tuple[list[int], int, list[str], bool]


class Part:
    """What an exchange does in one queue."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.settlements: list[Settlement] = []
        self.indexes: list[int] = []  # of these among all settlements of the call
        self.replayed = False
        self.refused: list[int] = []
        self.number = 0
        self.claimed: list[str] = []
        self.more = False
        self.shut = False  # too much has expired: claim nothing before all of it is gone
        self.behind = False  # a bound cut what time does

    @property
    def answer(self) -> Answer:
        """What is kept for the case that the call is sent again."""
        return self.refused, self.number, self.claimed, self.more

    def replay(self, answer: Answer) -> None:
        """Take over the answer that was kept."""
        self.replayed = True
        self.refused, self.number, self.claimed, self.more = answer


class Exchanging:
    """The record that the steps of one exchange share."""

    def __init__(self, call: Call, demand: Demand, stamp: Stamp) -> None:
        self.call, self.demand, self.stamp = call, demand, stamp
        self.free = list(demand.free)
        self.room = BATCH_BYTES
        self.parts: dict[str, Part] = {}
        self.deliveries: list[Delivery] = []
        self.lost: list[tuple[str, str]] = []
        self.starved: set[str] = set()

    def run(self, settlements: Sequence[Settlement]) -> Exchange:
        """Settle, let time do its work, claim; the answer."""
        for index, settlement in enumerate(settlements):
            part = self._part(settlement.delivery.queue)
            part.settlements.append(settlement)
            part.indexes.append(index)
        for name, _ in self.demand.queues:
            self._part(name)
        self._settle()
        fresh = [part for part in self.parts.values() if not part.replayed]
        for part in fresh:
            self._let_time_pass(part)
        for name, pools in self.demand.queues:
            self._claim(self.parts[name], pools)
        for part in fresh:
            senders.remember(self.call, part.queue, self.stamp, part.answer)
        return self._answer()

    def _part(self, name: str) -> Part:
        part = self.parts.get(name)
        if part is None:
            part = self.parts[name] = Part(self.call.queue(name))
            kept: list[Answer] = senders.recall(self.call, part.queue, self.stamp)
            if kept:
                part.replay(kept[0])
        return part

    def _settle(self) -> None:
        then: list[NewJob] = []
        for part in self.parts.values():
            if part.settlements and not part.replayed:
                part.refused = settle(self.call, part.queue, part.settlements, then)
        children: defaultdict[str, list[NewJob]] = defaultdict(list)
        for job in then:
            children[job.queue].append(job)
        for name, jobs in children.items():
            accept(self.call, self.call.queue(name), jobs)

    def _let_time_pass(self, part: Part) -> None:
        part.shut = expire(self.call, part.queue)
        reclaimed = reclaim(self.call, part.queue)
        promoted = promote(self.call, part.queue)
        part.behind = part.shut or reclaimed or promoted
        sweep(self.call, part.queue)

    def _claim(self, part: Part, pools: Sequence[int]) -> None:
        if part.replayed:
            claimed = still_held(self.call, part.queue, part.number, part.claimed)
            held = {delivery.id for delivery in claimed}
            self.lost.extend((part.queue.name, job) for job in part.claimed if job not in held)
        else:
            claimed = self._claim_anew(part, Wish.of(self.free, pools, self.demand.ahead.get(part.queue.name, 0)))
        for pool in pools:
            self.free[pool] -= len(claimed)
        self.deliveries.extend(claimed)

    def _claim_anew(self, part: Part, wish: Wish) -> list[Delivery]:
        want = 0 if part.shut else min(wish.room, BATCH)
        claimed: list[Delivery] = []
        if want > 0:
            first = not self.deliveries
            claimed = claim(self.call, part.queue, self.stamp.sender, wish.slots, want, self.room, first=first)
        self.room -= sum(len(delivery.body) for delivery in claimed)
        if claimed:
            part.number = claimed[0].number
            part.claimed.extend(delivery.id for delivery in claimed)
        if 0 < want == len(claimed):
            self.call.stirred.add(part.queue.name)  # perhaps more is left for others: pass the bell on
        stands = standing(self.call.db, part.queue)
        if len(claimed) < wish.room:
            part.more = part.behind or (stands.ready and not (stands.wary and len(claimed) >= wish.slots))
        if wish.starving and stands.ready:
            self.starved.add(part.queue.name)
        return claimed

    def _answer(self) -> Exchange:
        dues = [
            due
            for name, _ in self.demand.queues
            if (due := standing(self.call.db, self.parts[name].queue).next_due(self.call.now)) is not None
        ]
        return Exchange(
            self.deliveries,
            frozenset(part.indexes[position] for part in self.parts.values() for position in part.refused),
            any(part.more for part in self.parts.values()),
            min(dues, default=None),
            tuple(self.lost),
            frozenset(self.starved),
        )
