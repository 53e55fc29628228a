"""watch.lua"""

from __future__ import annotations

from tests.lua.conftest import Bench, body, place


def test_a_living_job_is_read_and_its_watcher_kept(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 2])

    row = bench.run("watch", id="a", channel="one")
    bench.run("watch", id="a", channel="two")
    bench.run("watch", id="a", channel="one")

    assert row == [b"a", b"ready", b"%d" % place(1, 2), body(b"A", 1, priority=2), *[None] * 6]
    assert bench.state()["waiters"] == {b"a": b"one\ntwo"}


def test_only_the_latest_32_watchers_are_kept(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])

    for n in range(40):
        bench.run("watch", id="a", channel=f"c{n}")

    assert bench.state()["waiters"][b"a"].split(b"\n") == [b"c%d" % n for n in range(39, 7, -1)]


def test_nobody_waits_for_a_job_that_has_ended_or_is_unknown(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    number = bench.exchange(1)[5]
    bench.exchange(0, ["a", number, [1, 1_000, 5]])

    assert bench.run("watch", id="a", channel="one")[1] == b"succeeded"
    assert bench.run("watch", id="x", channel="one") is None
    assert "waiters" not in bench.state()
