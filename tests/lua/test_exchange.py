"""exchange.lua"""

from __future__ import annotations

import struct
from typing import Any

import pytest
import redis

from tests.lua.conftest import HOUR, LEASE, NOW, Bench, body, due, packed, part, place

ACK, REQUEUE, BURY, CANCEL = 1, 2, 3, 4
UNKNOWN = 2**48 - 1


def entry(
    number: int,
    turn: int | None = None,
    *,
    held: str = "h",
    claimed: int = NOW,
    attempts: int = 0,
    crashes: int = 0,
    lost: bool = False,
    sender: bytes = b"s",
    priority: int = 0,
) -> bytes:
    """What `facts` holds, written out once more by hand. Without a turn, the head of the job tells its place."""
    counts = struct.pack(">HH?", attempts, crashes, lost)
    front = held.encode() + number.to_bytes(6, "big") + claimed.to_bytes(6, "big") + counts
    where = packed(place(turn, priority)) if turn is not None else b"\xff" + bytes(6)
    return front + where + bytes([len(sender)]) + sender


def ending(at: int = NOW, took: int = 5, size: int = 0, reason: bytes = b"") -> bytes:
    return at.to_bytes(6, "big") + took.to_bytes(6, "big") + struct.pack(">I", size) + reason


def lost(at: int, claimed: int = NOW, sender: bytes = b"s") -> bytes:
    """What `errors` holds of a job whose worker was silent for its lease, and that has no other error."""
    note = b"\xc1" + at.to_bytes(6, "big") + claimed.to_bytes(6, "big") + sender
    return struct.pack(">I", len(note)) + note


def ack(id: str, number: int, *result: Any) -> list[Any]:
    return [id, number, [ACK, HOUR, 5, "", *result] if result else 5]


def requeue(id: str, number: int, delay: int, *, counts: int = 0, error: Any = False) -> list[Any]:
    return [id, number, [REQUEUE, HOUR, False, "", False, counts, delay, *([error] if error else [])]]


def bury(id: str, number: int, *, error: Any = False, counts: int = 1) -> list[Any]:
    return [id, number, [BURY, HOUR, 5, "timeout", False, counts, 0, *([error] if error else [])]]


def enqueued(bench: Bench, *ids: str, priority: int = 0) -> None:
    bench.enqueue(*([id, id.encode(), priority] for id in ids))


def claimed(bench: Bench, *ids: str) -> int:
    """These jobs, enqueued and running; their delivery number."""
    enqueued(bench, *ids)
    answer = bench.exchange(len(ids))
    assert answer[6] == [id.encode() for id in ids]
    return int(answer[5])


# Claiming


def test_a_claim_takes_the_best_jobs_under_one_number(bench: Bench) -> None:
    enqueued(bench, "a", "b")
    enqueued(bench, "urgent", priority=9)

    answer = bench.exchange(2)

    assert answer == [
        *([], [], 0, LEASE, 0, NOW, [b"urgent", b"a"]),
        [body(b"urgent", 3, priority=9), body(b"a", 1)],
        [],
    ]
    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1), b"b": body(b"b", 2), b"urgent": body(b"urgent", 3, priority=9)},
        "ready": {b"b": place(2)},
        "running": {b"urgent": NOW + LEASE, b"a": NOW + LEASE},
        "facts": {b"urgent": entry(NOW), b"a": entry(NOW)},
        "bell": [b"1"],
    }


def test_an_empty_claim_stills_the_bell(bench: Bench) -> None:
    bench.client.rpush(bench.key("bell"), 1)

    answer = bench.exchange(3)

    assert answer[2:7] == [0, -1, 0, 0, []]
    assert bench.state() == {}


def test_a_claim_that_was_not_filled_does_not_ring(bench: Bench) -> None:
    enqueued(bench, "a")
    bench.client.delete(bench.key("bell"))

    bench.exchange(3)

    assert "bell" not in bench.state()


def test_a_claim_carries_a_mebibyte_and_at_least_one_job(bench: Bench) -> None:
    bench.enqueue(["big", b"x" * (1 << 20), 0])
    bench.enqueue(*([f"b{i}", b"x" * 30_000, 0] for i in range(50)))

    first, second = bench.exchange(250), bench.exchange(250)

    assert (first[6], first[2]) == ([b"big"], 1)
    assert (len(second[6]), second[2]) == ((1 << 20) // 30_013, 1)
    assert bench.client.zcard(bench.key("running")) == 1 + len(second[6])
    assert bench.state()["bell"] == [b"1"]


def test_one_claim_takes_no_more_than_a_batch(bench: Bench) -> None:
    for at in range(0, 300, 100):
        enqueued(bench, *(f"{n:03}" for n in range(at, at + 100)))

    answer = bench.exchange(1_000)

    assert (len(answer[6]), answer[2]) == (250, 1)


def test_slots_are_shared_by_the_queues_of_a_pool(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0], ["b", b"", 0], queue="one")
    bench.enqueue(["c", b"", 0], ["d", b"", 0], queue="two")

    parts = [part(pools=[1]), part(pools=[1, 2])]
    one, two = bench.exchange_all(parts, [3, 9], queues=("one", "two"))

    assert (one[6], two[6]) == ([b"a", b"b"], [b"c"])


def test_a_claim_ahead_is_noted_and_an_extend_clears_that(bench: Bench) -> None:
    enqueued(bench, "slot", "ahead")

    answer = bench.exchange_all([part(pools=[1], ahead=5)], [1])[0]

    number = answer[5]
    assert answer[6] == [b"slot", b"ahead"]
    assert bench.state()["facts"] == {b"slot": entry(number), b"ahead": entry(number, held="a")}
    bench.run("extend", lease=LEASE, deliveries=["slot", number, "ahead", number])
    assert bench.state()["facts"] == {b"slot": entry(number), b"ahead": entry(number)}


def test_a_job_lost_ahead_counts_no_crash_but_is_marked_for_good(bench: Bench) -> None:
    enqueued(bench, "a", "b")
    number = bench.exchange_all([part(pools=[1], ahead=2)], [0])[0][5]

    look_until(bench, NOW + LEASE)

    assert bench.state()["facts"][b"a"] == entry(number, held="-", claimed=0, lost=True)
    assert bench.exchange_all([part(pools=[1], ahead=2)], [0])[0][6] == []
    again = bench.exchange_all([part(pools=[1], ahead=2)], [1])[0]
    assert (again[6], again[8]) == ([b"a"], [1, bytes(4) + b"d"])
    assert bench.state()["facts"][b"a"] == entry(again[5], 1, claimed=bench.now, lost=True)


def test_slots_that_are_overdrawn_count_against_what_may_be_claimed_ahead(bench: Bench) -> None:
    enqueued(bench, *"abcde")

    first, second = (bench.exchange_all([part(pools=[1], ahead=3)], [free])[0] for free in (-1, -3))

    assert (first[6], second[6]) == ([b"a", b"b"], [])


@pytest.mark.parametrize(
    ("free", "ahead", "pools", "starved"), [(0, 0, [1], 1), (-3, 3, [1], 1), (-3, 4, [1], 0), (0, 0, [], 0)]
)
def test_a_queue_that_has_jobs_and_is_given_no_room_says_so(
    bench: Bench, free: int, ahead: int, pools: list[int], starved: int
) -> None:
    assert bench.exchange_all([part(pools=pools, ahead=ahead)], [free])[0][4] == 0
    enqueued(bench, "a")

    assert bench.exchange_all([part(pools=pools, ahead=ahead)], [free])[0][4] == starved


def test_the_head_of_a_delayed_or_a_long_job_does_not_tell_its_place(bench: Bench) -> None:
    bench.enqueue(["late", b"", 2, 100, False, False, False], ["long", b"x" * 4_097, 0])
    bench.now += 100

    answer = bench.exchange(2)

    assert (answer[6], answer[8]) == ([b"late", b"long"], [])
    facts = {
        b"late": entry(NOW + 100, 2, claimed=NOW + 100, priority=2),
        b"long": entry(NOW + 100, 1, claimed=NOW + 100),
    }
    assert bench.state()["facts"] == facts
    bench.exchange(0, requeue("late", answer[5], -1), requeue("long", answer[5], -1))
    assert bench.state()["ready"] == {b"late": place(2, 2), b"long": place(1)}


# Settling


def test_an_ack_without_a_result_keeps_the_record_among_the_finished(bench: Bench) -> None:
    number = claimed(bench, "a")

    assert bench.exchange(0, ack("a", number))[0] == []

    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1)},
        "facts": {b"a": entry(number, held="e") + ending()},
        "succeeded": {b"a": NOW + HOUR},
        "bell": [b"1"],
    }


def test_an_ack_with_a_result_keeps_that_too(bench: Bench) -> None:
    number = claimed(bench, "a")

    bench.exchange(0, ack("a", number, b"42"))

    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1)},
        "facts": {b"a": entry(number, held="e") + ending(size=2)},
        "results": {b"a": NOW + HOUR},
        "values": {b"a": b"42"},
        "bell": [b"1"],
    }
    assert bench.meta()["bytes"] == 2


def test_a_settlement_that_comes_too_late_is_refused(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    before = bench.state()

    answer = bench.exchange(0, ack("a", number + 1), ack("x", number), ack("b", number), bury("b", number))

    assert answer[0] == [1, 2, 4]
    assert bench.state()["running"] == {b"a": before["running"][b"a"]}
    assert list(bench.state()["succeeded"]) == [b"b"]


def test_a_bury_counts_and_keeps_the_error(bench: Bench) -> None:
    number = claimed(bench, "a")

    bench.exchange(0, bury("a", number, error=b"boom"))

    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1)},
        "facts": {b"a": entry(number, held="e", attempts=1) + ending(reason=b"timeout")},
        "dead": {b"a": NOW + HOUR},
        "errors": {b"a": b"\0\0\0\4boom"},
        "bell": [b"1"],
    }


def test_a_retry_waits_among_the_delayed(bench: Bench) -> None:
    number = claimed(bench, "a")

    answer = bench.exchange(0, requeue("a", number, 700, counts=1, error=b"boom"))

    assert answer[3] == 700
    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1)},
        "facts": {b"a": entry(number, held="-", claimed=0, attempts=1)},
        "delayed": {b"a": due(NOW + 700)},
        "retrying": {b"a"},
        "errors": {b"a": b"\0\0\0\4boom"},
        "bell": [b"1"],
    }


def test_what_is_handed_back_returns_to_its_place_and_what_is_not_goes_last(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    enqueued(bench, "c")

    bench.exchange(0, requeue("a", number, 0), requeue("b", number, -1))

    assert bench.state()["ready"] == {b"b": place(2), b"c": place(3), b"a": place(4)}
    assert bench.exchange(3)[8] == [1, bytes(4) + b"d", 3, bytes(4) + b"d"]


def test_a_requeue_of_a_job_that_was_asked_to_stop_ends_it(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    bench.client.hset(bench.key("stopping"), "a", 9)

    bench.exchange(0, requeue("a", number, 0), requeue("b", number, 0))

    state = bench.state()
    assert (state["cancelled"], state["ready"]) == ({b"a": NOW + HOUR}, {b"b": place(3)})
    assert state["facts"][b"a"] == entry(number, held="e") + ending(took=UNKNOWN, reason=b"requested")
    assert "stopping" not in state


def test_errors_add_up_until_the_next_would_not_fit(bench: Bench) -> None:
    number = claimed(bench, "a")
    for error in (b"x" * 20_000, b"y" * 12_768, b"z"):
        bench.exchange(0, requeue("a", number, 0, error=error))
        kept = bench.state()["errors"][b"a"]
        number = bench.exchange(1)[5]
        if error[:1] == b"y":
            assert len(kept) == 32_768 + 8

    assert kept == b"\0\0\0\1z"


def test_jobs_to_enqueue_on_success_come_with_the_ack_or_not_at_all(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    parts = [part(ack("a", number), ack("b", 99)), part()]

    child, orphan = [1, 1, 2, "child", b"C", 5], [1, 2, 2, "orphan", b"O", 5]
    bench.exchange_all(parts, [], *child, *orphan, queues=("q", "other"))

    assert bench.state("other") == {
        "jobs": {b"child": body(b"C", 1, priority=5)},
        "ready": {b"child": place(1, 5)},
        "bell": [b"1"],
    }


def test_any_number_of_jobs_may_follow_a_success(bench: Bench) -> None:
    number = claimed(bench, "a")
    children = [cell for n in range(5_000) for cell in (1, 1, 1, f"{n:04}", b"", 0)]

    bench.exchange_all([part(ack("a", number))], [], *children)

    assert len(bench.state()["ready"]) == 5_000


def test_the_end_of_a_job_is_told_to_those_who_wait_for_it(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    bench.client.hset(bench.key("waiters"), mapping={"a": "one\ntwo", "b": "two"})
    told = bench.client.pubsub()
    told.subscribe("one", "two")

    bench.exchange(0, ack("a", number))

    messages = [told.get_message(timeout=5.0) or {} for _ in range(4)]
    assert [m["channel"] for m in messages if m["type"] == "message" and m["data"] == b"a"] == [b"one", b"two"]
    assert bench.state()["waiters"] == {b"b": b"two"}
    told.close()


# Retention


def test_the_soonest_to_expire_goes_first_when_there_are_too_many(bench: Bench) -> None:
    number = claimed(bench, "a", "b", "c")
    rows = [[id, number, [ACK, keep, 5]] for id, keep in (("a", 300), ("b", 100), ("c", 200))]

    bench.exchange(0, *rows, retention=[2, 1, 1, 1])

    assert bench.state()["succeeded"] == {b"c": NOW + 200, b"a": NOW + 300}
    assert bench.state()["jobs"].keys() == bench.state()["facts"].keys() == {b"a", b"c"}


def test_of_a_thousand_records_some_more_go_at_once(bench: Bench) -> None:
    retention = [1_000, 1, 1, 1]
    for at in range(0, 1_001, 143):
        ids = [f"{n:04}" for n in range(at, at + 143)]
        number = claimed(bench, *ids)
        bench.exchange(0, *(ack(id, number) for id in ids), retention=retention)
        if at < 858:
            assert len(bench.state()["succeeded"]) == at + 143

    assert len(bench.state()["succeeded"]) == 1_000 - 20
    assert bench.state()["jobs"].keys() == bench.state()["facts"].keys() == bench.state()["succeeded"].keys()


def test_results_are_bounded_by_their_bytes(bench: Bench) -> None:
    number = claimed(bench, "a", "b", "c")

    bench.exchange(0, *(ack(id, number, b"x" * 40) for id in "abc"), retention=[9, 9, 100, 9])

    assert bench.state()["values"].keys() == {b"b", b"c"}
    assert bench.meta()["bytes"] == 80


def test_what_has_aged_out_is_swept_once_a_second(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    bench.exchange(0, ["a", number, [ACK, 500, 5]], ["b", number, [BURY, 1_500, 5, "error", False, 1, 0, b"boom"]])

    bench.now += 900
    bench.exchange(0)
    assert bench.state()["jobs"].keys() == {b"a", b"b"}

    bench.now += 700
    bench.exchange(1)
    assert bench.state() == {}


# What time brings


def test_due_jobs_become_ready_in_the_order_of_their_times(bench: Bench) -> None:
    for id, delay, priority in (("late", 300, 0), ("soon", 100, 0), ("urgent", 200, 1), ("never", 10_000, 0)):
        bench.enqueue([id, b"", priority, delay, False, False, False])
    bench.client.sadd(bench.key("retrying"), "soon", "never")
    bench.now += 300

    answer = bench.exchange(0)

    assert answer[3] == 9_700
    state = bench.state()
    assert state["ready"] == {b"soon": place(1), b"urgent": place(2, 1), b"late": place(3)}
    assert (state["delayed"], state["retrying"]) == ({b"never": due(NOW + 10_000)}, {b"never"})


def look_until(bench: Bench, moment: int) -> Any:
    """Touch the queue in small steps, as workers do, until this time."""
    answer = None
    while bench.now < moment:
        bench.now = min(bench.now + 5_000, moment)
        answer = bench.exchange(0)
    return answer


def test_a_lease_that_ran_out_gives_the_job_back_to_its_place(bench: Bench) -> None:
    number = claimed(bench, "a")
    enqueued(bench, "b")
    bench.client.delete(bench.key("bell"))

    look_until(bench, NOW + LEASE - 1)
    assert bench.state()["running"] == {b"a": NOW + LEASE}

    look_until(bench, NOW + LEASE)
    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1), b"b": body(b"b", 2)},
        "ready": {b"a": place(1), b"b": place(2)},
        "facts": {b"a": entry(number, held="-", claimed=0, crashes=1)},
        "errors": {b"a": lost(NOW + LEASE)},
        "bell": [b"1"],
    }


def test_a_silent_job_that_was_asked_to_stop_ends(bench: Bench) -> None:
    claimed(bench, "a")
    bench.client.hset(bench.key("stopping"), "a", 1_234)

    look_until(bench, NOW + LEASE)

    state = bench.state()
    assert state["cancelled"] == {b"a": NOW + LEASE + 1_234}
    assert state["errors"] == {b"a": lost(NOW + LEASE)}
    assert state.keys() == {"jobs", "facts", "cancelled", "errors", "bell"}


def test_time_is_looked_at_only_when_something_falls_due(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0, 900, False, False, False], ["b", b"", 0, 500, False, 700, False], ["c", b"", 0])
    assert bench.meta()["due"] == NOW + 500

    bench.exchange(1)
    assert bench.meta()["due"] == NOW + 500

    bench.now += 500
    assert bench.exchange(0)[3] == 400
    assert bench.meta()["due"] == NOW + 700


def test_after_a_jump_of_the_clock_nothing_is_reclaimed_for_a_while(bench: Bench) -> None:
    claimed(bench, "a")
    bench.now += LEASE + 1

    assert bench.exchange(0)[3] == LEASE // 4 + 5_000
    look_until(bench, bench.now + LEASE // 4 + 4_999)
    assert "running" in bench.state()

    look_until(bench, bench.now + 1)
    assert "running" not in bench.state()


def test_after_a_step_back_leases_are_cut_to_one_from_now(bench: Bench) -> None:
    claimed(bench, "a")
    bench.now -= 3_600_000

    bench.exchange(0)

    assert bench.state()["running"] == {b"a": bench.now + LEASE}
    assert bench.meta()["cut"] == 0


def test_a_job_that_no_run_has_begun_in_time_expires(bench: Bench) -> None:
    bench.enqueue(["a", b"", 4, False, False, 100, False], ["b", b"", 0, 900, False, 100, False], ["c", b"", 0])
    bench.now += 100

    answer = bench.exchange(5)

    assert answer[6] == [b"c"]
    state = bench.state()
    assert state["cancelled"] == {b"a": bench.now + HOUR, b"b": bench.now + HOUR}
    assert "expiring" not in state
    assert "delayed" not in state
    fresh = entry(0, 1, held="e", claimed=0, sender=b"", priority=4)
    assert state["facts"][b"a"] == fresh + ending(bench.now, UNKNOWN, reason=b"expired")


def test_the_start_deadline_is_met_by_the_first_claim(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0, False, False, 100, False])

    bench.exchange(1)

    assert "expiring" not in bench.state()


# The same call again


def test_a_repeated_call_gets_the_claims_that_still_hold(bench: Bench) -> None:
    number = claimed(bench, "x")
    enqueued(bench, "a", "b")
    first = bench.exchange(2, ack("x", number), ack("y", number))
    bench.run("exchange", sender="other", lease=LEASE, claimer="other", request=[
        [part(ack("a", first[5]))], [], [], HOUR
    ])  # fmt: skip
    bench.number -= 1
    before = bench.state()

    again = bench.exchange(2, ack("x", number), ack("y", number), again=True)

    assert again[0] == first[0] == [2]
    assert (again[1], again[5:]) == ([b"a"], [first[5], [b"b"], [body(b"b", 3)], []])
    assert bench.state() == before


def test_a_stale_call_changes_nothing_in_any_of_its_queues(bench: Bench) -> None:
    enqueued(bench, "a")
    bench.enqueue(["b", b"", 0], queue="later")
    before = bench.state(), bench.state("later")
    bench.number = 1

    with pytest.raises(redis.ResponseError, match=r"^STALE"):
        bench.exchange_all([part(pools=[1])] * 2, [9], queues=("q", "later"), again=True)
    assert (bench.state(), bench.state("later")) == before
