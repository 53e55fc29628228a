"""Stands before the real broker, sees every call that reaches it, and raises a Violation when an answer is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from taskforge.brokers.moments import moment
from taskforge.brokers.protocol import Broker, Demand, Exchange, Extension, Holding
from taskforge.brokers.register import Register
from taskforge.brokers.stamp import Stamp
from taskforge.clock import Clock
from taskforge.errors import StaleCall
from taskforge.job import Delivery, Enqueued, JobState, NewJob
from taskforge.settlement import Ack, Settlement
from taskforge.testing.simulation.ledger import Entry, Ledger
from taskforge.testing.simulation.scheduler import Violation
from taskforge.testing.simulation.telling import told
from taskforge.testing.simulation.trace import Trace

T = TypeVar("T")

#: Above the number of any call: its sender is closed.
_CLOSED = 1 << 60


class Witness:
    """The verbs that change something, each checked against the ledger before its answer goes back."""

    def __init__(self, broker: Broker, ledger: Ledger, clock: Clock, trace: Trace) -> None:
        self.broker, self.ledger, self.trace = broker, ledger, trace
        self._clock = clock
        #: (sender, queue) → its last number and the whole call's answer.
        self._last: dict[tuple[str, str], tuple[int, object]] = {}

    @property
    def now(self) -> int:
        """The broker's time in milliseconds."""
        return moment(self._clock.now())

    @property
    def register(self) -> Register:
        """The broker's own: no job's fate hangs on it."""
        return self.broker.register

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        """Each job is new exactly once, however often the call is sent."""
        queues = sorted({job.queue for job in jobs})
        answers, again = self.call("enqueue", queues, stamp, lambda: self.broker.enqueue(jobs, stamp))
        if not again:
            for job, answer in zip(jobs, answers, strict=True):
                if not answer.new:
                    raise Violation(f"{self.ledger.name(job.id)} was refused as known, and nobody enqueued it before")
                self.ledger.accept(job, self.now)
        self.say(again, "accepts", (self.ledger.name(job.id) for job in jobs))
        self.look(queues, [job.id for job in jobs])
        return answers

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        """Settlements count once, from who holds the job; claims are of jobs that are ready, within the demand."""
        queues = sorted({name for name, _ in demand.queues} | {each.delivery.queue for each in settlements})
        before = self._last.get((stamp.sender, queues[0])) if queues else None
        reply, again = self.call(
            "exchange", queues, stamp, lambda: self.broker.exchange(demand, settlements, stamp), _refused
        )
        for settlement in settlements:
            for child in settlement.then if isinstance(settlement, Ack) else ():
                self.ledger.touch(child.queue, self.now, certain=False)
        if again:
            assert before is not None
            assert isinstance(before[1], Exchange)
            self._replayed(before[1], reply)
            self.say(again, "answers the exchange", ())
            self.look(queues, [delivery.id for delivery in reply.deliveries])
            return reply
        changed = self._settled(settlements, reply)
        # Time may do its work in the queues of children, too.
        touched = sorted({*queues, *(self.ledger.entry(job_id).queue for job_id in changed)})
        changed += self._moved_by_time(touched, {delivery.id for delivery in reply.deliveries})
        changed += self._claimed(demand, reply.deliveries)
        self.look(queues, changed)
        return reply

    def _settled(self, settlements: Sequence[Settlement], reply: Exchange) -> list[str]:
        changed = []
        for index, settlement in enumerate(settlements):
            refused = index in reply.refused
            self.trace.say("broker", told(self.ledger, settlement, refused))
            entry = self.ledger.settle(settlement, refused, self.now)
            changed.append(settlement.delivery.id)
            if entry is not None and isinstance(settlement, Ack):
                for child in settlement.then:
                    self.ledger.accept(child, self.now)
                    changed.append(child.id)
                    self.trace.say("broker", f"accepts {self.ledger.name(child.id)}, enqueued on success")
        return changed

    def _moved_by_time(self, queues: Iterable[str], claimed: set[str]) -> list[str]:
        """What fell due and whose lease ran out, as far as the broker has acted on it."""
        changed = []
        for queue in queues:
            for entry in self.ledger.due(queue, self.now):
                if entry.id in claimed or self._state(entry) is not JobState.DELAYED:
                    self.ledger.promote(entry)
                    changed.append(entry.id)
                    self.trace.say("broker", f"makes {entry.name} ready, it is due")
            for entry in self.ledger.lapsing(queue, self.now):
                if entry.id in claimed or self._state(entry) is not JobState.RUNNING:
                    self.trace.say("broker", f"takes {entry.delivery(entry.number)} back, its lease ran out")
                    self.ledger.reclaim(entry, self.now)
                    changed.append(entry.id)
        return changed

    def _claimed(self, demand: Demand, deliveries: Sequence[Delivery]) -> list[str]:
        free, pools = list(demand.free), dict(demand.queues)
        for delivery in deliveries:
            entry = self.ledger.entry(delivery.id)
            places = min(free[pool] for pool in pools[delivery.queue])
            if places + demand.ahead.get(delivery.queue, 0) <= 0:
                raise Violation(f"{entry.name} was handed out, though the worker has no room for it")
            self.ledger.claim(entry, delivery.number, self.now, ahead=places <= 0)
            for pool in pools[delivery.queue]:
                free[pool] -= 1
            for what in ("attempts", "crashes"):
                if getattr(delivery, what) != getattr(entry, what):
                    raise Violation(
                        f"{entry.delivery(delivery.number)} says {getattr(delivery, what)} {what}; "
                        f"it must be {getattr(entry, what)}"
                    )
            self.trace.say("broker", f"hands out {entry.delivery(delivery.number)}{', ahead' if places <= 0 else ''}")
        return [delivery.id for delivery in deliveries]

    def _replayed(self, first: Exchange, reply: Exchange) -> None:
        """The answer to a repeated call: the same claims, but for those that no longer hold."""
        given = {(each.queue, each.id): each.number for each in first.deliveries}
        held = {(each.queue, each.id): each.number for each in reply.deliveries}
        for key, number in given.items():
            entry = self.ledger.entry(key[1])
            holds = self.ledger.holds(entry, number)
            if holds != (held.get(key) == number) or holds == (key in reply.lost):
                raise Violation(f"a repeated claim says {entry.delivery(number)} is {'lost' if holds else 'held'}")
        if held.keys() - given.keys():
            raise Violation("a repeated claim brought jobs that it did not bring the first time")

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        """Leases of those that hold their jobs start anew; the others are lost."""
        answer = self.broker.extend(deliveries)
        queues = sorted({delivery.queue for delivery in deliveries})
        for queue in queues:
            self.ledger.touch(queue, self.now)
        for delivery in deliveries:
            entry = self.ledger.entry(delivery.id)
            holds = self.ledger.holds(entry, delivery.number)
            if holds == (delivery in answer.lost):
                raise Violation(f"extend says {entry.delivery(delivery.number)} is {'lost' if holds else 'held'}")
            if holds:
                entry.lease, entry.ahead = self.now + self.ledger.lease, False
            if (holds and entry.stop) != (delivery in answer.stop):
                raise Violation(f"extend is wrong about whether {entry.name} is asked to stop")
            word = "extends" if holds else "does not extend"
            self.trace.say("broker", f"{word} the lease of {entry.delivery(delivery.number)}")
        self.look(queues, [delivery.id for delivery in deliveries])
        return answer

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        """What a dead worker still held goes back, and what its last calls claimed; its sender is closed."""
        must: dict[str, bool] = {}
        for each in (*held, *self._last_claims(sender, queues)):
            if self.ledger.holds(self.ledger.entry(each.id), each.number):
                must[each.id] = each.started or must.get(each.id, False)
        let_go = self.broker.release(sender, queues, held, note)
        found = {each.id: each.started for each in let_go}
        if found != must:
            raise Violation(f"a release gave back {found}; it must be {must}")
        for queue in queues:
            self.ledger.touch(queue, self.now)
            self._last[sender, queue] = _CLOSED, None
        for job_id, started in must.items():
            entry = self.ledger.entry(job_id)
            self.trace.say("broker", f"gives {entry.delivery(entry.number)} back{', it had begun' if started else ''}")
            self.ledger.release(entry, started, self.now)
        self.look(queues, must)
        return let_go

    def _last_claims(self, sender: str, queues: Sequence[str]) -> list[Holding]:
        answers = [self._last.get((sender, queue), (0, None))[1] for queue in queues]
        claims = [each for answer in answers if isinstance(answer, Exchange) for each in answer.deliveries]
        return [Holding(each.queue, each.id, each.number, False) for each in claims]

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        """Progress is kept for who holds the job."""
        kept = self.broker.report(delivery, progress)
        self.ledger.touch(delivery.queue, self.now)
        entry = self.ledger.entry(delivery.id)
        if kept != self.ledger.holds(entry, delivery.number):
            raise Violation(f"report is wrong about whether {entry.delivery(delivery.number)} holds its job")
        return kept

    def announce(self, queues: Sequence[str]) -> None:
        """Takes notice of the time, perhaps, and no more."""
        self.broker.announce(queues)
        for queue in queues:
            self.ledger.touch(queue, self.now, certain=False)

    # How each call goes.

    def call(
        self,
        verb: str,
        queues: Sequence[str],
        stamp: Stamp,
        call: Callable[[], T],
        same: Callable[[T], object] = lambda answer: answer,
    ) -> tuple[T, bool]:
        """The broker's answer, and whether this stamp was here before; then the answer must be the same."""
        kept = [self._last.get((stamp.sender, queue), (0, None)) for queue in queues]
        stale = any(number > stamp.number for number, _ in kept)
        try:
            answer = call()
        except StaleCall:
            if not stale:
                raise Violation(f"{verb} was refused as overtaken, though it came in its turn") from None
            raise
        if stale:
            raise Violation(f"{verb} was overtaken by a later call of its sender, and not refused")
        for queue in queues:
            self.ledger.touch(queue, self.now)
            if (stamp.sender, queue) not in self._last or self._last[stamp.sender, queue][0] < stamp.number:
                self._last[stamp.sender, queue] = stamp.number, answer
        again = bool(kept) and all(number == stamp.number for number, _ in kept)
        if again and same(answer) != same(kept[0][1]):  # type: ignore[arg-type]  # it is what `call` answered then
            raise Violation(f"{verb}, sent again, was answered {answer!r}; the first answer was {kept[0][1]!r}")
        return answer, again

    def look(self, queues: Iterable[str], ids: Iterable[str]) -> None:
        """The broker must agree about these jobs, and about how many stand where in these queues."""
        for job_id in dict.fromkeys(ids):
            entry = self.ledger.entry(job_id)
            self.ledger.compare(entry, self.broker.inspector.get(entry.queue, job_id), self.now)
        for queue in queues:
            self.count(queue)

    def look_at_all(self) -> None:
        """The broker must agree about everything."""
        self.look(sorted({entry.queue for entry in self.ledger.jobs.values()}), self.ledger.jobs)

    def count(self, queue: str) -> None:
        """Every job that has not ended stands in exactly one state."""
        counts = self.broker.inspector.counts(queue)
        mine = [entry for entry in self.ledger.jobs.values() if entry.queue == queue]
        for state in (JobState.READY, JobState.DELAYED, JobState.RUNNING):
            there, must = getattr(counts, state), [entry.name for entry in mine if entry.state is state]
            if there != len(must):
                raise Violation(f"queue {queue} has {there} jobs {state}; there must be {', '.join(must) or 'none'}")
        if counts.retrying != sum(entry.retrying for entry in mine):
            raise Violation(f"queue {queue} counts {counts.retrying} jobs as retrying")

    def _state(self, entry: Entry) -> JobState | None:
        record = self.broker.inspector.get(entry.queue, entry.id)
        return None if record is None else record.state

    def say(self, again: bool, what: str, names: Iterable[str]) -> None:
        self.trace.say(
            "broker", f"{what} {', '.join(names)}".rstrip() + (" (sent again: nothing changes)" if again else "")
        )


def _refused(reply: Exchange) -> frozenset[int]:
    return reply.refused
