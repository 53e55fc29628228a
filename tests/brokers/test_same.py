"""Whatever is done to them, the brokers stay in the same state as each other, and as a model that anyone can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, groupby

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from taskforge.brokers.inspecting import Inspector
from taskforge.brokers.protocol import SENDER_AGE, Broker, BrokerSettings, Demand, Exchange, Holding
from taskforge.brokers.redis import RedisBroker
from taskforge.brokers.sqlite import SqliteBroker
from taskforge.brokers.stamp import Stamp
from taskforge.errors import StaleCall
from taskforge.job import ENDED, Delivery, JobState, NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.testing import FakeClock
from taskforge.testing.conformance.rig import HOUR, MINUTE, SECOND, State, look
from tests.brokers.model import Model

QUEUES = ("mail", "photos")
#: Few, so that ids come again, in every state.
IDS = tuple(f"job{n}" for n in range(6))
#: Seconds that may pass unseen, so that what follows is no jump of the clock unless the test means one.
UNSEEN = 9.0

queues, ids, senders = st.sampled_from(QUEUES), st.sampled_from(IDS), st.sampled_from(["one", "two"])
some_ids = st.lists(ids, min_size=1, max_size=4, unique=True)
priorities, keeps = st.sampled_from([0, -100, 5]), st.sampled_from([HOUR, 20 * SECOND, 0 * SECOND])
purgeable = st.sampled_from([JobState.READY, JobState.DELAYED, JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED])
delays = st.sampled_from([None, 0 * SECOND, 3 * SECOND, 90 * SECOND])
errors = st.sampled_from([None, b"why", b"x" * 20_000])

#: Makes a settlement of a delivery, whoever's it is.
Way = Callable[[Delivery], Settlement]


# Composite, because hypothesis prints the others in full, at great length.
@st.composite
def new_jobs(draw: st.DrawFn) -> NewJob:
    job = NewJob(draw(ids), draw(queues), draw(st.binary(max_size=3)), draw(priorities), delay=draw(delays))
    return job._replace(expires=draw(st.sampled_from([None, 45 * SECOND])))


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    """Up to four jobs from one queue, or from both in either order, of which photos may have two."""
    pools = {"mail": (0,), "photos": (0, 1)}
    names = draw(st.lists(queues, min_size=1, unique=True))
    return Demand((draw(st.integers(0, 4)), 2), tuple((name, pools[name]) for name in names))


@st.composite
def ways(draw: st.DrawFn) -> Way:
    keep, error, crashed = draw(keeps), draw(errors), draw(st.booleans())
    counts = not crashed and draw(st.booleans())
    delay, result = draw(delays), draw(st.none() | st.binary(max_size=3))
    then = tuple(draw(st.lists(new_jobs(), max_size=2)))
    makers: list[Way] = [
        lambda delivery: Ack(delivery, keep, SECOND, result, keep, then),
        lambda delivery: Requeue(delivery, delay, counts, keep, error, crashed),
        lambda delivery: Bury(delivery, "error", keep, SECOND, counts, error, crashed),
        lambda delivery: Cancel(delivery, "discarded", keep, SECOND, error),
    ]
    return makers[draw(st.integers(0, 3))]


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[int, Way]]:
    """Which deliveries, counted from the latest, and how they are settled."""
    return draw(st.lists(st.tuples(st.integers(0, 5), ways()), max_size=4))


@dataclass(eq=False)
class Side:
    """One of those that are compared, with its own deliveries: their numbers are nobody else's business."""

    verbs: Broker | Model
    inspector: Inspector | Model
    deliveries: list[Delivery]


@dataclass(frozen=True)
class Call:
    """A numbered call, to be made on every side."""

    make: Callable[[Side, Stamp], object]
    stamp: Stamp
    queues: frozenset[str]


class Sides(RuleBasedStateMachine):
    """SQLite, Redis and the model, side by side."""

    urls: tuple[str, str]
    prefixes = count()

    def __init__(self) -> None:
        super().__init__()
        redis_url, sqlite_url = self.urls
        self.clock = FakeClock()
        settings = BrokerSettings(prefix=f"same{next(self.prefixes)}", clock=self.clock)
        self.brokers: list[Broker] = [SqliteBroker(sqlite_url, settings), RedisBroker(redis_url, settings)]
        model = Model(self.clock)
        self.sides = [*(Side(broker, broker.inspector, []) for broker in self.brokers), Side(model, model, [])]
        self.numbers = count(1)
        self.calls: dict[str, list[Call]] = {}
        self.used: dict[str, datetime] = {}
        #: How often each sender was closed, and began anew under another name.
        self.lives: Counter[str] = Counter()
        self.unseen = 0.0

    def teardown(self) -> None:
        for broker in self.brokers:
            broker.close()

    # Verbs

    @initialize(priorities=st.lists(priorities, min_size=3, max_size=3))
    def begin_with_some_jobs(self, priorities: list[int]) -> None:
        jobs = [
            NewJob(id, queue, b"", priority) for queue in QUEUES for id, priority in zip(IDS, priorities, strict=False)
        ]
        self._call("one", set(QUEUES), lambda side, stamp: side.verbs.enqueue(jobs, stamp))

    @rule(jobs=st.lists(new_jobs(), min_size=1, max_size=4), sender=senders)
    def enqueue(self, jobs: list[NewJob], sender: str) -> None:
        self._call(sender, {job.queue for job in jobs}, lambda side, stamp: side.verbs.enqueue(jobs, stamp))

    @rule(demand=demands(), plan=plans(), sender=senders)
    def settle_and_claim(self, demand: Demand, plan: list[tuple[int, Way]], sender: str) -> None:
        self._exchange(demand, plan, sender)

    # The two halves of it apart, for else most runs see few jobs end.
    @rule(demand=demands(), sender=senders)
    def claim(self, demand: Demand, sender: str) -> None:
        self._exchange(demand, [], sender)

    @rule(plan=plans(), sender=senders)
    def settle(self, plan: list[tuple[int, Way]], sender: str) -> None:
        self._exchange(Demand(), plan, sender)

    def _exchange(self, demand: Demand, plan: list[tuple[int, Way]], sender: str) -> None:
        known = len(self.sides[0].deliveries)
        chosen = [(known - 1 - back, way) for back, way in plan if back < known]
        settled = [[way(side.deliveries[index]) for index, way in chosen] for side in self.sides]
        names = {name for name, _ in demand.queues} | {settlement.delivery.queue for settlement in settled[0]}

        def exchange(side: Side, stamp: Stamp) -> object:
            answer = side.verbs.exchange(demand, settled[self.sides.index(side)], stamp)
            side.deliveries += answer.deliveries
            return _visible(answer)

        self._call(sender, names, exchange)
        # Whether time's work is done in a queue that was only settled in, or given a job, is left open.
        self._be_seen()

    @rule(back=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
    def extend(self, back: list[int]) -> None:
        def extend(side: Side) -> object:
            mine = [side.deliveries[-1 - index] for index in back if index < len(side.deliveries)]
            answer = side.verbs.extend(mine)
            # By queue or as asked: their order tells nothing.
            return {mine.index(lost) for lost in answer.lost}, {mine.index(asked) for asked in answer.stop}

        self._compare(extend)

    @rule(back=st.integers(0, 5), progress=st.binary(max_size=3))
    def report(self, back: int, progress: bytes) -> None:
        if back < len(self.sides[0].deliveries):
            self._compare(lambda side: side.verbs.report(side.deliveries[-1 - back], progress))

    @rule(queue=queues, ids=some_ids, keep=keeps, sender=senders)
    def cancel(self, queue: str, ids: list[str], keep: timedelta, sender: str) -> None:
        self._call(sender, {queue}, lambda side, stamp: side.inspector.cancel(queue, ids, keep, stamp))

    @rule(queue=queues, ids=some_ids, sender=senders)
    def promote(self, queue: str, ids: list[str], sender: str) -> None:
        self._call(sender, {queue}, lambda side, stamp: side.inspector.promote(queue, ids, stamp))

    @rule(queue=queues, ids=some_ids, priority=priorities, sender=senders)
    def reprioritise(self, queue: str, ids: list[str], priority: int, sender: str) -> None:
        self._call(sender, {queue}, lambda side, stamp: side.inspector.reprioritise(queue, ids, priority, stamp))

    @rule(queue=queues, ids=some_ids, body=st.none() | st.binary(max_size=3), sender=senders)
    def redrive(self, queue: str, ids: list[str], body: bytes | None, sender: str) -> None:
        chosen = ids if body is None else ids[:1]
        self._call(sender, {queue}, lambda side, stamp: side.inspector.redrive(queue, chosen, stamp, body))

    @rule(queue=queues, state=purgeable, sender=senders)
    def purge(self, queue: str, state: JobState, sender: str) -> None:
        self._call(sender, {queue}, lambda side, stamp: side.inspector.purge(queue, state, stamp))

    @rule(
        sender=senders, served=st.sets(queues), plan=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=6)
    )
    def release(self, sender: str, served: set[str], plan: list[tuple[int, bool]]) -> None:
        """A worker process has died, and its parent names some of what it held, or that others hold, or nobody."""

        def release(side: Side) -> object:
            chosen = [(side.deliveries[-1 - back], started) for back, started in plan if back < len(side.deliveries)]
            held = [Holding(each.queue, each.id, each.number, started) for each, started in chosen]
            let_go = side.verbs.release(self._name(sender), sorted(served), held, b"note")
            return {(each.queue, each.id, each.started) for each in let_go}

        self._compare(release)
        late = Stamp(self._name(sender), next(self.numbers))
        for queue in sorted(served):
            job = NewJob("late", queue, b"")
            assert self._compare(lambda side, job=job: side.verbs.enqueue([job], late)) is StaleCall
        self.lives[sender] += 1

    # Calls that are sent again

    @rule(sender=senders)
    def again(self, sender: str) -> None:
        if calls := self._remembered(sender):
            self._send(calls[-1])

    @rule(sender=senders)
    def stale(self, sender: str) -> None:
        calls = self._remembered(sender)
        if len(calls) > 1 and calls[-2].queues == calls[-1].queues != frozenset():
            assert self._compare(lambda side: calls[-2].make(side, calls[-2].stamp)) is StaleCall

    def _remembered(self, sender: str) -> list[Call]:
        """The calls of a sender, if all sides must still know the last one."""
        name = self._name(sender)
        used = self.used.get(name, self.clock.now() - SENDER_AGE)
        return self.calls[name] if self.clock.now() - used < SENDER_AGE - MINUTE else []

    # Time

    @rule(seconds=st.sampled_from([0.5, 3.0, 5.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.unseen += seconds
        if self.unseen > UNSEEN:
            self._be_seen()

    @rule(minutes=st.integers(1, 3))
    def time_passes_while_workers_look(self, minutes: int) -> None:
        for _ in range(minutes * 8):
            self._be_seen()
            self.clock.advance(8)
        self._be_seen()

    @rule(seconds=st.sampled_from([-3600, -30, -1, 15, 70, 3600]))
    def the_clock_jumps(self, seconds: float) -> None:
        # Whatever has aged out is swept first, for a clock that steps back would show it again.
        self.clock.advance(1.5)
        self._be_seen()
        self.clock.advance(seconds)
        self.used.clear()
        self._be_seen()

    @invariant()
    def all_sides_look_the_same(self) -> None:
        self._compare(lambda side: [_settle_ties(look(side.inspector, queue)) for queue in QUEUES])

    # Comparing

    def _be_seen(self) -> None:
        """Every queue is looked at by a worker that has no place free."""
        nothing = Demand((0,), tuple((queue, (0,)) for queue in QUEUES))
        stamp = Stamp("looker", next(self.numbers))
        self._compare(lambda side: _visible(side.verbs.exchange(nothing, (), stamp)))
        self.unseen = 0.0

    def _call(self, sender: str, names: set[str], make: Callable[[Side, Stamp], object]) -> None:
        call = Call(make, Stamp(self._name(sender), next(self.numbers)), frozenset(names))
        self.calls.setdefault(self._name(sender), []).append(call)
        self._send(call)

    def _name(self, sender: str) -> str:
        return f"{sender} {self.lives[sender]}"

    def _send(self, call: Call) -> None:
        self.used[call.stamp.sender] = self.clock.now()
        self._compare(lambda side: call.make(side, call.stamp))

    def _compare(self, do: Callable[[Side], object]) -> object:
        answers = [_answer(do, side) for side in self.sides]
        sqlite, redis, model = answers
        assert sqlite == redis, "SQLite and Redis differ"
        assert sqlite == model, "the brokers differ from the model"
        return model


@pytest.mark.timeout(400)  # Making a failing example small takes hypothesis up to five minutes.
def test_the_brokers_and_the_model_stay_the_same(redis_url: str, sqlite_url: str) -> None:
    class SidesHere(Sides):
        urls = redis_url, sqlite_url

    chosen = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(SidesHere, settings=chosen)


def _answer(do: Callable[[Side], object], side: Side) -> object:
    try:
        return do(side)
    except StaleCall:
        return StaleCall


def _visible(answer: Exchange) -> object:
    """An exchange's answer without the numbers of its deliveries, and without what depends on how bounds are set."""
    return [delivery._replace(number=0) for delivery in answer.deliveries], answer.refused, set(answer.lost)


def _settle_ties(state: State) -> State:
    """Jobs that ended in the same millisecond may be listed in any order: here, by id."""

    def settled(state_: JobState, ids: list[str]) -> list[str]:
        if state_ not in ENDED:
            return ids
        groups = groupby(ids, key=lambda id: state.records[id].ended_at)
        return [id for _, group in groups for id in sorted(group)]

    return replace(state, order={key: settled(key, ids) for key, ids in state.order.items()})
