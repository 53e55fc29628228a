"""wish.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, NOW, Bench


def wish(bench: Bench, target: str, about: str = "", age: int = HOUR, channels: list[str] | None = None) -> int:
    made: int = bench.register("wish", target=target, about=about, wish=b"w", age=age, channels=channels or [])
    return made


def test_a_wish_is_made_later_than_those_before(bench: Bench) -> None:
    assert [wish(bench, target) for target in ("a", "b", "a")] == [NOW, NOW + 1, NOW + 2]
    bench.now += 2 * HOUR
    assert wish(bench, "a") == NOW + 2 * HOUR


def test_a_target_ages_out_with_the_last_of_its_wishes(bench: Bench) -> None:
    wish(bench, "a", "1", age=HOUR)
    wish(bench, "a", "2", age=5)

    assert bench.registered()["ends"] == {b"a": NOW + HOUR}
    bench.now += 5
    wish(bench, "b")
    assert bench.register("wishes")[1::4] == [b"1", b""]


def test_those_named_are_told(bench: Bench) -> None:
    with bench.client.pubsub() as ear:
        ear.subscribe("t:told:a", "t:told:b")
        for _ in range(2):
            ear.get_message(timeout=5)

        wish(bench, "*", channels=["t:told:a", "t:told:nobody"])

        said = ear.get_message(timeout=5)
        assert said is not None
        assert (said["channel"], said["data"]) == (b"t:told:a", b"")
        assert ear.get_message(timeout=0.05) is None


def test_one_target_too_many_takes_the_place_of_the_one_that_would_age_out_first(bench: Bench) -> None:
    for n in range(1_001):
        wish(bench, f"t{n}", age=HOUR + n)

    kept = bench.registered()
    assert len(kept["wishes"]) == len(kept["ends"]) == 1_000
    assert b"t0" not in kept["ends"]
