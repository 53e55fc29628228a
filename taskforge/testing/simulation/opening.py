"""Which broker is simulated: opened empty for each simulation."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from taskforge.brokers import open_broker
from taskforge.brokers.protocol import Broker, BrokerSettings
from taskforge.testing.storage import storage_of

#: Opens a broker that is empty, with the settings it is given: their clock above all.
OpenBroker = Callable[[BrokerSettings], Broker]


def in_memory(settings: BrokerSettings) -> Broker:
    """A broker of our own that nobody else has."""
    return open_broker("memory://", settings)


def opener(name: str) -> OpenBroker:
    """From a URL, whose broker is emptied each time, or from module:function, as for a broker of your own.

    Raises ImportError or AttributeError for what cannot be found.
    """
    if "://" in name:
        return lambda settings: _emptied(name, settings)
    module, _, function = name.partition(":")
    return cast("OpenBroker", getattr(importlib.import_module(module), function or "open_broker"))


def _emptied(url: str, settings: BrokerSettings) -> Broker:
    broker = open_broker(url, settings)
    broker.open()
    storage_of(broker, settings.prefix).clear()
    return broker
