"""The broker for one machine: a file, or memory."""

from taskforge.brokers.sqlite.broker import SqliteBroker

__all__ = ["SqliteBroker"]
