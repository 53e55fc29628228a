"""promote.lua"""

from __future__ import annotations

from tests.lua.conftest import Bench, due, place


def test_delayed_jobs_become_ready_in_the_order_given(bench: Bench) -> None:
    bench.enqueue(*([id, b"", 2, 500, False, False, False] for id in "abc"), ["r", b"", 0])
    bench.client.sadd(bench.key("retrying"), "b")
    bench.client.delete(bench.key("bell"))

    assert bench.run("promote", ids=["b", "a", "r", "x", "b"]) == b"11000"

    state = bench.state()
    assert state["ready"] == {b"b": place(2, 2), b"a": place(3, 2), b"r": place(1)}
    assert (state["delayed"], state["bell"]) == ({b"c": due(bench.now + 500, 2)}, [b"1"])
    assert "retrying" not in state
