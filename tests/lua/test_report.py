"""report.lua"""

from __future__ import annotations

from tests.lua.conftest import Bench


def test_progress_is_kept_for_the_delivery_that_holds_the_job(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0])
    number = bench.exchange(1)[5]
    before = bench.state()

    assert bench.run("report", id="a", delivery=number, progress=b"half") == 1
    assert bench.run("report", id="a", delivery=number + 1, progress=b"other") == 0
    assert bench.run("report", id="x", delivery=number, progress=b"other") == 0

    assert bench.state() == {**before, "progress": {b"a": b"half"}}
