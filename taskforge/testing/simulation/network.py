"""The way to the broker and back, on which requests and replies wait, arrive late, or are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar, cast

from taskforge.brokers.inspecting import Inspector, Pressure, Waiter
from taskforge.brokers.protocol import Demand, Exchange, Extension, Holding
from taskforge.brokers.register import Attention, Register
from taskforge.brokers.stamp import Stamp
from taskforge.errors import BrokerError, BrokerUnavailable
from taskforge.job import Cancellation, Counts, Delivery, Enqueued, JobRecord, JobState, NewJob
from taskforge.settlement import Settlement
from taskforge.testing.registering import SentRegister
from taskforge.testing.simulation.ledger import Ledger
from taskforge.testing.simulation.scheduler import Actor, Process, Scheduler
from taskforge.testing.simulation.telling import asked
from taskforge.testing.simulation.trace import Line, Trace

T = TypeVar("T")

#: A message that was given up for lost may still arrive this much later (milliseconds), far below a sender's age.
LATEST = 120_000


class Verbs(Protocol):
    """What waits at the other end of the network."""

    @property
    def register(self) -> Register: ...

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]: ...

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange: ...

    def extend(self, deliveries: Sequence[Delivery]) -> Extension: ...

    def report(self, delivery: Delivery, progress: bytes) -> bool: ...

    def announce(self, queues: Sequence[str]) -> None: ...


@dataclass(eq=False)
class Request:
    """A message to the broker. `given_up`: its sender was told that no answer came, and the message may still come."""

    actor: Actor
    verb: str
    call: Callable[[], object]
    sent: int
    line: Line
    given_up: bool = False

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self.given_up and self.actor.process.alive


@dataclass(eq=False)
class Reply:
    """The broker's answer on its way back."""

    actor: Actor
    verb: str
    answer: object
    error: BrokerError | None
    line: Line
    #: Nothing came of the request that a trace would tell of.
    quiet: bool


class Network:
    """Holds what is under way. What becomes of it is decided elsewhere, one message at a time."""

    def __init__(self, scheduler: Scheduler, trace: Trace) -> None:
        self.scheduler, self.trace = scheduler, trace
        self.requests: list[Request] = []
        self.replies: list[Reply] = []

    def send(self, verb: str, call: Callable[[], T], what: str = "") -> T:
        """Send a request from the running actor, and wait for what becomes of it. `what` says more in the trace."""
        actor = self.scheduler.current
        assert actor is not None
        if actor.process.cut_until > self.scheduler.clock.ms:
            raise BrokerUnavailable(f"{verb}: there is no connection")
        line = self.trace.say(actor.process.name, f"sends {verb}{what}")
        self.requests.append(Request(actor, verb, call, self.scheduler.clock.ms, line))
        return cast("T", self.scheduler.wait_for_answer())

    def deliverable(self) -> list[Request]:
        """Requests that could arrive now; those that are too old are gone."""
        now = self.scheduler.clock.ms
        self.requests = [each for each in self.requests if each.wanted or now - each.sent < LATEST]
        return [each for each in self.requests if each.actor.process.cut_until <= now or not each.wanted]

    def arrive(self, request: Request) -> None:
        """The broker gets it, and acts on it."""
        self.requests.remove(request)
        if not request.wanted:
            self.trace.say("network", f"brings a late {request.verb} of {request.actor.process}")
        answer, error = None, None
        told = len(self.trace.lines)
        try:
            answer = request.call()
        except BrokerError as refusal:
            self.trace.say("broker", f"refuses {request.verb}: {type(refusal).__name__}")
            error = refusal
        if request.wanted:
            quiet = len(self.trace.lines) == told
            self.replies.append(Reply(request.actor, request.verb, answer, error, request.line, quiet))

    def come_back(self, reply: Reply) -> None:
        """The sender gets its answer, and goes on."""
        self.replies.remove(reply)
        reply.line.hidden = reply.quiet
        if reply.actor.process.alive:
            self.scheduler.let(reply.actor, reply.answer, reply.error)

    def lose_request(self, request: Request) -> None:
        """It never arrives, and its sender learns that no answer came."""
        self.requests.remove(request)
        self._fail(request.actor, request.verb, "loses the request")

    def lose_reply(self, reply: Reply) -> None:
        """The broker has acted, and the sender does not learn of it."""
        self.replies.remove(reply)
        self._fail(reply.actor, reply.verb, "loses the reply to")

    def give_up(self, request: Request) -> None:
        """The sender waits no longer, yet the request may arrive at some time."""
        request.given_up = True
        self._fail(request.actor, request.verb, "holds up the request")

    def cut(self, process: Process) -> None:
        """Whatever this process has under way fails; part of it may still arrive."""
        for reply in [each for each in self.replies if each.actor.process is process]:
            self.lose_reply(reply)
        for request in [each for each in self.requests if each.actor.process is process and each.wanted]:
            self.give_up(request)

    def drop(self, process: Process) -> None:
        """Nobody waits for these answers any more; requests under way may still arrive."""
        self.replies = [each for each in self.replies if each.actor.process is not process]

    def _fail(self, actor: Actor, verb: str, what: str) -> None:
        self.trace.say("network", f"{what} {verb} of {actor.process}")
        self.scheduler.let(actor, error=BrokerUnavailable(f"{verb}: no answer came"))


class Connection:
    """A process's own way to the broker: every verb goes through the network."""

    def __init__(self, process: Process, network: Network, verbs: Verbs, inspector: Inspector, ledger: Ledger) -> None:
        self.process, self._network, self._broker, self._ledger = process, network, verbs, ledger
        self._inspector = _Inspector(network, inspector)
        self._register = SentRegister(network.send, lambda: verbs.register)
        #: Set when there may be something to claim, and when our own side asks to look around.
        self.rung = self.woken = self.listening = False

    @property
    def inspector(self) -> Inspector:
        return self._inspector

    @property
    def register(self) -> Register:
        return self._register

    def open(self) -> None:
        """Takes as long as the process is cut off."""
        clock = self._network.scheduler.clock
        while True:
            self._network.scheduler.sleep(max(0, self.process.cut_until - clock.ms) / 1000)
            if self.process.cut_until <= clock.ms:
                return

    def describe(self) -> str:
        return "a simulated broker"

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        names = ", ".join(self._ledger.name(job.id) for job in jobs)
        return self._network.send("enqueue", lambda: self._broker.enqueue(jobs, stamp), f" of {names}")

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        what = asked(self._ledger, demand, settlements)
        return self._network.send("exchange", lambda: self._broker.exchange(demand, settlements, stamp), what)

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        names = ", ".join(self._ledger.name(delivery.id) for delivery in deliveries)
        return self._network.send("extend", lambda: self._broker.extend(deliveries), f" of {names}")

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        raise BrokerUnavailable("no process of a simulation outlives another one; leases run out")

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        return self._network.send("report", lambda: self._broker.report(delivery, progress))

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        """Bells are rung by the simulation: they may be early, late, or missing, as on any network."""
        self.listening = True
        self._network.scheduler.sleep(timeout, lambda: self.rung or self.woken)
        self.listening = False
        if self.woken:
            self.woken = False
            return False
        self.rung = False
        return True

    def wake(self) -> None:
        self.woken = True

    def announce(self, queues: Sequence[str]) -> None:
        self._network.send("announce", lambda: self._broker.announce(queues))

    def tend(self) -> None:
        """Nothing that others could see."""

    def waiter(self) -> Waiter:
        raise BrokerUnavailable("nobody listens for ends in a simulation; read again instead")

    def attend(self, name: str) -> Attention:
        raise BrokerUnavailable("nobody is told of anything in a simulation; the keeper's beat is enough")

    def close(self) -> None:
        """The broker is everybody's."""


class _Inspector:
    """The slower protocol, over the same network."""

    def __init__(self, network: Network, true: Inspector) -> None:
        self._network, self._true = network, true

    def queues(self) -> list[str]:
        return self._network.send("queues", self._true.queues)

    def counts(self, queue: str) -> Counts:
        return self._network.send("counts", lambda: self._true.counts(queue))

    def pressure(self, queue: str, within: timedelta) -> Pressure:
        return self._network.send("pressure", lambda: self._true.pressure(queue, within))

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        return self._network.send("get", lambda: self._true.get(queue, job_id))

    def find(self, job_id: str) -> list[JobRecord]:
        return self._network.send("find", lambda: self._true.find(job_id))

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> list[Cancellation]:
        return self._network.send("cancel", lambda: self._true.cancel(queue, job_ids, keep, stamp))

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> list[bool]:
        return self._network.send("promote", lambda: self._true.promote(queue, job_ids, stamp))

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> list[bool]:
        return self._network.send("reprioritise", lambda: self._true.reprioritise(queue, job_ids, priority, stamp))

    def redrive(self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None) -> list[bool]:
        return self._network.send("redrive", lambda: self._true.redrive(queue, job_ids, stamp, body))

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        return self._network.send("purge", lambda: self._true.purge(queue, state, stamp))

    # Last, because below it the name `list` in an annotation would mean this method.
    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> list[JobRecord]:
        return self._network.send("list", lambda: self._true.list(queue, state, offset, limit))
