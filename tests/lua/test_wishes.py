"""wishes.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, NOW, Bench


def test_all_that_stand_are_told(bench: Bench) -> None:
    for target, age in (("a", HOUR), ("short", 5), ("b", HOUR)):
        bench.register("wish", target=target, about="", wish=b"\x00" + target.encode(), age=age, channels=[])
    bench.now += 5

    rows = bench.register("wishes")

    told = {rows[at]: (rows[at + 2], rows[at + 3]) for at in range(0, len(rows), 4)}
    assert told == {b"a": (NOW, b"\x00a"), b"b": (NOW + 2, b"\x00b")}
