"""What a broker supplies to be held to the specification, and the fixtures that its tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskforge.brokers.protocol import Broker, BrokerSettings, Retention
from taskforge.testing.clock import FakeClock
from taskforge.testing.conformance.rig import Rig

#: Small enough to overflow in a test, large enough not to disturb one that is about something else.
SMALL = Retention(finished=5, results=5, result_bytes=10_000, dead=5)


class Suite:
    """Subclass, and give `open` and `leftovers`. Every test gets storage that no other test has touched."""

    def open(self, settings: BrokerSettings) -> Broker:
        """A new broker object with these settings; all of one test's on the same storage."""
        raise NotImplementedError

    def leftovers(self, broker: Broker) -> list[str]:
        """What the storage of QUEUE and OTHER holds beyond the few things that may stay when every job has aged out.

        One sender has just called; what is remembered of it may stay.
        """
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def rig(self, clock: FakeClock) -> Iterator[Rig]:
        rig = Rig(self.open, clock, Retention())
        yield rig
        rig.close()

    @pytest.fixture
    def small_rig(self, clock: FakeClock) -> Iterator[Rig]:
        """A rig whose queues keep next to nothing of their past."""
        rig = Rig(self.open, clock, SMALL)
        yield rig
        rig.close()
