"""What every simulated process works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from taskforge.app import Taskforge
from taskforge.task import Call
from taskforge.testing.simulation.choices import Choices
from taskforge.testing.simulation.ledger import Ledger
from taskforge.testing.simulation.network import Connection
from taskforge.testing.simulation.runs import Runs
from taskforge.testing.simulation.scheduler import Process, Scheduler
from taskforge.testing.simulation.trace import Trace


@dataclass(frozen=True)
class Scene:
    """The same for all of them, but for the connection that each one gets."""

    app: Taskforge
    tasks: Sequence[Call[..., object]]
    choices: Choices
    scheduler: Scheduler
    ledger: Ledger
    runs: Runs
    trace: Trace
    connect: Callable[[Process], Connection]
