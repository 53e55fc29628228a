"""app.workers() and app.control()."""

from __future__ import annotations

import asyncio

import pytest

from taskforge import Taskforge
from taskforge.errors import AppError, UnknownWorker, WouldBlock
from taskforge.workers import CARD_AGE, Heed, WorkerCard, pack_card


@pytest.fixture
def app() -> Taskforge:
    return Taskforge("shop", broker="memory://")


def beat(app: Taskforge, card: WorkerCard, heed: Heed) -> list[str]:
    """What a worker that beats shall do."""
    wishes = app.broker.register.beat(card.name, pack_card(app.codec, card), CARD_AGE, card.targets)
    return [*(desire for desire, _ in heed.take(wishes)), *(["draining"] if heed.draining else [])]


def test_a_worker_is_seen_and_does_what_is_asked(app: Taskforge) -> None:
    card, heed = WorkerCard("h.2.x", group="h.1", host="h"), Heed(app.codec)
    assert beat(app, card, heed) == []

    assert app.workers() == [card]
    assert app.control("drain", ["h"]) == [card]
    assert app.control("dump") == [card]

    assert beat(app, card, heed) == ["dump", "draining"]
    assert app.control("resume", ["h.2"]) == [card]
    assert beat(app, card, heed) == []


def test_what_cannot_be_asked_and_who_is_not_there_is_said(app: Taskforge) -> None:
    with pytest.raises(AppError, match="'drian'; did you mean 'drain'"):
        app.control("drian")
    with pytest.raises(UnknownWorker, match="'w'; none lives"):
        app.control("drain", ["w"])


def test_inside_a_loop_the_twins_are_the_way(app: Taskforge) -> None:
    card = WorkerCard("w")
    beat(app, card, Heed(app.codec))

    async def main() -> None:
        with pytest.raises(WouldBlock, match="aworkers"):
            app.workers()
        with pytest.raises(WouldBlock, match="acontrol"):
            app.control("drain")
        assert await app.aworkers() == [card]
        assert await app.acontrol("drain", ["w"]) == [card]

    asyncio.run(main())
    assert len(app.broker.register.wishes()) == 1
