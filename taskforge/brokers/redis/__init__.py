"""The broker on Redis and Valkey."""

from taskforge.brokers.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
