"""The Redis broker keeps the specification, on every engine of this machine."""

from __future__ import annotations

from contextlib import closing

import pytest
import redis

from taskforge.brokers.protocol import SENDER_AGE, Broker, BrokerSettings
from taskforge.brokers.redis import RedisBroker
from taskforge.testing.conformance import BrokerConformance

#: One key of facts and at most one token per queue ever used, and the set of known queues.
MAY_STAY = (":meta", ":bell", ":queues")


class TestRedis(BrokerConformance):
    @pytest.fixture(autouse=True)
    def storage(self, redis_url: str) -> None:
        self.url = redis_url

    def open(self, settings: BrokerSettings) -> Broker:
        return RedisBroker(self.url, settings)

    def leftovers(self, broker: Broker) -> list[str]:
        with closing(redis.Redis.from_url(self.url, decode_responses=True)) as client:
            lives = {str(key): client.pttl(key) for key in client.scan_iter()}
        # What a test's clock cannot age, the server does: a key that goes by itself within a sender's age is as good
        # as gone.
        lasting = [key for key, life in lives.items() if not 0 < life <= SENDER_AGE.total_seconds() * 1000]
        return [key for key in lasting if not key.endswith(MAY_STAY)]
