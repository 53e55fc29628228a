"""What a Redis has confirmed is there after its plug was pulled. `python -m tests.faults.durability`: in full size."""

from __future__ import annotations

import logging

import pytest

from taskforge import BrokerUnsupported, Taskforge
from taskforge.brokers.protocol import BrokerSettings
from taskforge.brokers.redis import RedisBroker
from tests.bad_input.fake_redis import fake_redis
from tests.faults.durability import failover, kill
from tests.servers import Engine, serve

#: Confirmed enqueues; the full size is 100,000.
JOBS = 2_000


@pytest.mark.parametrize(("fsync", "durability"), [("no", "default"), ("always", "disk")], ids=["default", "disk"])
def test_a_killed_server_that_writes_its_file_has_what_it_confirmed(
    engine: Engine, fsync: str, durability: str
) -> None:
    if durability == "disk" and engine.name.startswith("redis-7.0"):
        durability = "default"  # without WAITAOF, `appendfsync always` is as good: its answer waits for the disk

    loss = kill(engine, ("--appendonly", "yes", "--appendfsync", fsync), durability, JOBS)

    assert loss.enqueued >= JOBS
    assert loss.settled > 0
    assert (loss.jobs, loss.settlements) == (0, 0)


def test_a_replica_that_takes_over_has_what_two_servers_confirmed(
    newest: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "taskforge.worker")

    loss = failover(newest, "kill", "replicated", JOBS)

    said = [record.getMessage() for record in caplog.records]
    assert (said.count("broker_lost"), said.count("broker_back")) == (1, 1)

    assert loss.enqueued >= JOBS
    assert loss.settled > 0
    assert (loss.jobs, loss.settlements) == (0, 0)


@pytest.mark.parametrize("fsync", ["no", "everysec"])
def test_disk_is_refused_where_not_each_write_is_fsynced(engine: Engine, fsync: str) -> None:
    with serve(engine, "--appendonly", "yes", "--appendfsync", fsync) as own:
        with Taskforge("shop", broker=own.url, durability="disk") as app:
            with pytest.raises(BrokerUnsupported, match=r"set appendfsync always|WAITAOF"):
                app.broker.open()


def test_every_replica_that_keeps_up_must_confirm_and_no_other() -> None:
    replicas = ["state=online,offset=9,lag=0", "state=online,offset=9,lag=1", "state=online,lag=9", "state=wait_bgsave"]
    told = "".join(f"slave{at}:ip=10.0.0.{at},port=6379,{replica}\r\n" for at, replica in enumerate(replicas))

    with fake_redis(f"redis_version:7.2.4\r\nrole:master\r\nconnected_slaves:4\r\n{told}") as url:
        broker = RedisBroker(url, BrokerSettings("t", durability="replicated"))
        broker.open()
        broker.close()

    assert broker._wire._confirm[0][:2] == ("WAIT", 2)
