"""announce.lua"""

from __future__ import annotations

from typing import Any

import msgpack

from taskforge.brokers.redis.scripts import script
from tests.lua.conftest import NOW, Bench

DAY = 86_400_000


def announce(bench: Bench, now: int, queues: list[str], empty: list[str]) -> Any:
    _, _, *rest = script("announce").call(("k",), now=now, queues=msgpack.packb(queues), empty=msgpack.packb(empty))
    return bench.client.eval(script("announce").source, *rest)


def test_known_queues_are_dropped_only_when_named_and_still_idle_for_a_day(bench: Bench) -> None:
    assert announce(bench, NOW, ["a", "b"], []) == []

    assert announce(bench, NOW + DAY + 1, ["a"], []) == [b"b"]
    assert announce(bench, NOW + DAY + 1, [], ["a", "b", "x"]) == []

    assert bench.client.zrange("k", 0, -1, withscores=True) == [(b"a", NOW + DAY + 1)]
