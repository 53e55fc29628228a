"""One simulation from beginning to end: a storm of faults, the calm after it, and what is left in the broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from taskforge.brokers.moments import span
from taskforge.brokers.protocol import SENDER_AGE, BrokerSettings, Demand, Holding
from taskforge.brokers.stamp import Sender
from taskforge.job import JobState
from taskforge.testing.simulation.choices import Choices
from taskforge.testing.simulation.clients import ClientProcess
from taskforge.testing.simulation.ledger import Ledger
from taskforge.testing.simulation.mending import MendingWitness
from taskforge.testing.simulation.network import Connection, Network
from taskforge.testing.simulation.opening import OpenBroker
from taskforge.testing.simulation.program import KEEP_FINISHED, LEASE, PREFIX, QUEUES, declare, make_app
from taskforge.testing.simulation.runs import Runs
from taskforge.testing.simulation.scene import Scene
from taskforge.testing.simulation.scheduler import Actor, Process, Scheduler, SimulatedClock, Violation
from taskforge.testing.simulation.trace import Trace
from taskforge.testing.simulation.weather import Weather
from taskforge.testing.simulation.witness import Witness
from taskforge.testing.simulation.workers import Worker
from taskforge.testing.storage import storage_of

#: How likely so many clients and workers are, from one.
CLIENTS, WORKERS = (1, 3, 1), (1, 3)
#: How likely a worker that has died had a parent, which survived it.
PARENTS = (1, 1)
#: How many steps the storm lasts at most, and how many the calm may take until everything has ended.
STORM, CALM = 200, 3_000
#: Milliseconds that time may move beyond the next timer; all below a jump of the clock, but the last two.
HOPS = (0, 60, 1_000, 4_000, 9_000, 15_000, 30_000)
HOP_WEIGHTS = (60, 20, 30, 30, 20, 4, 4)
#: How likely time is to pass while something else could happen, which weighs 10 each.
TIME_WEIGHT = 3
#: After this long (milliseconds) time hurries no more, so that no call is repeated later than a broker remembers it.
LONG = 600_000
#: Longer (milliseconds) than any record is kept.
AGES = 24 * 3_600_000


class World:
    """Everything that one list of choices moves."""

    def __init__(self, choices: Choices, open_broker: OpenBroker) -> None:
        self.choices = choices
        self.clock = SimulatedClock()
        self.trace = Trace(self.clock.monotonic)
        self.scheduler = Scheduler(self.clock)
        self.network = Network(self.scheduler, self.trace)
        lease, keep = timedelta(seconds=LEASE), timedelta(seconds=KEEP_FINISHED)
        self.ledger = Ledger(span(lease), span(keep))
        self.broker = open_broker(BrokerSettings(prefix=PREFIX, lease=lease, keep_expired=keep, clock=self.clock))
        self.witness = Witness(self.broker, self.ledger, self.clock, self.trace)
        self.runs = Runs(self.scheduler, self.ledger, self.trace)
        app = make_app(self.scheduler)
        app.signals.job_started.connect(self.runs.started)
        tasks = declare(app, self.scheduler, self.ledger)
        self.scene = Scene(app, tasks, choices, self.scheduler, self.ledger, self.runs, self.trace, self._connect)
        self.weather = Weather(choices, self.clock, self.network, self.trace)
        self.workers: list[Worker] = []
        self.clients: list[ClientProcess] = []
        self._who, self._next, self._hops, self._parents = map(choices.stream, ("who", "next", "time", "parents"))
        self._names = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        self._dropped: list[Actor] = []

    def run(self) -> None:
        """Raises a Violation when a promise is not kept."""
        try:
            self.clients = [ClientProcess(f"client {n + 1}", self.scene) for n in range(1 + self._who.pick(CLIENTS))]
            self.workers = [self._worker() for _ in range(1 + self._who.pick(WORKERS))]
            self._storm()
            self._calm()
            self._age()
        finally:
            self.trace.close()
            self.scheduler.end(self._dropped)
            self.broker.close()

    def _storm(self) -> None:
        for _ in range(STORM):
            if self._at_rest():
                return
            if not self.weather.strike(self.workers, [*self.clients]):
                self._step()
            self._look_around()

    def _calm(self) -> None:
        self.trace.say("network", "has no more faults")
        self.choices.calm = True
        for _ in range(CALM):
            if self._at_rest():
                self.witness.look_at_all()
                self._look_for_unsent()
                return
            self._step()
            self._look_around()
        waiting = [f"{each.name} is {each.state}" for each in self.ledger.jobs.values() if not each.state.ended]
        raise Violation(f"there is no end: {', '.join(waiting) or 'somebody still waits for an answer'}")

    def _look_for_unsent(self) -> None:
        """What a client was told was never sent must not exist."""
        for job_id in sorted(job_id for client in self.clients for job_id in client.unsent):
            if job_id in self.ledger.jobs:
                raise Violation(f"{self.ledger.name(job_id)} exists, and its client was told that it was never sent")

    def _age(self) -> None:
        """Everybody is gone, and time passes until the queues may be forgotten: next to nothing may be left."""
        sender = Sender()
        self.clock.advance(AGES)
        for _ in range(3):
            self.clock.advance(span(SENDER_AGE))
            self.broker.exchange(Demand((0,), tuple((queue, (0,)) for queue in QUEUES)), [], sender.stamp())
        left = storage_of(self.broker, PREFIX).surplus(len(QUEUES))
        if left:
            raise Violation(f"everything has ended and aged out, and there are left {', '.join(left)}")

    def _at_rest(self) -> bool:
        clients = all(client.done or not client.alive for client in self.clients)
        return clients and all(entry.state.ended for entry in self.ledger.jobs.values())

    # One step: whatever could happen next, and a draw among it.

    def _step(self) -> None:
        options = self._options()
        weights = [10] * len(options)
        if self.scheduler.next_timer() is not None or not options:
            options.append(self._let_time_pass)
            weights.append(TIME_WEIGHT)
        options[self._next.pick(weights)]()

    def _options(self) -> list[Callable[[], None]]:
        network, now = self.network, self.clock.ms
        back = [reply for reply in network.replies if reply.actor.process.frozen_until <= now]
        return [
            *(partial(network.come_back, reply) for reply in back),
            *(partial(network.arrive, request) for request in network.deliverable()),
            *(partial(self.scheduler.let, actor) for actor in self.scheduler.ready()),
            *(partial(self._ring, worker) for worker in self.workers if self._would_hear(worker)),
        ]

    def _would_hear(self, worker: Worker) -> bool:
        """Whether a bell may ring for it now: there is a job, or there was one a moment ago."""
        connection = worker.connection
        ready = any(entry.state is JobState.READY for entry in self.ledger.jobs.values())
        return ready and connection.listening and not connection.rung

    def _ring(self, worker: Worker) -> None:
        worker.connection.rung = True

    def _let_time_pass(self) -> None:
        until = self.scheduler.next_timer()
        step = 1 if until is None else max(1, until - self.clock.ms)
        hop = HOPS[self._hops.pick(HOP_WEIGHTS)] if self.clock.ms < LONG else 0
        self.clock.advance(max(step, hop))

    def _let_go(self, worker: Worker) -> None:
        """What a parent does when its child has died: it names what that held, and which runs had begun."""
        begun = self.runs.of(worker)
        runs = [*worker.slots.runs(), *begun]
        held = [Holding(run.delivery.queue, run.id, run.delivery.number, run in begun) for run in runs]
        self.witness.release(worker.exchanger.persistence.name, QUEUES, held, b"died")

    # Who lives here.

    def _worker(self) -> Worker:
        return Worker(f"worker {next(self._names)}", self.scene)

    def _connect(self, process: Process) -> Connection:
        return Connection(process, self.network, self.witness, MendingWitness(self.witness), self.ledger)

    def _look_around(self) -> None:
        """What has ended leaves everything as it is; another worker takes the place of a worker."""
        if self.runs.violation is not None:
            raise self.runs.violation
        for process in (*self.workers, *self.clients):
            if not process.alive and not process.buried:
                process.buried = True
                self._dropped += self.scheduler.drop(process)
                self.network.drop(process)
                if isinstance(process, Worker) and self._parents.pick(PARENTS):
                    self._let_go(process)
        self.workers = [worker if worker.alive else self._worker() for worker in self.workers]
