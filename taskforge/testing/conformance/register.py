"""The register of workers: cards that age out, and wishes that stand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskforge.brokers.register import CARD_BYTES, MOST_WISHES, NAME_BYTES, SWEEP_STEP, WISH_BYTES, Register, Wish
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import HOUR, MINUTE, NO_TIME, OTHER, QUEUE, SECOND, Rig, demand

DAY = 24 * HOUR


class Registering(Suite):
    # Cards

    def test_a_card_is_kept_until_the_next_one(self, rig: Rig) -> None:
        register = rig.broker.register

        register.beat("b", b"first", MINUTE, [])
        register.beat("a", b"\x00\xff", MINUTE, [])
        register.beat("b", b"second", MINUTE, [])

        assert rig.another().register.cards() == [("a", b"\x00\xff"), ("b", b"second")]

    def test_a_card_ages_out_unless_its_worker_beats_again(self, rig: Rig) -> None:
        register = rig.broker.register
        register.beat("silent", b"", MINUTE, [])
        register.beat("living", b"", MINUTE, [])
        rig.clock.advance(MINUTE - SECOND)
        assert _names(register) == ["living", "silent"]

        register.beat("living", b"", MINUTE, [])
        rig.clock.advance(SECOND)

        assert _names(register) == ["living"]

    def test_a_worker_that_leaves_is_known_no_more(self, rig: Rig) -> None:
        register = rig.broker.register
        register.beat("a", b"", MINUTE, [])

        register.leave("a")
        register.leave("nobody")

        assert register.cards() == []

    def test_a_worker_that_was_forgotten_is_known_again_at_its_next_beat(self, rig: Rig) -> None:
        register = rig.broker.register
        register.beat("a", b"", MINUTE, [])
        rig.clock.advance(HOUR)
        assert register.cards() == []

        register.beat("a", b"back", MINUTE, [])

        assert register.cards() == [("a", b"back")]

    def test_names_of_workers_may_be_any_text(self, rig: Rig) -> None:
        names = ["wörker one", "a.b:c/d", "x" * NAME_BYTES, "*"]

        for name in names:
            rig.broker.register.beat(name, name.encode(), MINUTE, [])

        assert rig.broker.register.cards() == sorted((name, name.encode()) for name in names)

    def test_many_cards_are_read_whole(self, rig: Rig) -> None:
        for n in range(250):
            rig.broker.register.beat(f"w{n:03}", b"%d" % n, MINUTE, [])

        assert rig.broker.register.cards() == [(f"w{n:03}", b"%d" % n) for n in range(250)]

    # Wishes

    def test_a_wish_stands_for_its_target_and_no_other(self, rig: Rig) -> None:
        register = rig.broker.register
        rig.another().register.wish("group", b"stop", DAY, [])

        told = register.beat("a", b"", MINUTE, ["a", "group", "*"])

        assert told == [Wish("group", b"stop", rig.clock.now())]
        assert register.beat("b", b"", MINUTE, ["b", "*"]) == []
        assert register.beat("c", b"", MINUTE, []) == []

    def test_a_wish_is_told_at_every_beat_until_it_is_taken_back(self, rig: Rig) -> None:
        register = rig.broker.register
        register.wish("a", b"stop", DAY, [])
        assert [len(register.beat("a", b"", MINUTE, ["a"])) for _ in range(3)] == [1, 1, 1]

        register.unwish("a")

        assert register.beat("a", b"", MINUTE, ["a"]) == []
        assert register.wishes() == []

    def test_a_wish_made_while_its_worker_is_cut_off_is_seen_at_its_next_beat(self, rig: Rig) -> None:
        register = rig.broker.register
        register.beat("a", b"", MINUTE, ["a"])
        rig.clock.advance(HOUR)

        rig.another().register.wish("a", b"stop", DAY, ["a"])
        rig.clock.advance(HOUR)

        assert [wish.wish for wish in register.beat("a", b"", MINUTE, ["a"])] == [b"stop"]

    def test_a_wish_takes_the_place_of_one_about_the_same(self, rig: Rig) -> None:
        register = rig.broker.register
        register.wish("a", b"first", DAY, [], about="service")
        register.wish("a", b"other", DAY, [], about="stacks")
        register.wish("a", b"second", DAY, [], about="service")

        told = register.beat("a", b"", MINUTE, ["a"])

        assert [(wish.wish, wish.about) for wish in told] == [(b"other", "stacks"), (b"second", "service")]

    def test_one_thing_is_taken_back_and_the_other_stands(self, rig: Rig) -> None:
        register = rig.broker.register
        register.wish("a", b"1", DAY, [], about="service")
        register.wish("a", b"2", DAY, [])

        register.unwish("a", "service")
        register.unwish("a", "never wished")
        register.unwish("unknown")

        assert [wish.wish for wish in register.wishes()] == [b"2"]

    def test_each_wish_is_later_than_those_that_stand_whatever_the_clock_does(self, rig: Rig) -> None:
        register = rig.broker.register
        register.wish("*", b"1", DAY, [])
        register.wish("a", b"2", DAY, [])
        rig.clock.advance(-MINUTE)
        register.wish("group", b"3", DAY, [])
        register.wish("*", b"4", DAY, [])

        told = register.beat("a", b"", MINUTE, ["*", "a", "group"])

        assert [wish.wish for wish in told] == [b"2", b"3", b"4"]
        assert told[0].at < told[1].at < told[2].at
        assert register.wishes() == told

    def test_a_wish_ages_out(self, rig: Rig) -> None:
        register = rig.broker.register
        register.wish("a", b"short", MINUTE, [], about="1")
        register.wish("a", b"long", DAY, [], about="2")

        rig.clock.advance(MINUTE)

        assert [wish.wish for wish in register.beat("a", b"", MINUTE, ["a"])] == [b"long"]
        assert [wish.wish for wish in register.wishes()] == [b"long"]
        rig.clock.advance(DAY)
        assert register.beat("a", b"", MINUTE, ["a"]) == register.wishes() == []

    def test_of_one_target_only_the_latest_wishes_stand(self, rig: Rig) -> None:
        register = rig.broker.register

        for n in range(MOST_WISHES + 2):
            register.wish("a", b"%d" % n, DAY, [], about=str(n))

        assert [wish.about for wish in register.wishes()] == [str(n) for n in range(2, MOST_WISHES + 2)]

    # Bounds

    def test_what_is_over_its_bound_is_refused(self, rig: Rig) -> None:
        register = rig.broker.register

        with pytest.raises(ValueError, match="bytes"):
            register.beat("a", b"x" * (CARD_BYTES + 1), MINUTE, [])
        with pytest.raises(ValueError, match="bytes"):
            register.beat("ä" * NAME_BYTES, b"", MINUTE, [])
        with pytest.raises(ValueError, match="targets"):
            register.beat("a", b"", MINUTE, ["x"] * (MOST_WISHES + 1))
        with pytest.raises(ValueError, match="bytes"):
            register.wish("a", b"x" * (WISH_BYTES + 1), DAY, [])
        with pytest.raises(ValueError, match="bytes"):
            register.wish("", b"", DAY, [])

        assert (register.cards(), register.wishes()) == ([], [])

    def test_when_all_workers_are_gone_and_all_wishes_old_nothing_is_left(self, rig: Rig) -> None:
        register = rig.broker.register
        for n in range(2 * SWEEP_STEP):
            register.beat(f"w{n}", b"card", MINUTE, ["*"])
        register.wish("*", b"", DAY, [])
        register.wish("a", b"", MINUTE, [], about="1")
        rig.clock.advance(DAY)

        for _ in range(3):
            register.leave("nobody")

        rig.broker.exchange(demand(0, QUEUE, OTHER), [], rig.stamp())
        assert self.leftovers(rig.broker) == []

    def test_the_register_keeps_no_place_for_no_time(self, rig: Rig) -> None:
        rig.broker.register.beat("a", b"", NO_TIME, [])
        rig.broker.register.wish("a", b"", timedelta(0), [])

        assert rig.broker.register.cards() == []
        assert rig.broker.register.wishes() == []


def _names(register: Register) -> list[str]:
    return [name for name, _ in register.cards()]
