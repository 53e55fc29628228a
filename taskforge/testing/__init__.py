"""What tests of taskforge, of its brokers and of programs that use it are built from.

`taskforge.testing.conformance` needs pytest and is therefore imported by name.
"""

from __future__ import annotations

from taskforge.testing.clock import FakeClock
from taskforge.testing.faults import FlakyBroker

__all__ = ["FakeClock", "FlakyBroker"]
