"""cards.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, Bench


def test_the_names_of_living_workers_are_told_sorted(bench: Bench) -> None:
    for name, age in (("b", HOUR), ("a", HOUR), ("short", 5)):
        bench.register("beat", name=name, card=b"", age=age, targets=[])
    bench.now += 5

    assert bench.register("cards") == [b"a", b"b"]
