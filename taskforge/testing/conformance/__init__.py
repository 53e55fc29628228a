"""The specification of a broker as tests.

Subclass `BrokerConformance` in a test module, say how to open your broker and what its storage holds, and pytest runs
every promise of `taskforge.brokers.protocol` against it:

    class TestMine(BrokerConformance):
        @pytest.fixture(autouse=True)
        def storage(self, tmp_path):
            self.path = tmp_path / "jobs"

        def open(self, settings):
            return MyBroker(self.path, settings)

        def leftovers(self, broker):
            return [name for name in broker.files() if name not in {"version"}]

`taskforge.testing.BrokerWrapper` is a broker to begin with: it passes every call on to another one. A promise that is
not kept shows the values it was about, because taskforge's pytest plugin sees to it; where that is switched off,
`conftest.py` must say `pytest.register_assert_rewrite("taskforge.testing.conformance")`.
"""

from __future__ import annotations

from taskforge.testing.conformance.ahead import ClaimingAhead
from taskforge.testing.conformance.attending import Attending
from taskforge.testing.conformance.bells import Bells
from taskforge.testing.conformance.claiming import Claiming
from taskforge.testing.conformance.closing import Closing
from taskforge.testing.conformance.crashing import Crashing
from taskforge.testing.conformance.ends import Ends
from taskforge.testing.conformance.enqueueing import Enqueueing
from taskforge.testing.conformance.fencing import Fencing
from taskforge.testing.conformance.losing import Losing
from taskforge.testing.conformance.mending import Mending
from taskforge.testing.conformance.numbers import Numbers
from taskforge.testing.conformance.passing import Passing
from taskforge.testing.conformance.pressure import Pressing
from taskforge.testing.conformance.reading import Reading
from taskforge.testing.conformance.register import Registering
from taskforge.testing.conformance.resent import ResentClaims
from taskforge.testing.conformance.retention import Keeping
from taskforge.testing.conformance.settling import Settling

__all__ = ["BrokerConformance"]


class BrokerConformance(
    Enqueueing,
    Claiming,
    ClaimingAhead,
    Settling,
    Fencing,
    Losing,
    Closing,
    Crashing,
    Passing,
    Keeping,
    Numbers,
    ResentClaims,
    Reading,
    Mending,
    Bells,
    Ends,
    Pressing,
    Registering,
    Attending,
):
    """Every promise of the broker protocol."""
