"""Runs simulations by their seeds, and keeps what failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from taskforge.testing.simulation.choices import Choices, Recorded
from taskforge.testing.simulation.mishaps import Mishaps
from taskforge.testing.simulation.opening import OpenBroker, in_memory
from taskforge.testing.simulation.scheduler import Violation
from taskforge.testing.simulation.world import World


@dataclass(frozen=True)
class Failure:
    """A simulation in which a promise was not kept. `choices` repeat it, `trace` tells it in plain words."""

    seed: int | None
    choices: Recorded
    why: str
    trace: str

    @property
    def steps(self) -> int:
        """How many lines the trace has."""
        return self.trace.count("\n") + 1

    @property
    def kind(self) -> str:
        """What went wrong, without which job it was."""
        return re.sub(r"job \d+|\d+", "#", self.why.partition(";")[0].partition("\n")[0])

    def __str__(self) -> str:
        return f"{self.trace}\n\n{self.why}"


def simulate(
    seed: int, broker: OpenBroker = in_memory, show: Callable[[str], object] = lambda trace: None
) -> Failure | None:
    """Run the simulation of this seed; None when every promise was kept.

    `broker` opens an empty one for each simulation. `show` gets the trace of one that went well.
    """
    return _run(Choices(seed), broker, seed, show)


def replay(choices: Recorded, broker: OpenBroker = in_memory) -> Failure | None:
    """Run the simulation that these choices dictate."""
    return _run(Choices(given=choices), broker, None, lambda trace: None)


def search(seeds: Iterable[int], broker: OpenBroker = in_memory) -> Failure | None:
    """The first of these seeds that fails; None when none does."""
    for seed in seeds:
        failure = simulate(seed, broker)
        if failure is not None:
            return failure
    return None


def _run(choices: Choices, broker: OpenBroker, seed: int | None, show: Callable[[str], object]) -> Failure | None:
    with Mishaps() as mishaps:
        world = World(choices, broker)
        try:
            world.run()
            if mishaps.found:
                raise Violation(mishaps.found[0])
        except Violation as violation:
            why = world.ledger.spelled(str(violation))
            return Failure(seed, choices.made, why, str(world.trace))
        show(str(world.trace))
    return None
