"""list.lua"""

from __future__ import annotations

from tests.lua.conftest import Bench


def listed(bench: Bench, state: str, offset: int = 0, limit: int = 100) -> list[bytes]:
    return [row[0] for row in bench.run("list", state=state, offset=offset, limit=limit)]


def test_waiting_jobs_are_listed_in_the_order_they_would_run(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0], ["b", b"", 5], ["c", b"", 0])
    bench.enqueue(["late", b"", 9, 90, False, False, False], ["soon", b"", 0, 50, False, False, False])

    assert listed(bench, "ready") == [b"b", b"a", b"c"]
    assert listed(bench, "ready", 1, 1) == [b"a"]
    assert listed(bench, "delayed") == [b"soon", b"late"]


def test_ended_jobs_are_listed_latest_first_however_long_they_are_kept(bench: Bench) -> None:
    bench.enqueue(*([id, b"", 0] for id in "abcd"))
    number = bench.exchange(4)[5]
    for id, keep, result in (("a", 9_000, b"1"), ("b", 50, None), ("c", 5_000, None), ("d", 4_000, b"2")):
        bench.now += 10
        bench.exchange(0, [id, number, [1, keep, 5, *(["", result] if result else [])]])

    assert listed(bench, "succeeded") == [b"d", b"c", b"b", b"a"]
    assert listed(bench, "succeeded", 1, 2) == [b"c", b"b"]
    assert [row[9] for row in bench.run("list", state="succeeded", offset=0, limit=9)] == [None] * 4

    bench.now += 50
    assert listed(bench, "succeeded") == [b"d", b"c", b"a"]
