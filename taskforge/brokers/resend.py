"""Sends a call again until it is answered: the other half of the stamp's promise."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from taskforge.brokers.deadline import left, until
from taskforge.brokers.protocol import Broker
from taskforge.errors import BrokerUnavailable

T = TypeVar("T")

#: The first wait between two tries is below this many seconds, and doubles; and it never exceeds the second one.
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0


def resend(call: Callable[[], T], broker: Broker, patience: float) -> T:
    """The answer to `call`, which is made again, the same, each time it raises BrokerUnavailable.

    Gives up with that error after `patience` seconds. Between two tries it waits until the broker answers at all.
    """
    deadline = time.monotonic() + left(patience)
    with until(deadline):
        while True:
            try:
                return call()
            except BrokerUnavailable:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise
            reach(broker, remaining)


def reach(broker: Broker, patience: float) -> None:
    """Return when the broker answers. Raises BrokerUnavailable after `patience` seconds without an answer."""
    Retrying(
        retry=retry_if_exception_type(BrokerUnavailable),
        stop=stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        reraise=True,
    )(broker.open)
