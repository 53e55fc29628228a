"""unwish.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, Bench


def test_one_wish_or_all_of_a_target_are_taken_back(bench: Bench) -> None:
    for target, about in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")):
        bench.register("wish", target=target, about=about, wish=b"", age=HOUR, channels=[])

    assert bench.register("unwish", target="a", all="", about="2") == 1
    assert bench.register("wishes")[1::4] == [b"1", b"3", b"1"]
    assert bench.register("unwish", target="a", all="1", about="") == 2
    assert bench.register("unwish", target="b", all="", about="1") == 1
    assert bench.registered() == {}
