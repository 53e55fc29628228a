"""enqueue.lua"""

from __future__ import annotations

import pytest
import redis

from tests.lua.conftest import NOW, Bench, body, due, place, state


def test_jobs_become_ready_in_their_order_or_delayed(bench: Bench) -> None:
    answer = bench.enqueue(["a", b"A", 0], ["b", b"B", 7], ["c", b"C", -100, 500, False, False, False])

    assert answer == b"111"
    assert bench.state() == {
        "jobs": {b"a": body(b"A", 1), b"b": body(b"B", 2, priority=7), b"c": body(b"C", 0, priority=-100)},
        "ready": {b"a": place(1), b"b": place(2, 7)},
        "delayed": {b"c": due(NOW + 500, -100)},
        "bell": [b"1"],
    }
    assert bench.meta() == state(NOW, turn=2, due=NOW + 500)


def test_of_equal_ids_the_first_stands_for_all(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    before = bench.state()

    answer = bench.enqueue(["a", b"other", 9], ["b", b"B", 0], ["b", b"other", 0])

    assert answer == b"010"
    assert bench.state() == {
        **before,
        "jobs": {b"a": body(b"A", 1), b"b": body(b"B", 2)},
        "ready": {b"a": place(1), b"b": place(2)},
    }


def test_a_due_time_that_has_passed_means_now(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0, 0, False, False, False], ["b", b"", 0, False, NOW, False, False])

    assert bench.state()["ready"] == {b"a": place(1), b"b": place(2)}


def test_expiry_is_a_span_or_a_moment(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0, False, False, 70, False], ["b", b"", 0, 5, False, False, NOW + 9])

    assert bench.state()["expiring"] == {b"a": NOW + 70, b"b": NOW + 9}


def test_a_time_beyond_what_a_score_holds_becomes_the_latest(bench: Bench) -> None:
    bench.enqueue(["a", b"", 3, False, 253_402_300_799_000, False, False])

    assert bench.state()["delayed"] == {b"a": due(2**45 - 1, 3)}


def test_only_a_delayed_job_that_is_the_soonest_rings(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0, 500, False, False, False])
    bench.client.delete(bench.key("bell"))

    bench.enqueue(["b", b"", 0, 900, False, False, False])
    assert "bell" not in bench.state()

    bench.enqueue(["c", b"", 0, 100, False, False, False])
    assert bench.state()["bell"] == [b"1"]


def test_the_same_call_again_gets_the_same_answer_and_changes_nothing(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    first = bench.enqueue(["a", b"A", 0], ["b", b"B", 0])
    before = bench.state(), bench.meta()

    assert bench.enqueue(["a", b"A", 0], ["b", b"B", 0], again=True) == first
    assert (bench.state(), bench.meta()) == before


def test_an_earlier_call_is_stale(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    bench.enqueue(["b", b"B", 0])
    before = bench.state(), bench.meta()
    bench.number -= 2

    with pytest.raises(redis.ResponseError, match=r"^STALE 2"):
        bench.enqueue(["c", b"C", 0])
    assert (bench.state(), bench.meta()) == before


def test_a_senders_record_is_no_longer_believed_after_its_age(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    bench.now += 900_001

    assert bench.enqueue(["b", b"B", 0], again=True) == b"1"
    assert 840_000 < bench.client.pttl(bench.keys.numbered("q", "s")[-1]) <= 900_000


def test_a_queue_of_another_epoch_is_refused(bench: Bench) -> None:
    bench.client.set(bench.key("meta"), b"\0\2\0\1")

    with pytest.raises(redis.ResponseError, match=r"^LAYOUT 2"):
        bench.enqueue(["a", b"A", 0])
    assert bench.state() == {}


def test_what_a_later_level_has_added_stays(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    bench.client.setrange(bench.key("meta"), 2, b"\0\2")
    bench.client.append(bench.key("meta"), b"more")

    bench.enqueue(["b", b"B", 0])

    kept = bench.client.get(bench.key("meta"))
    assert (kept[:4], kept[-4:]) == (b"\0\1\0\2", b"more")
    assert bench.state()["ready"][b"b"] == place(2)


def test_how_long_a_senders_record_lives_is_said_anew_each_minute(bench: Bench) -> None:
    record = bench.keys.numbered("q", "s")[-1]
    bench.enqueue(["a", b"A", 0])
    bench.client.pexpire(record, 5_000)

    bench.now += 60_000
    bench.enqueue(["b", b"B", 0])
    assert bench.client.pttl(record) <= 5_000

    bench.now += 1
    bench.enqueue(["c", b"C", 0])
    assert bench.client.pttl(record) > 5_000


def test_the_id_of_a_job_that_aged_out_is_free_again(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    number = bench.exchange(1)[5]
    bench.exchange(0, ["a", number, [1, 1_000, 5, "", b"result"]])
    bench.now += 1_000

    assert bench.enqueue(["a", b"new", 0]) == b"1"
    assert bench.state() == {
        "jobs": {b"a": body(b"new", 2, bench.now)},
        "ready": {b"a": place(2)},
        "bell": [b"1"],
    }
    assert bench.meta()["bytes"] == 0
