"""The faults of a simulation: what can go wrong now, and how often at most."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from taskforge.testing.simulation.choices import Choices
from taskforge.testing.simulation.network import Network
from taskforge.testing.simulation.scheduler import Process, SimulatedClock
from taskforge.testing.simulation.trace import Trace
from taskforge.testing.simulation.workers import Worker

Fault = Callable[[], None]

#: The kinds: how many of each one simulation sees at most (more, and nothing is left to go wrong later), and how
#: likely each is beside the others.
KINDS = {
    "loss": (8, 12),
    "crash": (3, 3),
    "freeze": (2, 3),
    "cut": (2, 2),
    "stop": (1, 1),
    "jump": (2, 2),
    "client crash": (1, 1),
}
#: Of a hundred steps, so many are faults while there are any left: one of these for each simulation.
OF_A_HUNDRED = (4, 10, 20)
#: Of a hundred simulations, so many know a kind of fault at all: fewer kinds reach what more of them would cut short.
KNOWN = 65
#: A fault is drawn as one number: which kind, times this, and which of its kind.
VARIANTS = 30
#: Seconds: around what the leases, the brokers' rules about clocks and the workers' patience make a difference of.
FREEZES, CUTS, JUMPS = (5, 25, 45), (3, 25), (12, 60, -5, -40)


class Weather:
    """Draws faults and makes them happen."""

    def __init__(self, choices: Choices, clock: SimulatedClock, network: Network, trace: Trace) -> None:
        self._clock, self._network, self._trace = clock, network, trace
        self._stream = choices.stream("faults")
        self._seen: Counter[str] = Counter()
        self._all = list(KINDS)
        climate = choices.random
        self._known = [kind for kind in KINDS if climate.randrange(100) < KNOWN]
        self._of_a_hundred = climate.choice(OF_A_HUNDRED)

    def strike(self, workers: Sequence[Worker], clients: Sequence[Process]) -> bool:
        """Perhaps let a fault happen; whether it did."""
        number = self._stream.number(self._draw)
        if number == 0:
            return False
        kind = self._all[(number - 1) // VARIANTS % len(self._all)]
        faults = self._faults(kind, workers, [each for each in clients if each.alive])
        if not faults or self._seen[kind] >= KINDS[kind][0]:
            return False
        self._seen[kind] += 1
        faults[(number - 1) % VARIANTS % len(faults)]()
        return True

    def _draw(self, source: random.Random) -> int:
        """A fault as a number, often none."""
        kinds = [kind for kind in self._known if self._seen[kind] < KINDS[kind][0]]
        if not kinds or source.randrange(100) >= self._of_a_hundred:
            return 0
        [kind] = source.choices(kinds, [KINDS[kind][1] for kind in kinds])
        return 1 + self._all.index(kind) * VARIANTS + source.randrange(VARIANTS)

    def _faults(self, kind: str, workers: Sequence[Worker], clients: Sequence[Process]) -> list[Fault]:
        match kind:
            case "loss":
                return self._losses()
            case "jump":
                return [partial(self._jump, seconds) for seconds in JUMPS]
            case "client crash":
                return [partial(self._crash, client) for client in clients]
            case "crash":
                return [partial(self._crash, worker) for worker in workers]
            case "stop":
                return [partial(self._stop, worker) for worker in workers]
            case "freeze":
                return [partial(self._freeze, worker, seconds) for worker in workers for seconds in FREEZES]
            case _:
                return [partial(self._cut, worker, seconds) for worker in workers for seconds in CUTS]

    def _losses(self) -> list[Fault]:
        """Everything that can become of the messages under way."""
        network, now = self._network, self._clock.ms
        replies = [each for each in network.replies if each.actor.process.frozen_until <= now]
        wanted = [each for each in network.deliverable() if each.wanted]
        requests = [each for each in wanted if each.actor.process.frozen_until <= now]
        lost = [partial(network.lose_reply, reply) for reply in replies]
        return [
            *lost,
            *(partial(network.lose_request, request) for request in requests),
            *(partial(network.give_up, request) for request in requests),
        ]

    def _crash(self, process: Process) -> None:
        self._trace.say(process.name, "crashes")
        process.alive = False

    def _freeze(self, worker: Worker, seconds: int) -> None:
        self._trace.say(worker.name, f"is frozen for {seconds} s")
        worker.frozen_until = self._clock.ms + seconds * 1000

    def _cut(self, worker: Worker, seconds: int) -> None:
        self._trace.say(worker.name, f"is cut off for {seconds} s")
        worker.cut_until = self._clock.ms + seconds * 1000
        self._network.cut(worker)

    def _stop(self, worker: Worker) -> None:
        self._trace.say(worker.name, "is told to stop")
        worker.stop()

    def _jump(self, seconds: int) -> None:
        self._trace.say("broker", f"has its clock jump by {seconds} s")
        self._clock.jump(seconds)
