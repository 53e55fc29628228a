"""reprioritise.lua"""

from __future__ import annotations

from tests.lua.conftest import Bench, due, place


def test_each_becomes_the_last_of_its_new_priority(bench: Bench) -> None:
    bench.enqueue(["running", b"", 0])
    number = bench.exchange(1)[5]
    bench.enqueue(["ready", b"", 0], ["first", b"", 7], ["delayed", b"", 0, 500, False, False, False])

    answer = bench.run("reprioritise", priority=7, ids=["ready", "running", "delayed", "unknown"])

    assert answer == b"1110"
    assert bench.state()["ready"] == {b"first": place(3, 7), b"ready": place(4, 7)}
    assert bench.state()["delayed"] == {b"delayed": due(bench.now + 500, 7)}
    bench.exchange(0, ["running", number, [2, 0, False, "", False, 0, -1]])
    assert bench.state()["ready"][b"running"] == place(5, 7)
