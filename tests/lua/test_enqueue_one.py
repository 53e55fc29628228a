"""enqueue_one.lua"""

from __future__ import annotations

from typing import Any

import pytest
import redis

from taskforge.brokers.redis.keys import ONE_JOB_KEYS
from taskforge.brokers.redis.scripts import script
from tests.lua.conftest import NOW, Bench, body, place


def put(bench: Bench, id: str, text: bytes, priority: int = 0, *, again: bool = False) -> Any:
    bench.number += not again
    called = script("enqueue_one")
    arguments = {"now": bench.now, "number": bench.number, "id": id, "body": text, "rank": 100 - priority}
    command = called.call(bench.keys.for_one("q", "s"), **arguments)
    return bench.client.eval(called.source, len(ONE_JOB_KEYS), *command[3:])


def everything(bench: Bench) -> Any:
    return bench.state(), bench.meta(), bench.client.get(bench.keys.for_one("q", "s")[-1])


def test_one_job_is_accepted_as_in_a_batch(bench: Bench) -> None:
    assert [put(bench, "a", b"A"), put(bench, "b", b"B" * 5_000, 7)] == [1, 1]
    one_by_one = everything(bench)
    bench.client.flushall()
    bench.number = 0

    bench.enqueue(["a", b"A", 0])
    bench.enqueue(["b", b"B" * 5_000, 7])

    assert everything(bench) == one_by_one
    assert one_by_one[0]["jobs"] == {b"a": body(b"A", 1), b"b": body(b"B" * 5_000, 0, priority=7)}
    assert one_by_one[0]["ready"] == {b"a": place(1), b"b": place(2, 7)}
    assert bench.now == NOW


def test_a_known_id_and_a_call_that_was_here_before_are_left_to_the_other_script(bench: Bench) -> None:
    put(bench, "a", b"A")
    before = everything(bench)

    assert put(bench, "a", b"A", again=True) == 0
    assert put(bench, "a", b"other") == 0

    assert everything(bench) == before


def test_a_call_that_was_here_before_does_not_bring_back_what_has_gone_since(bench: Bench) -> None:
    put(bench, "a", b"A")
    bench.run("purge", sender="other", state="ready")
    bench.number -= 1

    assert put(bench, "a", b"A", again=True) == 0
    assert "jobs" not in bench.state()


def test_stale_calls_and_foreign_layouts_are_refused(bench: Bench) -> None:
    put(bench, "a", b"A")
    put(bench, "b", b"B")
    bench.number = 0

    with pytest.raises(redis.ResponseError, match=r"^STALE 2"):
        put(bench, "c", b"C")
    bench.client.set(bench.key("meta"), b"\0\2\0\1")
    with pytest.raises(redis.ResponseError, match=r"^LAYOUT 2"):
        put(bench, "c", b"C")
