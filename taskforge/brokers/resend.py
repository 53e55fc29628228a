"""Sends a call again until it is answered: the other half of the stamp's promise."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import TypeVar

from taskforge.brokers.deadline import left, until
from taskforge.brokers.protocol import Broker
from taskforge.errors import BrokerUnavailable

T = TypeVar("T")


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
    started = time.monotonic()
    try:
        return broker.open()
    except BrokerUnavailable:
        # By name: tenacity is loaded once it is needed, as a rule never.
        knock: Callable[[Broker, float], None] = importlib.import_module("taskforge.brokers.knocking").knock
    return knock(broker, patience - (time.monotonic() - started))
