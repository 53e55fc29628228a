"""Brokers, and the one place that maps a URL to one."""

from __future__ import annotations

import importlib

from taskforge.brokers.protocol import Broker, BrokerSettings
from taskforge.errors import SettingsError
from taskforge.settings import nearest

#: scheme → module and class, loaded when a URL asks for it: a program on SQLite never pays for redis.
_BROKERS = {
    "sqlite": ("taskforge.brokers.sqlite", "SqliteBroker"),
    "memory": ("taskforge.brokers.sqlite", "SqliteBroker"),
    "redis": ("taskforge.brokers.redis", "RedisBroker"),
    "rediss": ("taskforge.brokers.redis", "RedisBroker"),
    "unix": ("taskforge.brokers.redis", "RedisBroker"),
    "redis+sentinel": ("taskforge.brokers.redis", "RedisBroker"),
    "rediss+sentinel": ("taskforge.brokers.redis", "RedisBroker"),
}
#: Schemes that the design has room for and no code yet.
_LATER = {"redis+cluster": "Redis Cluster"}


def open_broker(url: str, settings: BrokerSettings) -> Broker:
    """The broker behind this URL, not connected yet.

    Raises SettingsError for a URL that names none.
    """
    scheme = url.partition("://")[0]
    if scheme in _LATER:
        raise SettingsError(f"broker: {_LATER[scheme]} ({scheme}://) is not supported yet; use one server by redis://")
    if scheme not in _BROKERS or "://" not in url:
        raise SettingsError(f"broker: {scheme!r} is no scheme of a broker{nearest(scheme, list(_BROKERS))}")
    module, name = _BROKERS[scheme]
    broker: Broker = getattr(importlib.import_module(module), name)(url, settings)
    return broker
