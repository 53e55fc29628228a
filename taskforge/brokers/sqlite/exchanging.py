"""One exchange, step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from taskforge.brokers.protocol import BATCH, BATCH_BYTES, Demand, Exchange
from taskforge.brokers.sqlite import senders
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.claiming import any_ready, claim, still_held
from taskforge.brokers.sqlite.due import expire, next_due, promote, reclaim
from taskforge.brokers.sqlite.ending import sweep
from taskforge.brokers.sqlite.enqueueing import accept
from taskforge.brokers.sqlite.queues import Queue
from taskforge.brokers.sqlite.settling import settle
from taskforge.brokers.stamp import Stamp
from taskforge.job import Delivery, NewJob
from taskforge.settlement import Settlement

#: The indexes of refused settlements, the number and the ids of the claim, and whether a bound cut it.
Answer = tuple[list[int], int, list[str], bool]


class Part:
    """What an exchange does in one queue."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
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

    def run(self, settlements: Sequence[Settlement]) -> Exchange:
        """Settle, let time do its work, claim; the answer."""
        by_queue: defaultdict[str, list[tuple[int, Settlement]]] = defaultdict(list)
        for index, settlement in enumerate(settlements):
            by_queue[settlement.delivery.queue].append((index, settlement))
        for name in (*by_queue, *(name for name, _ in self.demand.queues)):
            self._begin(name)
        self._settle(by_queue)
        fresh = [part for part in self.parts.values() if not part.replayed]
        for part in fresh:
            self._let_time_pass(part)
        for name, pools in self.demand.queues:
            self._claim(self.parts[name], pools)
        for part in fresh:
            senders.remember(self.call, part.queue, self.stamp, part.answer)
        return self._answer()

    def _begin(self, name: str) -> None:
        if name in self.parts:
            return
        part = self.parts[name] = Part(self.call.queue(name))
        kept: list[Answer] = senders.recall(self.call, part.queue, self.stamp)
        if kept:
            part.replay(kept[0])

    def _settle(self, by_queue: dict[str, list[tuple[int, Settlement]]]) -> None:
        then: list[NewJob] = []
        for name, batch in by_queue.items():
            part = self.parts[name]
            if not part.replayed:
                part.refused = settle(self.call, part.queue, batch, then)
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
            claimed = self._claim_anew(part, min((self.free[pool] for pool in pools), default=0))
        for pool in pools:
            self.free[pool] -= len(claimed)
        self.deliveries.extend(claimed)

    def _claim_anew(self, part: Part, places: int) -> list[Delivery]:
        if places <= 0:
            return []
        want = min(places, BATCH)
        claimed: list[Delivery] = []
        if not part.shut:
            first = not self.deliveries
            claimed = claim(self.call, part.queue, want, self.room, self.stamp.sender, first=first)
        self.room -= sum(len(delivery.body) for delivery in claimed)
        if claimed:
            part.number = part.queue.number
            part.claimed.extend(delivery.id for delivery in claimed)
        if len(claimed) < places:
            part.more = part.behind or any_ready(self.call, part.queue)
        if len(claimed) == want:
            self.call.stirred.add(part.queue.name)  # perhaps more is left for others: pass the bell on
        return claimed

    def _answer(self) -> Exchange:
        waits = [next_due(self.call, self.parts[name].queue) for name, _ in self.demand.queues]
        dues = [due for due in waits if due is not None]
        return Exchange(
            self.deliveries,
            frozenset(index for part in self.parts.values() for index in part.refused),
            any(part.more for part in self.parts.values()),
            timedelta(milliseconds=min(dues)) if dues else None,
            tuple(self.lost),
        )
