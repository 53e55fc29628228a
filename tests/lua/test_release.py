"""release.lua"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from tests.lua.conftest import HOUR, LEASE, NOW, RETENTION, Bench, body, place
from tests.lua.test_enqueue_one import put
from tests.lua.test_exchange import claimed, ending, enqueued, entry

CLOSED = 2**48 - 1


def release(bench: Bench, *named: tuple[str, int, int], note: bytes = b"why") -> list[list[object]]:
    """Rows of id, number, started that were held."""
    cells = [cell for row in named for cell in row]
    answer = bench.run("release", retention=RETENTION, named=cells, note=note)
    return [answer[at : at + 3] for at in range(0, len(answer), 3)]


def test_the_places_are_kept_and_a_start_counts(bench: Bench) -> None:
    number = claimed(bench, "a", "b", "c")
    bench.exchange(0)
    bench.client.delete(bench.key("bell"))

    answer = release(bench, ("a", number, 1), ("b", number, 0))

    assert answer == [[b"a", number, 1], [b"b", number, 0]]
    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1), b"b": body(b"b", 2), b"c": body(b"c", 3)},
        "ready": {b"a": place(1), b"b": place(2)},
        "running": {b"c": NOW + LEASE},
        "facts": {
            b"a": entry(number, held="-", claimed=0, crashes=1),
            b"b": entry(number, held="-", claimed=0),
            b"c": entry(number),
        },
        "errors": {b"a": b"\0\0\0\3why"},
        "bell": [b"1"],
    }


def test_one_claimed_ahead_loses_that_mark(bench: Bench) -> None:
    enqueued(bench, "a", "b")
    request = [[[[], HOUR, [1], 2, RETENTION]], [0], [], HOUR]
    [answer] = bench.run("exchange", lease=LEASE, claimer="s", request=request)
    number = answer[5]

    release(bench, ("a", number, 1))

    assert bench.state()["facts"] == {
        b"a": entry(number, held="-", claimed=0, crashes=1),
        b"b": entry(number, held="-", claimed=0),
    }


def test_one_that_was_asked_to_stop_ends_and_what_stood_beside_it_goes(bench: Bench) -> None:
    number = claimed(bench, "a")
    bench.client.hset(bench.key("stopping"), "a", HOUR)
    bench.client.hset(bench.key("progress"), "a", b"half")
    bench.client.delete(bench.key("bell"))

    release(bench, ("a", number, 1))

    assert bench.state() == {
        "jobs": {b"a": body(b"a", 1)},
        "cancelled": {b"a": NOW + HOUR},
        "facts": {b"a": entry(number, held="e", crashes=1) + ending(took=CLOSED, reason=b"requested")},
        "errors": {b"a": b"\0\0\0\3why"},
    }


def test_the_record_of_the_sender_says_that_it_is_closed_and_goes_by_itself(bench: Bench) -> None:
    claimed(bench, "a")
    bench.now += 1_000

    release(bench)

    record = bench.keys.numbered("q", "s")[-1]
    moments = [CLOSED, bench.now, bench.now + 900_000]
    assert bench.client.get(record) == b"".join(each.to_bytes(6, "big") for each in moments)
    assert 0 < bench.client.pttl(record) <= 900_000
    with pytest.raises(redis.ResponseError, match="STALE closed"):
        bench.exchange(1)
    assert bench.meta()["now"] == bench.now


#: Calls of a sender that claim nothing.
OTHERS: dict[str, Callable[[Bench], object]] = {
    "enqueue": lambda bench: bench.enqueue(*([each, b"", 0] for each in "axxax")),
    "enqueue one": lambda bench: put(bench, "x", b""),
    "cancel": lambda bench: bench.run("cancel", keep=HOUR, retention=RETENTION, ids=["x", "y"]),
    "purge": lambda bench: bench.run("purge", state="dead"),
}


@pytest.mark.parametrize("verb", OTHERS)
def test_the_answer_of_another_verb_is_no_claim(bench: Bench, verb: str) -> None:
    number = claimed(bench, "a")
    OTHERS[verb](bench)

    assert release(bench) == []

    assert bench.state()["facts"] == {b"a": entry(number)}


def test_a_claim_that_nobody_remembers_is_left_to_its_lease(bench: Bench) -> None:
    claimed(bench, "a")
    bench.now += 900_000

    assert release(bench) == []


def test_a_full_memory_lets_it_pass(bench: Bench) -> None:
    number = claimed(bench, "a", "b")
    bench.client.config_set("maxmemory", 1)
    try:
        answer, again = release(bench, ("a", number, 1)), release(bench)
    finally:
        bench.client.config_set("maxmemory", 0)

    assert ([job for job, *_ in answer], again) == ([b"a", b"b"], [])
    assert bench.state()["errors"] == {b"a": b"\0\0\0\3why"}


def test_a_layout_of_another_epoch_is_refused(bench: Bench) -> None:
    number = claimed(bench, "a")
    bench.client.setrange(bench.key("meta"), 0, b"\0\2")
    before = bench.state()

    with pytest.raises(redis.ResponseError, match="LAYOUT 2"):
        release(bench, ("a", number, 1))

    assert bench.state() == before
