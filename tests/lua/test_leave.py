"""leave.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, Bench


def test_a_worker_that_leaves_takes_its_card_along(bench: Bench) -> None:
    bench.register("beat", name="a", card=b"", age=HOUR, targets=[])

    assert [bench.register("leave", name="a") for _ in range(2)] == [1, 0]
    assert bench.registered() == {}


def test_what_has_aged_out_is_swept_in_steps(bench: Bench) -> None:
    for n in range(300):
        bench.register("beat", name=f"w{n}", card=b"", age=HOUR + n, targets=[])
    bench.register("wish", target="a", about="", wish=b"", age=HOUR, channels=[])
    bench.now += 2 * HOUR

    bench.register("leave", name="x")
    assert {name: len(rows) for name, rows in bench.registered().items()} == {"cards": 50, "lives": 50}
    bench.register("leave", name="x")

    assert bench.registered() == {}
