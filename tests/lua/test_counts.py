"""counts.lua"""

from __future__ import annotations

from tests.lua.conftest import Bench


def test_jobs_are_counted_by_state_but_for_those_aged_out(bench: Bench) -> None:
    bench.enqueue(*([f"{n}", b"", 0] for n in range(8)))
    bench.enqueue(["later", b"", 0, 90_000, False, False, False])
    number = bench.exchange(6)[5]
    bench.exchange(
        0,
        ["0", number, [1, 1_000, 5]],
        ["1", number, [1, 5_000, 5, "", b"result"]],
        ["2", number, [2, 0, False, "", False, 1, 90_000]],
        ["3", number, [3, 5_000, 5, "error", False, 1, 0]],
        ["4", number, [4, 5_000, 5, "discarded", False, 0, 0]],
    )

    assert bench.run("counts") == [2, 2, 1, 1, 2, 1, 1]
    bench.now += 1_000
    assert bench.run("counts") == [2, 2, 1, 1, 1, 1, 1]
