"""`taskforge scale`: what waits, who works, and how many are wanted."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest

from taskforge import Taskforge
from taskforge.brokers.inspecting import Pressure
from taskforge.cli.loading import load_app
from taskforge.measuring import measure, places_of, together
from taskforge.scaling import Goal
from taskforge.workers import WorkerState
from tests.cli.cards import CARD, beat, card
from tests.cli.harness import LIMIT, Process, Run, process
from tests.servers import wait_until


@pytest.fixture(params=["sqlite", "redis"])
def shop(request: pytest.FixtureRequest, module: str, monkeypatch: pytest.MonkeyPatch) -> Taskforge:
    """The app, on either broker."""
    if request.param == "redis":
        monkeypatch.setenv("TASKFORGE_BROKER", request.getfixturevalue("a_redis_url"))
    return load_app(module)


def test_from_zero_one_is_wanted_as_soon_as_a_job_is_ready_or_falls_due_soon(run: Run, shop: Taskforge) -> None:
    shop.by_name("shop.add").using(delay=3_600).enqueue(1)
    far = json.loads(run("scale", "--json").out)["total"]
    shop.by_name("shop.add").using(delay=20).enqueue(1)
    soon = json.loads(run("scale", "--json").out)["total"]
    shop.enqueue("shop.write", "a")
    ready = json.loads(run("scale", "--json").out)

    assert (far["backlog"], far["wanted"]) == (0, 0)
    assert (soon["backlog"], soon["ready"], soon["soon"], soon["wanted"]) == (1, 0, 1, 1)
    assert (ready["queues"]["files"]["ready"], ready["queues"]["files"]["wanted"]) == (1, 1)
    assert (ready["total"]["backlog"], ready["total"]["drain_time"], ready["total"]["wanted"]) == (2, None, 1)


def test_how_far_ahead_it_looks_is_the_drain_time(run: Run, shop: Taskforge) -> None:
    shop.by_name("shop.add").using(delay=100).enqueue(1)

    usual = json.loads(run("scale", "--json").out)
    longer = json.loads(run("scale", "--json", "--drain-time", "200").out)

    assert (usual["drain_goal"], usual["total"]["soon"]) == (30.0, 0)
    assert (longer["drain_goal"], longer["total"]["soon"]) == (200.0, 1)


def test_what_the_workers_do_is_counted_by_queue_and_in_all(run: Run, shop: Taskforge) -> None:
    shop.by_name("shop.add").enqueue_many([(n,) for n in range(250)])
    beat(
        shop,
        [
            card("web1.11.a1", queues=("default",), jobs_per_second=2.0, seconds_per_job=0.5),
            card("web1.12.a2", queues=("default",), jobs_per_second=3.0, seconds_per_job=0.5),
            card("web1.13.a3", queues=("default",), state=WorkerState.DRAINING),
            card("web2.21.b2", queues=("elsewhere",)),
        ],
    )

    said = json.loads(run("scale", "--json").out)

    found = said["queues"]["default"]
    assert (found["backlog"], found["workers"], found["throughput"]) == (250, 2, 5.0)
    assert found["drain_time"] == pytest.approx(250 / (2 * 108 / 0.5), abs=0.01)  # nobody has waited for long: by slots
    assert (said["queues"]["files"]["workers"], said["total"]["workers"]) == (0, 2)


def test_a_process_that_serves_two_queues_does_for_each_what_its_jobs_are_of_all(shop: Taskforge) -> None:
    shop.by_name("shop.add").enqueue_many([(n,) for n in range(29)])
    shop.by_name("shop.write").enqueue_many([(str(n),) for n in range(9)])
    beat(shop, [CARD])

    scale = measure(shop, Goal())

    assert scale.queues["default"].throughput == pytest.approx(12.5 * 0.75)
    assert scale.queues["files"].throughput == pytest.approx(12.5 * 0.25)
    assert scale.total.throughput == pytest.approx(12.5)


def test_jobs_that_run_are_busy_and_ask_for_a_process_even_if_nothing_waits(
    run: Run, shop: Taskforge, folder: Path
) -> None:
    job = shop.enqueue("shop.hold")
    with shop.worker(threads=1):
        wait_until(lambda: (folder / "held").exists(), LIMIT, "the run")
        said = json.loads(run("scale", "--json").out)
        (folder / "go").touch()
        job.result(timeout=LIMIT)

    found = said["queues"]["default"]
    assert (found["backlog"], found["busy"], found["wanted"]) == (0, 1, 1)


def test_the_oldest_of_all_is_the_oldest_of_any_queue() -> None:
    found = together([Pressure(1, timedelta(seconds=5)), Pressure(), Pressure(2, timedelta(seconds=9), 3, 4)])

    assert found == Pressure(3, timedelta(seconds=9), 3, 4)


def test_the_places_of_a_process_are_those_for_the_kinds_of_tasks_that_its_queues_get(app: Taskforge) -> None:
    @app.task(name="shop.async_only", queue="loop")
    async def async_only() -> None: ...

    places = {name: places_of(app, [name], 8, 108) for name in ("files", "loop", "default", "unknown")}

    assert places == {"files": 8, "loop": 100, "default": 108, "unknown": 108}


def test_only_the_queues_asked_for_are_in_it_and_the_numbers_stay_in_their_range(run: Run, app: Taskforge) -> None:
    app.enqueue("shop.write", "a")

    said = json.loads(run("scale", "--json", "-Q", "default", "--minimum", "2", "--maximum", "4").out)

    assert list(said["queues"]) == ["default"]
    assert (said["total"]["backlog"], said["total"]["wanted"]) == (0, 2)


def test_for_people_there_is_a_table_with_a_line_for_all(run: Run, app: Taskforge) -> None:
    app.enqueue("shop.write", "a")

    lines = [line.split() for line in run("scale").out.splitlines()]

    assert [line[0] for line in lines] == ["queue", "default", "files", "all"]
    assert lines[0][-1] == "wanted"
    assert [line[-1] for line in lines[1:]] == ["0", "1", "1"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--minimum", "5", "--maximum", "4"], "from 5 to 4 processes is no range"),
        (["--drain-time", "0"], "the drain time is a number of seconds above 0"),
        (["--maximum", "0"], "--maximum"),
        (["--serve", "70000"], "--serve"),
        (["-Q", "{x}"], "must not contain braces"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_cannot_be_meant_is_wrong_usage(run: Run, wrong: list[str], says: str) -> None:
    said = run("scale", *wrong)

    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_served_over_http_it_is_the_same_document_until_told_to_stop(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "scale", "--serve", "0", "--host", "127.0.0.1") as served:
        served.until("Serving /scale")
        nothing = _document(served)
        app.enqueue("shop.write", "a")
        one = _document(served)
        taken = _second(folder, module, _port(served))
        served.send(signal.SIGTERM)

        assert served.end() == 0

    assert (nothing["total"]["wanted"], one["total"]["wanted"], one["app"]) == (0, 1, "shop")
    assert taken[0] == 2
    assert "in use" in taken[1]


def _port(served: Process) -> str:
    return served.said.rstrip().rpartition("port ")[2].rstrip(".")


def _document(served: Process):  # type: ignore[no-untyped-def]
    with urllib.request.urlopen(f"http://127.0.0.1:{_port(served)}/scale", timeout=25) as answer:
        return json.load(answer)


def _second(folder: Path, module: str, port: str) -> tuple[int, str]:
    with process(folder, "-A", module, "scale", "--serve", port, "--host", "127.0.0.1") as second:
        return second.end(), second.said


def test_while_the_broker_is_away_the_answer_is_503(folder: Path, module: str) -> None:
    away = {"TASKFORGE_BROKER": f"unix://{folder / 'nobody'}", "TASKFORGE_CALL_TIMEOUT": "0.2"}
    with process(folder, "-A", module, "scale", "--serve", "0", "--host", "127.0.0.1", env=away) as served:
        served.until("Serving /scale")

        with pytest.raises(urllib.error.HTTPError) as refused:
            _document(served)
        refused.value.close()

        assert refused.value.code == 503
        with urllib.request.urlopen(f"http://127.0.0.1:{_port(served)}/healthz", timeout=25) as answer:
            assert answer.status == 200
