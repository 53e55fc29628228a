"""What tests of taskforge, of its brokers and of programs that use it are built from.

Needs no pytest, but for `taskforge.testing.conformance` and the plugin (`taskforge.testing.plugin`), which are imported
by name.
"""

from __future__ import annotations

from taskforge.testing.clock import FakeClock
from taskforge.testing.driving import NeverIdle
from taskforge.testing.faults import FlakyBroker
from taskforge.testing.finished import FinishedRun
from taskforge.testing.kit import Kit, RunUntilIdle, under_test
from taskforge.testing.leftovers import LeftOver
from taskforge.testing.proxy import Proxy
from taskforge.testing.recording import EnqueuedJob
from taskforge.testing.wrapping import BrokerWrapper

__all__ = [
    "BrokerWrapper",
    "EnqueuedJob",
    "FakeClock",
    "FinishedRun",
    "FlakyBroker",
    "Kit",
    "LeftOver",
    "NeverIdle",
    "Proxy",
    "RunUntilIdle",
    "under_test",
]
