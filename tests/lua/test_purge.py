"""purge.lua"""

from __future__ import annotations

import pytest

from tests.lua.conftest import RETENTION, Bench


@pytest.mark.parametrize("state", ["ready", "delayed", "succeeded", "dead", "cancelled"])
def test_nothing_is_left_of_what_was_purged(bench: Bench, state: str) -> None:
    delay = 500 if state == "delayed" else False
    bench.enqueue(*([id, b"", 0, delay, False, 900, False] for id in "abc"))
    bench.client.hset(bench.key("waiters"), "a", "somebody")
    if state in ("succeeded", "dead"):
        number = bench.exchange(3)[5]
        way = [1, 5_000, 5, "", b"result"] if state == "succeeded" else [3, 5_000, 5, "", False, 1, 0, b"error"]
        bench.exchange(0, *([id, number, way] for id in "abc"))
    if state == "cancelled":
        bench.run("cancel", keep=5_000, retention=RETENTION, ids=["a", "b", "c"])
    bench.client.delete(bench.key("bell"))

    assert bench.run("purge", state=state) == b"3"
    assert bench.state() == {}
    assert bench.run("purge", state=state, again=True) == b"3"
    assert bench.run("purge", state=state) == b"0"


def test_at_most_a_thousand_go_at_once(bench: Bench) -> None:
    for at in range(0, 1_200, 200):
        bench.enqueue(*([f"{n:04}", b"", 0] for n in range(at, at + 200)))

    assert bench.run("purge", state="ready") == b"1000"
    assert min(bench.state()["ready"]) == b"1000"
