"""Tries a broker that does not answer until it does, ever less often."""

from __future__ import annotations

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from taskforge.brokers.protocol import Broker
from taskforge.errors import BrokerUnavailable

#: The first wait between two tries is below this many seconds, and doubles; and it never exceeds the second one.
FIRST_WAIT, LONGEST_WAIT = 0.05, 0.5


def knock(broker: Broker, patience: float) -> None:
    """Return when the broker answers. Raises BrokerUnavailable after `patience` seconds without an answer."""
    Retrying(
        retry=retry_if_exception_type(BrokerUnavailable),
        stop=stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        reraise=True,
    )(broker.open)
