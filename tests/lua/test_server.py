"""What a server may do to a call, and what the caller is told then."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from taskforge.brokers.protocol import BrokerSettings, Demand
from taskforge.brokers.redis import RedisBroker
from taskforge.brokers.stamp import Sender
from taskforge.errors import BrokerRefused, BrokerUnavailable, BrokerUnsupported, SettingsError
from taskforge.job import NewJob
from taskforge.settlement import Ack
from tests.servers import Engine, Server, serve

ONE = Demand((1,), (("q", (0,)),))


@contextmanager
def opened(url: str, durability: str = "default", timeout: float = 5.0) -> Iterator[RedisBroker]:
    settings = BrokerSettings(prefix="t", durability=durability, timeout=timedelta(seconds=timeout))
    with closing(RedisBroker(url, settings)) as broker:
        yield broker


def job(id: str, body: bytes = b"body") -> NewJob:
    return NewJob(id, "q", body)


def test_scripts_that_the_server_has_forgotten_are_loaded_again(server: Server, redis_url: str) -> None:
    sender = Sender()
    with opened(redis_url) as broker, server.client() as client:
        broker.enqueue([job("a")], sender.stamp())
        client.script_flush()

        jobs = [job("b"), NewJob("c", "other", b"")]
        assert [enqueued.new for enqueued in broker.enqueue(jobs, sender.stamp())] == [True, True]


def test_a_cut_connection_says_unknown_and_the_next_try_gets_the_answer(server: Server, redis_url: str) -> None:
    stamp = Sender().stamp()
    with opened(redis_url) as broker, server.client() as client:
        broker.enqueue([job("a")], stamp)
        client.client_kill_filter(_type="normal", skipme=True)

        with pytest.raises(BrokerUnavailable, match="check that it runs"):
            broker.enqueue([job("a")], stamp)
        assert [enqueued.new for enqueued in broker.enqueue([job("a")], stamp)] == [True]


def test_a_server_that_does_not_answer_in_time_says_unknown(server: Server, redis_url: str) -> None:
    with opened(redis_url, timeout=0.1) as broker, server.client() as client:
        broker.open()
        client.client_pause(300)

        with pytest.raises(BrokerUnavailable):
            broker.enqueue([job("a")], Sender().stamp())
        client.client_unpause()


def test_a_full_memory_refuses_jobs_but_not_settlements(engine: Engine) -> None:
    sender, keep = Sender(), timedelta(hours=1)
    with serve(engine) as own, opened(own.url) as broker, own.client() as client:
        broker.enqueue([job("a"), job("b")], sender.stamp())
        kept = sender.stamp()
        first = broker.exchange(ONE, [], kept)
        client.config_set("maxmemory", 1)

        with pytest.raises(BrokerRefused, match="maxmemory"):
            broker.enqueue([job("c")], sender.stamp())
        assert broker.exchange(ONE, [], kept).deliveries == first.deliveries
        assert broker.extend(first.deliveries).lost == []
        acks = [Ack(first.deliveries[0], keep, timedelta(0))]
        second = broker.exchange(ONE, acks, sender.stamp())

        assert (second.refused, [delivery.id for delivery in second.deliveries]) == (frozenset(), ["b"])


def test_a_replica_is_refused_until_it_is_the_master(engine: Engine) -> None:
    with serve(engine) as own, own.client() as client, opened(own.url) as broker:
        broker.open()
        client.execute_command("REPLICAOF", "127.0.0.1", "1")

        with pytest.raises(BrokerRefused, match="names the master"):
            broker.enqueue([job("a")], Sender().stamp())
        with pytest.raises(BrokerRefused, match="replica"):
            broker.open()


@pytest.mark.parametrize(
    ("options", "durability", "said"),
    [
        (("--maxmemory-policy", "allkeys-lru"), "default", "set noeviction"),
        ((), "disk", "append-only file|WAITAOF"),
        ((), "replicated", "needs a replica"),
    ],
    ids=["evicts", "disk", "replicated"],
)
def test_a_server_that_cannot_keep_the_promises_is_refused(
    engine: Engine, options: tuple[str, ...], durability: str, said: str
) -> None:
    with serve(engine, *options) as own, opened(own.url, durability) as broker:
        with pytest.raises(BrokerUnsupported, match=said):
            broker.open()
        with pytest.raises(BrokerUnsupported, match=said):
            broker.enqueue([job("a")], Sender().stamp())


def test_what_shall_be_on_disk_is(engine: Engine) -> None:
    with serve(engine, "--appendonly", "yes", "--appendfsync", "always") as own, opened(own.url, "disk") as broker:
        if engine.name.startswith("redis-7.0"):
            with pytest.raises(BrokerUnsupported, match="WAITAOF"):
                broker.open()
            return
        assert broker.enqueue([job("a")], Sender().stamp())[0].new


def test_a_change_that_no_replica_confirms_is_of_unknown_outcome(engine: Engine) -> None:
    stamp = Sender().stamp()
    with serve(engine) as own, opened(own.url, "replicated", timeout=1.0) as broker:
        broker._wire._checked_in = os.getpid()  # as if the replica had gone after the check

        with pytest.raises(BrokerUnavailable, match="outcome unknown"):
            broker.enqueue([job("a")], stamp)


def test_a_server_that_tells_nothing_about_itself_is_used_with_a_warning(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(engine) as own, own.client() as client:
        client.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-info"])
        with caplog.at_level(logging.WARNING), opened(f"unix://guest:x@{own.socket}") as broker:
            assert broker.enqueue([job("a")], Sender().stamp())[0].new
    assert "could not be checked" in caplog.text


def test_no_password_is_ever_told(redis_url: str) -> None:
    with opened(redis_url.replace("unix://", "unix://user:secret@")) as broker:
        with pytest.raises(BrokerUnsupported, match="user and password") as caught:
            broker.open()
        assert "secret" not in str(caught.value) + broker.describe()
    for url in ("redis://:secret@host:7000/3", "rediss://u:secret@host/3"):
        assert "secret" not in RedisBroker(url, BrokerSettings("t")).describe()


@pytest.mark.parametrize("url", ["redis://host/?nonsense=1", "http://host", "redis://host:port"])
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(SettingsError, match="URL"):
        RedisBroker(url, BrokerSettings("t"))


def test_a_forked_child_starts_on_connections_of_its_own(redis_url: str) -> None:
    with opened(redis_url) as broker:
        broker.enqueue([job("a")], Sender().stamp())
        child = os.fork()
        if child == 0:
            try:
                broker.enqueue([job("b")], Sender().stamp())
                os._exit(0 if broker.wait(["q"], 1.0) else 2)
            except BaseException:
                os._exit(1)

        assert os.waitpid(child, 0)[1] == 0
        assert broker.inspector.counts("q").ready == 2


def test_an_interrupted_wait_stays_armed(server: Server, redis_url: str) -> None:
    with opened(redis_url) as broker, server.client() as client:
        broker.wake()
        assert broker.wait(["q"], 30.0) is False
        armed = [c["id"] for c in client.client_list() if c["cmd"] == "blpop"]

        broker.enqueue([job("a")], Sender().stamp())
        assert client.llen("t:{q}:bell") == 0
        assert broker.wait(["q"], 30.0) is True

        assert len(armed) == 1


def test_a_wait_ends_when_its_time_is_up(redis_url: str) -> None:
    with opened(redis_url) as broker:
        assert broker.wait(["q"], 0.05) is True
        broker.wake()
        assert broker.wait(["q"], 30.0) is False
        started = time.monotonic()
        assert broker.wait(["q"], 0.05) is True
        assert broker.wait([], 0.05) is True
        assert broker.wait(["q"], 0.0) is True
        assert 0.09 < time.monotonic() - started < 5


def test_a_wait_whose_connection_dies_says_so(server: Server, redis_url: str) -> None:
    with opened(redis_url) as broker, server.client() as client:
        broker.wake()
        broker.wait(["q"], 30.0)
        client.client_kill_filter(_type="normal", skipme=True)

        with pytest.raises(BrokerUnavailable):
            broker.wait(["q"], 30.0)


def test_closing_a_waiter_ends_its_listening(redis_url: str) -> None:
    with opened(redis_url) as broker:
        waiter = broker.waiter()
        heard: list[list[str]] = []
        thread = threading.Thread(target=lambda: heard.append(waiter.listen(60.0)))
        thread.start()

        waiter.close()
        thread.join(10.0)

        assert heard == [[]]
