"""redrive.lua"""

from __future__ import annotations

from tests.lua.conftest import NOW, RETENTION, Bench, body, place


def test_a_dead_job_starts_over_under_a_number_that_goes_on(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 4], ["b", b"B", 0])
    number = bench.exchange(1)[5]
    bench.exchange(0, ["a", number, [3, 5_000, 5, "error", False, 1, 0, b"boom"]])

    assert bench.run("redrive", ids=["a", "b", "x", "a"], body=b"") == b"1000"

    state = bench.state()
    assert state["ready"] == {b"b": place(2), b"a": place(3, 4)}
    assert state["facts"] == {b"a": b"-" + number.to_bytes(6, "big") + bytes(11) + b"\xff" + bytes(7)}
    assert state["jobs"][b"a"] == body(b"A", 3, priority=4)
    assert state.keys() == {"jobs", "ready", "facts", "errors", "bell"}
    assert bench.exchange(1)[5] > number


def test_a_new_body_replaces_the_old_one_and_counts_as_enqueued_now(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    bench.run("cancel", keep=5_000, retention=RETENTION, ids=["a"])
    bench.now += 100

    assert bench.run("redrive", ids=["a"], body=b"=new") == b"1"

    assert bench.state()["jobs"] == {b"a": body(b"new", 2, NOW + 100)}


def test_what_has_aged_out_does_not_come_back(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    bench.run("cancel", keep=50, retention=RETENTION, ids=["a"])
    bench.now += 50

    assert bench.run("redrive", ids=["a"], body=b"") == b"0"
