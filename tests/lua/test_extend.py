"""extend.lua"""

from __future__ import annotations

from tests.lua.conftest import LEASE, NOW, Bench


def test_leases_start_anew_for_those_that_hold_their_jobs(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0], ["b", b"", 0], ["c", b"", 0])
    number = bench.exchange(2)[5]
    bench.client.hset(bench.key("stopping"), "b", 1)
    before = bench.state()
    bench.now += 9_000

    answer = bench.run("extend", lease=LEASE, deliveries=["a", number, "b", number, "a", number + 1, "c", number])

    assert answer == b"ksll"
    assert bench.state() == {**before, "running": {b"a": NOW + 9_000 + LEASE, b"b": NOW + 9_000 + LEASE}}
    assert bench.meta()["now"] == NOW + 9_000
