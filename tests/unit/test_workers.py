"""What workers say of themselves, what can be asked of them, and who is meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from taskforge.brokers.protocol import BrokerSettings
from taskforge.brokers.register import Register, Wish
from taskforge.brokers.sqlite import SqliteBroker
from taskforge.codec import Codec
from taskforge.control import control, targets_of
from taskforge.errors import UnknownWorker
from taskforge.testing import FakeClock
from taskforge.workers import (
    CARD_AGE,
    EVERYONE,
    Colleagues,
    Desire,
    Heed,
    WorkerCard,
    WorkerState,
    pack_card,
    pack_desire,
    read_card,
    read_cards,
    read_desire,
    signature_digest,
)

CODEC = Codec()
THEN = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CARD = WorkerCard(
    "web1.11.ab",
    group="web1.10",
    host="web1",
    pid=11,
    version="1.2",
    queues=("mail", "photos"),
    tasks={"shop.send": "d1"},
    threads=8,
    slots=108,
    busy=3,
    done=5,
    jobs_per_second=1.5,
    seconds_per_job=0.25,
    last_exchange=0.5,
    rss=1 << 30,
    started_at=THEN,
    state=WorkerState.DRAINING,
    processes=4,
)


@pytest.fixture
def register() -> Iterator[Register]:
    with closing(SqliteBroker("memory://", BrokerSettings(prefix="test", clock=FakeClock()))) as broker:
        yield broker.register


def beat(register: Register, *cards: WorkerCard) -> None:
    for card in cards:
        register.beat(card.name, pack_card(CODEC, card), CARD_AGE, card.targets)


def someone(name: str, group: str, host: str = "", **tasks: str) -> WorkerCard:
    return WorkerCard(name, group, host, tasks=tasks, queues=("mail",))


# Cards


def test_a_card_is_read_as_it_was_packed() -> None:
    assert read_card(CODEC, pack_card(CODEC, CARD)) == CARD


def test_of_a_card_that_says_more_or_other_things_what_fits_is_read() -> None:
    newer = CODEC.plain(
        {"name": "w", "pid": "eleven", "moon": "full", "busy": 2, "state": "dreaming", "tasks": {"t": 5}}
    )

    assert read_card(CODEC, newer) == WorkerCard("w", busy=2, tasks={"t": "5"})


@pytest.mark.parametrize("blob", [b"", b"\xff\x00", CODEC.plain([1, 2]), CODEC.plain({"pid": 3})])
def test_bytes_that_are_no_card_are_none(register: Register, blob: bytes) -> None:
    register.beat("odd", blob, CARD_AGE, [])
    beat(register, CARD)

    assert read_card(CODEC, blob) is None
    assert read_cards(CODEC, register) == [CARD]


def test_a_worker_heeds_what_is_asked_of_all_of_its_group_and_of_itself() -> None:
    assert CARD.targets == ("*", "web1.10", "web1.11.ab")
    assert WorkerCard("alone").targets == ("*", "alone")


# Desires


@pytest.mark.parametrize("desire", Desire)
def test_a_desire_is_read_as_it_was_packed(desire: Desire) -> None:
    assert read_desire(CODEC, pack_desire(CODEC, desire)) is desire


def test_what_this_release_does_not_know_is_no_desire() -> None:
    assert read_desire(CODEC, CODEC.plain({"what": "dance"})) is None
    assert read_desire(CODEC, b"?") is None


def wish(desire: Desire, second: int, target: str = "*") -> Wish:
    return Wish(target, pack_desire(CODEC, desire), THEN + timedelta(seconds=second), desire.about)


def test_what_was_asked_before_a_worker_was_there_does_not_concern_it_but_for_drain() -> None:
    heed = Heed(CODEC)
    old = [wish(Desire.SHUTDOWN, 1), wish(Desire.DRAIN, 2), wish(Desire.DUMP, 3)]

    assert heed.take(old) == []
    assert heed.draining
    assert heed.take(old) == []


def test_what_is_asked_is_done_once() -> None:
    heed = Heed(CODEC)
    heed.take([wish(Desire.DUMP, 1)])
    asked = [wish(Desire.DUMP, 5), wish(Desire.RESTART, 4), wish(Desire.RESTART, 6, "me")]

    assert heed.take(asked) == [(Desire.RESTART, asked[1].at), (Desire.DUMP, asked[0].at)]
    assert heed.take(asked) == []
    again = wish(Desire.RESTART, 9, "me")
    assert heed.take([*asked[:2], again]) == [(Desire.RESTART, again.at)]


def test_of_drain_and_resume_the_later_one_holds_whoever_it_was_asked_of() -> None:
    heed = Heed(CODEC)

    heed.take([wish(Desire.DRAIN, 5), wish(Desire.RESUME, 3, "me")])
    assert heed.draining
    heed.take([wish(Desire.DRAIN, 5), wish(Desire.RESUME, 7, "me")])
    assert not heed.draining


def test_a_worker_goes_on_draining_when_the_wish_has_aged_out() -> None:
    heed = Heed(CODEC)
    heed.take([wish(Desire.DRAIN, 5)])

    heed.take([])

    assert heed.draining


# Signatures and colleagues


@dataclass(frozen=True)
class Function:
    signature: inspect.Signature


def digest(function: Callable[..., object]) -> str:
    return signature_digest(Function(inspect.signature(function)))


def test_a_digest_differs_when_other_arguments_would_fit() -> None:
    shapes: list[Callable[..., object]] = [
        lambda a, b: 0,
        lambda b, a: 0,
        lambda a, b=1: 0,
        lambda a, *, b: 0,
        lambda a, b, /: 0,
        lambda a, *b: 0,
        lambda a, **b: 0,
        lambda a: 0,
        lambda: 0,
    ]

    assert len({digest(shape) for shape in shapes}) == len(shapes)


def test_annotations_and_the_defaults_themselves_do_not_matter() -> None:
    def plain(a, b=1):  # type: ignore[no-untyped-def]
        return a, b

    def annotated(a: int, b: str = "x") -> int:
        return a

    assert digest(plain) == digest(annotated)


def test_a_colleague_knows_better_what_is_unknown_here_or_known_otherwise(register: Register) -> None:
    beat(register, someone("me", "g", send="d1", mine="d1"), someone("other", "h", send="d2", same="d1"))
    others = Colleagues.read(CODEC, register, "me", THEN)

    assert others.read_at == THEN
    assert others.knows_better("send", "d1")
    assert others.knows_better("send", None)
    assert not others.knows_better("same", "d1")
    assert not others.knows_better("mine", "d2")
    assert not others.knows_better("nowhere", None)


def test_a_colleague_that_does_not_serve_the_queue_does_not_help(register: Register) -> None:
    beat(register, someone("other", "h", send="d2"))
    others = Colleagues.read(CODEC, register, "me", THEN)

    assert others.knows_better("send", "d1", "mail")
    assert not others.knows_better("send", "d1", "photos")


# Control

WORKERS = [
    someone("web1.11.ab", "web1.10", "web1"),
    someone("web1.12.cd", "web1.10", "web1"),
    someone("web2.21.ef", "web2.20", "web2"),
    someone("web2.31.aa", "web2.30", "web2"),
    someone("mail.5.aa", "mail.4", "post"),
    someone("mail.6.bb", "other.3", "post"),
]


@pytest.mark.parametrize(
    ("word", "targets"),
    {
        "web1.11.ab": ["web1.11.ab"],
        "web1.10": ["web1.10"],
        "web1.12": ["web1.12.cd"],
        "web1.": ["web1.10"],
        "web2": ["web2.20", "web2.30"],
        "web2.2": ["web2.20"],
        "*": ["*"],
    }.items(),
)
def test_a_name_stands_for_a_worker_a_group_or_a_host(word: str, targets: list[str]) -> None:
    assert targets_of(word, WORKERS) == targets


@pytest.mark.parametrize(
    ("word", "said"),
    {
        "web": "may mean web1.11.ab, web1.12.cd, web2.21.ef, web2.31.aa: write more",
        "mail.": "may mean mail.5.aa, mail.6.bb: write more",
        "web1.11.xb": "did you mean 'web1.11.ab'",
        "": "no worker, group or host",
    }.items(),
)
def test_a_name_that_is_nobodys_or_may_be_several_is_refused(word: str, said: str) -> None:
    with pytest.raises(UnknownWorker, match=said):
        targets_of(word, WORKERS)


def test_where_no_worker_lives_that_is_said() -> None:
    with pytest.raises(UnknownWorker, match="none lives at present"):
        targets_of("web1", [])


def test_of_many_that_may_be_meant_some_are_named() -> None:
    with pytest.raises(UnknownWorker, match="w0, w1, w2, w3, w4 and 3 more"):
        targets_of("w", [someone(f"w{n}", "") for n in range(8)])


def test_a_wish_reaches_those_named_and_is_kept_for_them(register: Register) -> None:
    beat(register, *WORKERS)

    asked = control(CODEC, register, Desire.RESTART, ["web1.10", "web2.21.ef", "web1"])

    assert [card.name for card in asked] == ["web1.11.ab", "web1.12.cd", "web2.21.ef"]
    assert [(wish.target, wish.about) for wish in register.wishes()] == [
        ("web1.10", "restart"),
        ("web2.21.ef", "restart"),
    ]


def test_nothing_is_asked_when_one_of_the_names_is_unknown(register: Register) -> None:
    beat(register, *WORKERS)

    with pytest.raises(UnknownWorker):
        control(CODEC, register, Desire.DRAIN, ["web1.10", "web9"])

    assert register.wishes() == []


def test_without_names_all_are_asked_those_to_come_included(register: Register) -> None:
    assert control(CODEC, register, Desire.DRAIN) == []
    late = replace(CARD, name="late")

    heed = Heed(CODEC)
    heed.take(register.beat("late", pack_card(CODEC, late), CARD_AGE, late.targets))

    assert heed.draining
    assert [wish.target for wish in register.wishes()] == [EVERYONE]


def test_resume_takes_the_place_of_drain(register: Register) -> None:
    for desire in (Desire.DRAIN, Desire.DUMP, Desire.RESUME):
        control(CODEC, register, desire)

    assert [read_desire(CODEC, wish.wish) for wish in register.wishes()] == [Desire.DUMP, Desire.RESUME]
