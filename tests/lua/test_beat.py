"""beat.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, NOW, Bench


def beat(bench: Bench, name: str, card: bytes = b"card", age: int = HOUR, targets: list[str] | None = None) -> object:
    return bench.register("beat", name=name, card=card, age=age, targets=targets or [])


def test_a_card_is_kept_and_its_keys_go_by_themselves(bench: Bench) -> None:
    beat(bench, "a", b"old")
    answer = beat(bench, "a", b"new", age=60_000)

    assert answer == []
    assert bench.registered() == {"cards": {b"a": b"new"}, "lives": {b"a": NOW + 60_000}}
    assert all(HOUR - 60_000 < bench.client.pttl(key) <= HOUR for key in bench.keys.register[:2])


def test_only_wishes_for_the_targets_named_come_back(bench: Bench) -> None:
    for target in ("a", "*", "b"):
        bench.register("wish", target=target, about="x", wish=target.encode(), age=HOUR, channels=[])

    assert beat(bench, "a", targets=["a", "*", "none"]) == [b"a", b"x", NOW, b"a", b"*", b"x", NOW + 1, b"*"]


def test_one_too_many_takes_the_place_of_the_one_that_would_age_out_first(bench: Bench) -> None:
    cards, lives = bench.keys.register[:2]
    names = {f"w{n}": NOW + HOUR + n for n in range(10_000)}
    bench.client.hset(cards, mapping=dict.fromkeys(names, b""))
    bench.client.zadd(lives, names)

    beat(bench, "new", age=1)

    assert bench.client.zcard(lives) == bench.client.hlen(cards) == 10_000
    assert bench.client.hexists(cards, "new")
    assert not bench.client.hexists(cards, "w0")


def test_a_beat_passes_a_full_memory(bench: Bench) -> None:
    beat(bench, "a")
    bench.client.config_set("maxmemory", 1)
    try:
        beat(bench, "a", b"more")
    finally:
        bench.client.config_set("maxmemory", 0)

    assert bench.registered()["cards"] == {b"a": b"more"}
