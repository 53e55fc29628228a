"""What a broker must do: the protocols, with their promises in prose.

Every broker keeps these, and `taskforge.testing.conformance` holds it to them:

* Each method is one atomic step for each queue it touches. A broker moves jobs; it never decides what should become
  of one.
* A call that changes something carries a `Stamp`. A queue keeps each sender's last number and its answer, for 15
  minutes after the last use: the same number again changes nothing and gets the same answer; a lower one raises
  `StaleCall`; a higher one is applied, gaps allowed. So a call whose answer was lost is simply sent again under its
  stamp.
* A job id belongs to one queue. While a queue still knows an id, in whatever state, enqueuing it again changes nothing.
* Time is the broker's, and every changing call, `extend` too, takes notice of it for the queues it touches. A
  `clock` handed to a broker is for tests.
* No answer in time raises `BrokerUnavailable` (outcome unknown); a no raises `BrokerRefused` (nothing happened);
  a broker that can never serve raises `BrokerUnsupported`.
* All methods may be called from any thread. A broker used in a forked child starts anew there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple, Protocol

from taskforge.brokers.inspecting import Inspector, Waiter
from taskforge.brokers.register import Attention, Register
from taskforge.brokers.stamp import Stamp
from taskforge.clock import Clock
from taskforge.job import Delivery, Enqueued, NewJob
from taskforge.settlement import Settlement

#: The most jobs one call enqueues, settles or claims per queue. It keeps a call on Redis near a millisecond.
BATCH = 250
#: The most body bytes one call carries in either direction; a single larger job travels alone.
BATCH_BYTES = 1 << 20
#: The most jobs that `list` shows and `purge` deletes in one call.
PAGE = 1_000
#: An idle worker looks by itself this often (seconds): what a bell that was heard in vain may cost a job.
LOOK_EVERY = 2.0
#: How long a queue remembers a sender after its last call.
SENDER_AGE = timedelta(minutes=15)
#: `now` moving further than this between two calls is an outage or a clock step, not idleness (decided per queue).
CLOCK_JUMP = timedelta(seconds=10)
#: A step back by less than this may go unnoticed: a broker need not write down every moment it sees.
CLOCK_NOISE = timedelta(milliseconds=100)
#: Bytes of error texts kept per job; when the next one would not fit, it replaces the earlier ones.
ERRORS_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of its past a queue keeps, whatever the ages say. The soonest to expire goes first.

    `finished` bounds the succeeded jobs without a result and, apart, the cancelled ones; `results` the succeeded ones
    with a result, which are also bounded by `result_bytes` of results altogether.
    """

    finished: int = 1_000
    results: int = 100_000
    result_bytes: int = 256 * 1024 * 1024
    dead: int = 10_000


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What every broker is opened with.

    `prefix` keeps apps on one server apart. `retention` is asked per queue. `timeout` is how long one call may wait for
    its answer. `lease` is how long a claim lasts unless extended; keepers extend every quarter of it. `keep_expired` is
    how long the record of a job is kept that no run began in time.
    """

    prefix: str
    lease: timedelta = timedelta(seconds=60)
    durability: str = "default"
    timeout: timedelta = timedelta(seconds=5)
    retention: Callable[[str], Retention] = lambda queue: Retention()
    keep_expired: timedelta = timedelta(hours=1)
    clock: Clock | None = None


class Demand(NamedTuple):
    """What a worker may claim now.

    `free` are the free slots of each of its pools; below zero when more is claimed than the pool has slots. `queues`
    are served in this order, each with the indexes of the pools that its jobs may need: a claim from a queue takes a
    place in all of them, for it is not known yet which one it will use.

    `ahead` says, for queues whose jobs have proved quick, how many jobs may be claimed beyond the free slots. A job
    claimed ahead has hardly begun: if its lease runs out before it was ever extended, no crash is counted. Such a job,
    and any that has crashed, is from then on claimed into free slots only; a claim ahead ends before it.
    """

    free: tuple[int, ...] = ()
    queues: tuple[tuple[str, tuple[int, ...]], ...] = ()
    ahead: Mapping[str, int] = MappingProxyType({})

    @property
    def nothing(self) -> bool:
        """True when no queue could be given a job."""
        rooms = (min([self.free[p] for p in pools]) + self.ahead.get(q, 0) for q, pools in self.queues if pools)
        return not any(room > 0 for room in rooms)

    @property
    def open_slots(self) -> int:
        """How many jobs at least any of the queues could be given into free slots."""
        return max(0, min([self.free[p] for _, pools in self.queues for p in pools], default=0))


class Exchange(NamedTuple):
    """The answer to an exchange.

    `refused` are the indexes of settlements that came too late and changed nothing. `more` says that a bound cut the
    claim short: look again at once. `next_due` is how long until a delayed job falls due or a lease runs out, never
    too long (None: nothing waits for time). `lost` are claims of a repeated call that no longer hold: do not run them.
    `starved` are demanded queues that had ready jobs, but neither a free slot nor what may be claimed ahead was left.
    """

    deliveries: list[Delivery]
    refused: frozenset[int] = frozenset()
    more: bool = False
    next_due: timedelta | None = None
    lost: tuple[tuple[str, str], ...] = ()
    starved: frozenset[str] = frozenset()


class Extension(NamedTuple):
    """The answer to an extend: deliveries that no longer hold their job, and those whose job is asked to stop."""

    lost: list[Delivery]
    stop: list[Delivery]


class Holding(NamedTuple):
    """A delivery that a worker process held when it died. `started`: its run had begun, so the loss counts a crash."""

    queue: str
    id: str
    number: int
    started: bool


class Broker(Protocol):
    """Holds queues of jobs and moves each job between its states."""

    @property
    def inspector(self) -> Inspector:
        """The slower protocol beside this one."""
        ...

    @property
    def register(self) -> Register:
        """Which workers live, and what is wished of them."""
        ...

    def open(self) -> None:
        """Connect and check that this broker can serve us: version, layout, configuration. Safe to call again.

        Without it the first call connects, and checks the same. Raises the errors of the module's head.
        """
        ...

    def describe(self) -> str:
        """The broker as a person would name it, without any password; for banners and messages."""
        ...

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        """Accept jobs as ready or delayed. Of equal ids, in the batch or in the queue, the first stands for all.

        At most BATCH jobs and BATCH_BYTES of bodies a call. A batch over several queues is atomic per queue at least.
        Wakes one waiting worker per queue.
        """
        ...

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        """Settle a batch and claim the next one.

        Settlements whose delivery no longer holds its job are refused, the others take effect together with the jobs
        they enqueue. On the way, in each demanded queue, whether or not a slot is free for it, and before anything is
        claimed: waiting jobs past their `expires` are cancelled (reason `expired`), due delayed jobs become ready in
        the order of their due times (of equal ones, by priority, then id), running jobs whose lease ran out go back
        to the places they were claimed from with one crash counted and a note of it among their errors (`losses.py`;
        those that were asked to stop end as cancelled), and what has aged out is swept. Claims the best ready jobs:
        higher priority first, then first come first served. `expires` ends at a job's first claim. Progress and errors
        stay through a requeue or reclaim.

        After `now` jumped by over CLOCK_JUMP, or back by CLOCK_NOISE, since the queue was last touched, nothing is
        reclaimed for a quarter of a lease plus 5 s, so that keepers extend first; after a step back, lease deadlines
        more than one lease ahead are cut to that.

        At most BATCH settlements a call. A repeated call returns its claims that still hold, the others as lost.
        """
        ...

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        """Start the leases of these deliveries anew. Needs no stamp: doing it twice is doing it once."""
        ...

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        """Give back at once what a worker process held that has died. Never call it before the process is gone.

        In `queues`, which it served, and those of `held`, its sender is closed: for SENDER_AGE every later call of it,
        whatever its number, raises StaleCall. The jobs of `held` whose delivery still holds them go back to the places
        they were claimed from, and so do those that the sender's last call in the queue claimed, though `held` does not
        name them: its answer may have been lost, so they count as not started. A started one counts one crash, however
        it was claimed, and gets `note` among its errors; the others count nothing. Those that were asked to stop end as
        cancelled (reason `requested`). What holds no job any more is ignored: `held` may name too much. Wakes one
        waiting worker per queue. Returns all that was still held. Needs no stamp: the second time nothing is held.
        At most BATCH of `held` a call; `releasing.py` names more.
        """
        ...

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        """Keep a run's latest progress beside its job until it ends; False when the delivery no longer holds it."""
        ...

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        """Block until there may be something to claim in these queues, at most `timeout` seconds.

        True: look now (a bell rang, or the time is up). False: `wake` was called. After False call it again, with
        the time that is left, before claiming: the bell it listens to stays armed, and a worker that claims on its
        own meanwhile could take a bell it does not need. One thread waits at a time per broker object.
        """
        ...

    def wake(self) -> None:
        """Make the wait that is under way, or else the next one, return False at once. From any thread."""
        ...

    def announce(self, queues: Sequence[str]) -> None:
        """Add to the set of known queues, so that a job can be found without naming its queue."""
        ...

    def tend(self) -> None:
        """Housekeeping off the hot path; a worker's keeper calls it every few seconds."""
        ...

    def waiter(self) -> Waiter:
        """A new waiter for the ends of jobs. One per process is enough."""
        ...

    def attend(self, name: str) -> Attention:
        """A new ear for what concerns the worker of this name, which is its sender's id. One per worker is enough."""
        ...

    def close(self) -> None:
        """Let every connection go. A later call opens anew."""
        ...
