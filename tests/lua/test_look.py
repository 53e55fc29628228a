"""look.lua"""

from __future__ import annotations

from tests.lua.conftest import NOW, Bench, body


def test_an_ended_job_is_shown_with_its_result_until_it_ages_out(bench: Bench) -> None:
    bench.enqueue(["a", b"A", 0])
    number = bench.exchange(1)[5]
    bench.exchange(0, ["a", number, [1, 1_000, 5, "", b"42"]])

    row = bench.run("look", id="a")
    assert row[:4] == [b"a", b"succeeded", b"%d" % (NOW + 1_000), body(b"A", 1)]
    assert row[5:] == [None, None, None, None, b"42"]

    bench.now += 1_000
    assert bench.run("look", id="a") is None
