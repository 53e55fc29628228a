"""`taskforge control`: what is asked of whom is kept, told, and waited for."""

from __future__ import annotations

import json
import threading

import pytest

from taskforge import Taskforge
from taskforge.workers import Desire, WorkerState, read_desire
from tests.cli.cards import CARD, beat, card
from tests.cli.harness import LIMIT, Run
from tests.servers import wait_until

WORKERS = [CARD, card("web1.12.a2"), card("web2.21.b2")]


def standing(app: Taskforge) -> list[tuple[str, Desire | None]]:
    return [(wish.target, read_desire(app.codec, wish.wish)) for wish in app.broker.register.wishes()]


@pytest.mark.parametrize(
    ("words", "targets", "reached"),
    [
        ([], ["*"], ["web1.11.a1", "web1.12.a2", "web2.21.b2"]),
        (["web1.12.a2"], ["web1.12.a2"], ["web1.12.a2"]),
        (["web1.10"], ["web1.10"], ["web1.11.a1", "web1.12.a2"]),
        (["web1"], ["web1.10"], ["web1.11.a1", "web1.12.a2"]),
        (["web1.12"], ["web1.12.a2"], ["web1.12.a2"]),
        (["web1.11.a1", "web2"], ["web1.11.a1", "web2.10"], ["web1.11.a1", "web2.21.b2"]),
    ],
    ids=["everyone", "a name", "a group", "a host", "the beginning of a name", "several"],
)
def test_what_is_asked_stands_for_those_who_are_meant_and_they_are_named(
    run: Run, app: Taskforge, words: list[str], targets: list[str], reached: list[str]
) -> None:
    beat(app, WORKERS)

    said = run("control", "drain", *words, "--json")

    assert (said.code, json.loads(said.out)) == (0, {"asked": "drain", "workers": reached, "late": []})
    assert standing(app) == [(target, Desire.DRAIN) for target in targets]


def test_for_people_there_is_a_line_for_each(run: Run, app: Taskforge) -> None:
    beat(app, WORKERS)

    said = run("control", "shutdown", "web1")

    assert said.out.splitlines() == ["shutdown: asked of web1.11.a1", "shutdown: asked of web1.12.a2"]


@pytest.mark.parametrize("what", ["shutdown", "restart"])
def test_what_a_parent_does_for_its_whole_group_is_said_of_all_of_it(run: Run, app: Taskforge, what: str) -> None:
    beat(app, WORKERS)

    said = run("control", what, "web1.12.a2", "--json")

    assert json.loads(said.out)["workers"] == ["web1.11.a1", "web1.12.a2"]


@pytest.mark.parametrize(
    ("word", "says"),
    [("web3", "no worker, group or host is named 'web3'; did you mean 'web"), ("web", "'web' may mean web1.11.a1, ")],
    ids=["nobody", "several"],
)
def test_a_word_that_does_not_mean_one_worker_is_wrong_usage_and_nothing_is_asked(
    run: Run, app: Taskforge, word: str, says: str
) -> None:
    beat(app, WORKERS)

    said = run("control", "drain", "web1", word)

    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert standing(app) == []


@pytest.mark.parametrize("words", [["shutdown"], ["restart"], ["dump"], ["drain", "web1"]], ids=" ".join)
def test_where_no_worker_lives_it_ends_with_69_and_nothing_is_asked(run: Run, app: Taskforge, words: list[str]) -> None:
    said = run("control", *words)

    assert (said.code, said.out, said.err) == (69, "", "no worker answers\n")
    assert standing(app) == []


@pytest.mark.parametrize("what", ["drain", "resume"])
def test_what_lasts_can_be_asked_of_those_who_are_still_to_start(run: Run, app: Taskforge, what: str) -> None:
    said = run("control", what)

    assert said.code == 0
    assert "it holds for those that start" in said.out
    assert standing(app) == [("*", Desire(what))]


@pytest.mark.parametrize("what", ["drain", "resume", "shutdown", "restart"])
def test_waiting_ends_when_their_cards_show_it(run: Run, app: Taskforge, what: str) -> None:
    before, after = WorkerState.RUNNING, WorkerState.DRAINING
    if what == "resume":
        before, after = after, before
    beat(app, [card("web1.11.a1", state=before)])

    def obey() -> None:
        wait_until(lambda: standing(app), LIMIT, "the wish")
        if what in ("drain", "resume"):
            beat(app, [card("web1.11.a1", state=after)])
        else:
            app.broker.register.leave("web1.11.a1")

    worker = threading.Thread(target=obey)
    worker.start()
    said = run("control", what, "--wait", str(LIMIT), "--json")
    worker.join()

    assert (said.code, json.loads(said.out)["late"]) == (0, [])


def test_waiting_in_vain_ends_with_1_and_names_the_late(run: Run, app: Taskforge) -> None:
    beat(app, [card("web1.11.a1"), card("web2.21.b2", state=WorkerState.DRAINING)])

    said = run("control", "drain", "--wait", "0")

    assert said.code == 1
    assert "web1.11.a1, which has not done it yet" in said.out
    assert said.out.count("has not done it") == 1


def test_a_dump_is_not_waited_for(run: Run, app: Taskforge) -> None:
    assert run("control", "dump", "--wait", "1").code == 2


@pytest.mark.parametrize("what", ["stop", "quiet", ""])
def test_only_what_workers_know_can_be_asked(run: Run, app: Taskforge, what: str) -> None:
    said = run("control", what)

    assert said.code == 2
    assert "'drain', 'resume', 'shutdown', 'dump', 'restart'" in said.err
