"""Connections are few, and lent in turn."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest

from taskforge.brokers.deadline import until
from taskforge.brokers.protocol import BrokerSettings
from taskforge.brokers.redis import RedisBroker, speech
from taskforge.brokers.redis.lending import Lending
from taskforge.brokers.redis.wire import CONNECTIONS
from taskforge.brokers.stamp import Sender
from taskforge.errors import BrokerUnavailable
from taskforge.job import JobState, NewJob
from tests.servers import Server

LONG = 20.0


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.001)


def test_no_more_are_made_than_there_may_be_and_none_is_lent_twice() -> None:
    held: Counter[object] = Counter()
    most: list[int] = []
    lending = Lending(object, 3)

    def use() -> None:
        for _ in range(300):
            thing = lending.borrow(LONG)
            held[thing] += 1
            most.append(held[thing])
            held[thing] -= 1
            lending.give_back(thing)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)

    assert len(most) == 12 * 300
    assert max(most) == 1
    assert len(held) <= 3


def test_who_comes_first_is_served_first() -> None:
    lending = Lending(object, 1)
    thing = lending.borrow(LONG)
    served: list[int] = []

    def borrow(name: int) -> None:
        thing = lending.borrow(LONG)
        served.append(name)
        lending.give_back(thing)

    threads = []
    for name in range(4):
        threads.append(threading.Thread(target=borrow, args=(name,)))
        threads[-1].start()
        wait_for(lambda: len(lending._line) == len(threads))
    lending._idle.append(thing)  # it is coming back, and somebody comes at this very moment
    assert lending.borrow(0.0) is None
    for thread in threads:
        thread.join(LONG)

    assert served == [0, 1, 2, 3]
    assert lending.borrow(0.0) is thing


def test_who_has_waited_long_enough_goes_without_and_leaves_no_place_in_line() -> None:
    lending = Lending(object, 1)
    thing = lending.borrow(LONG)

    assert lending.borrow(0.01) is None

    lending.give_back(thing)
    assert lending.borrow(0.0) is thing


def test_a_process_needs_few_connections_however_many_threads_call(server: Server, redis_url: str) -> None:
    with closing(RedisBroker(redis_url, BrokerSettings("t"))) as broker, server.client() as client:
        broker.open()
        before = client.info("stats")["total_connections_received"]

        def call(name: int) -> None:
            sender = Sender()
            for n in range(30):
                broker.enqueue([NewJob(f"{name}.{n}", "q", b"")], sender.stamp())

        threads = [threading.Thread(target=call, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)

        assert broker.inspector.counts("q").ready == 16 * 30
        assert client.info("stats")["total_connections_received"] - before < 2


def test_who_finds_all_connections_in_use_is_told_when_the_time_is_up(redis_url: str) -> None:
    with closing(RedisBroker(redis_url, BrokerSettings("t"))) as broker:
        broker.open()
        speakers = broker._wire._speakers
        taken = [speakers.borrow(LONG) for _ in range(CONNECTIONS)]

        with until(time.monotonic() + 0.05), pytest.raises(BrokerUnavailable, match="earlier calls"):
            broker.inspector.queues()

        for speaker in taken:
            assert speaker is not None
            speakers.give_back(speaker)
        assert broker.inspector.queues() == []


def test_without_hiredis_it_is_only_slower(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "hiredis", None)
    sender = Sender()
    with closing(RedisBroker(redis_url, BrokerSettings("t"))) as broker:
        jobs = [NewJob("a", "q", b"A"), NewJob("b", "other", b"B")]

        assert [enqueued.new for enqueued in broker.enqueue(jobs, sender.stamp())] == [True, True]
        assert [enqueued.new for enqueued in broker.enqueue(jobs, sender.stamp())] == [False, False]
        assert [record.body for record in broker.inspector.list("q", JobState.READY)] == [b"A"]
