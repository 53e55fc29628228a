"""`taskforge status`: who lives, and what is asked of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from taskforge import Taskforge
from taskforge.cli.loading import load_app
from taskforge.workers import WorkerState
from tests.cli.cards import CARD, beat, card
from tests.cli.harness import Run


@pytest.fixture(params=["sqlite", "redis"])
def shop(request: pytest.FixtureRequest, module: str, monkeypatch: pytest.MonkeyPatch) -> Taskforge:
    """The app, on either broker."""
    if request.param == "redis":
        monkeypatch.setenv("TASKFORGE_BROKER", request.getfixturevalue("a_redis_url"))
    return load_app(module)


def asked(run: Run) -> dict[str, str | None]:
    workers = json.loads(run("status", "--json").out)["workers"]
    return {worker["name"]: worker["asked"] for worker in workers}


def test_without_a_worker_it_says_so_and_ends_with_69(run: Run, shop: Taskforge) -> None:
    said, as_json = run("status"), run("status", "--json")

    assert (said.code, said.out, said.err) == (69, "", "no worker answers\n")
    assert (as_json.code, json.loads(as_json.out)) == (69, {"workers": [], "wishes": []})


def test_every_living_worker_has_a_line(run: Run, shop: Taskforge) -> None:
    beat(shop, [CARD, card("web2.21.b2", busy=0, last_exchange=None, state=WorkerState.DRAINING)])

    said = run("status")

    assert said.code == 0
    heads, one, two = (line.split() for line in said.out.splitlines())
    assert heads[:2] == ["worker", "group"]
    assert one[:7] == ["web1.11.a1", "web1.10", "0.1.0", "default,files", "3", "108", "12.5"]
    assert " ".join(one[7:]) == "64 MiB 0.4 s ago 2 d 2 h running"
    assert " ".join(two[7:]) == "64 MiB never 2 d 2 h draining"


def test_as_json_it_tells_the_whole_card(run: Run, shop: Taskforge) -> None:
    beat(shop, [CARD])

    [worker] = json.loads(run("status", "--json").out)["workers"]

    assert worker["name"] == CARD.name
    assert worker["tasks"] == {"shop.add": "d1"}
    assert worker["queues"] == ["default", "files"]
    assert (worker["state"], worker["asked"]) == ("running", None)
    assert (worker["last_exchange"], worker["rss"], worker["processes"]) == (0.4, 64 << 20, 2)


def test_what_is_asked_of_whom_stands_beside_them(run: Run, shop: Taskforge) -> None:
    beat(shop, [CARD, card("web1.12.a2"), card("web2.21.b2")])

    shop.control("drain", ["web1"])
    shop.control("shutdown", ["web2.21.b2"])
    shop.control("dump")

    assert asked(run) == {"web1.11.a1": "drain", "web1.12.a2": "drain", "web2.21.b2": "shutdown"}
    wishes = json.loads(run("status", "--json").out)["wishes"]
    assert [(wish["target"], wish["what"]) for wish in wishes] == [
        ("web1.10", "drain"),
        ("web2.21.b2", "shutdown"),
        ("*", "dump"),
    ]


def test_the_latest_word_on_serving_counts_whomever_it_was_said_to(run: Run, shop: Taskforge) -> None:
    beat(shop, [CARD, card("web2.21.b2")])

    shop.control("drain")
    shop.control("resume", ["web1.10"])

    assert asked(run) == {"web1.11.a1": None, "web2.21.b2": "drain"}


def test_who_started_after_an_end_was_asked_for_is_not_meant(run: Run, shop: Taskforge) -> None:
    beat(shop, [CARD])
    shop.control("restart")
    beat(shop, [card("web1.13.a3", started_at=datetime.now(UTC) + timedelta(seconds=5))])

    assert asked(run) == {"web1.11.a1": "restart", "web1.13.a3": None}
