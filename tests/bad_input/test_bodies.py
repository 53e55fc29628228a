"""Jobs that a worker cannot make sense of: kept, visible, with a reason, and mended without loss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from taskforge import JobFailed, JobState, Taskforge
from taskforge.brokers.stamp import Sender
from taskforge.codec import Envelope
from taskforge.codec.payloads import LATEST_BODY, VERSION
from taskforge.job import Delivery
from taskforge.options import CallOptions
from taskforge.settlement import Bury, Requeue
from taskforge.worker.runner import Runner
from tests.bad_input.harness import an_app, put, run_ready

GARBAGE = [
    b"",
    b"\x00",
    b"hello",
    b"\xff" * 100,
    b"\x80\x04K\x01.",  # a pickle
    b'{"task": "shop.add"}',
    bytes([0x93, VERSION]),  # cut off
    bytes([0x93, VERSION, 0xC1, 0xC1, 0xC1]),  # a byte that msgpack never uses
    bytes([0x91, VERSION]),
    bytes([0x93, VERSION, 1, 2]) + b"\x03",  # the right shape, the wrong types
]


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[Taskforge]:
    with an_app("memory://" if request.param == "memory" else sqlite_url) as app:

        @app.task(name="shop.add")
        def add(a: int, b: int = 1) -> int:
            return a + b

        yield app


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_an_undecodable_body_makes_a_dead_job_that_says_why(app: Taskforge, body: bytes) -> None:
    job = put(app, body)

    run_ready(app)

    info = job.info()
    assert (info.state, info.reason, info.task) == (JobState.DEAD, "undecodable", None)
    assert info.unreadable
    assert info.errors[0].type.endswith("DecodeError")
    assert info.attempts == 0, "no run has begun, so none is counted"


def test_the_jobs_beside_an_undecodable_one_run(app: Taskforge) -> None:
    before = app.enqueue("shop.add", 1)
    for number, body in enumerate(GARBAGE):
        put(app, body, f"raw-{number}")
    after = app.enqueue("shop.add", 2)

    run_ready(app)

    assert (before.result(0), after.result(0)) == (2, 3)
    assert app.inspector.counts("default").dead == len(GARBAGE)


def test_the_result_of_an_undecodable_job_is_an_error_with_its_reason(app: Taskforge) -> None:
    job = put(app, b"hello")
    run_ready(app)

    with pytest.raises(JobFailed) as caught:
        job.result(0)

    assert caught.value.reason == "undecodable"
    assert "not written by taskforge" in str(caught.value)


def test_a_mended_body_runs(app: Taskforge) -> None:
    job = put(app, b"hello")
    run_ready(app)
    mended = app.codec.body(Envelope("shop.add", app.codec.arguments("shop.add", [4], {}, app.types_of("shop.add"))))

    app.inspector.redrive("default", [job.id], Sender().stamp(), mended)
    run_ready(app)

    assert job.result(0) == 5


def test_the_error_of_a_job_that_died_without_one_names_the_reason() -> None:
    assert str(JobFailed("x", "crashed")) == "job x is dead: crashed"


def test_arguments_that_cannot_be_unpacked_are_undecodable_and_named(app: Taskforge) -> None:
    job = put(app, app.codec.body(Envelope("shop.add", b"\xc1")))

    run_ready(app)

    info = job.info()
    assert (info.state, info.reason, info.task) == (JobState.DEAD, "undecodable", "shop.add")
    assert "the arguments cannot be read" in info.errors[0].message


@pytest.mark.parametrize(
    "options",
    [{"timeout": "soon"}, {"retry": 5}, {"headers": [1]}, {"keep": [1]}, {"isolate": 5}, {"timeout": float("nan")}],
    ids=str,
)
def test_options_that_are_none_of_ours_make_a_dead_job(app: Taskforge, options: dict[str, object]) -> None:
    arguments = app.codec.arguments("shop.add", [4], {}, app.types_of("shop.add"))
    job = put(app, app.codec.body(Envelope("shop.add", arguments, options)))

    run_ready(app)

    assert (job.info().state, job.info().reason) == (JobState.DEAD, "undecodable")


def test_an_option_of_a_later_release_waits_for_a_worker_that_knows_it(app: Taskforge) -> None:
    arguments = app.codec.arguments("shop.add", [4], {}, app.types_of("shop.add"))
    job = put(app, app.codec.body(Envelope("shop.add", arguments, {"colour": "red"})))

    run_ready(app)

    assert job.info().state is JobState.DELAYED
    assert "an option 'colour'" in job.info().errors[-1].message


@pytest.mark.parametrize("seconds", [1e300, float("inf"), float("-inf")])
def test_an_impossible_span_in_a_body_does_not_stop_the_worker(app: Taskforge, seconds: float) -> None:
    arguments = app.codec.arguments("shop.add", [4], {}, app.types_of("shop.add"))
    job = put(app, app.codec.body(Envelope("shop.add", arguments, {"timeout": seconds})))
    other = app.enqueue("shop.add", 1)

    run_ready(app)

    assert other.result(0) == 2
    assert job.info().state.ended


def test_a_body_of_a_newer_version_waits_for_a_worker_that_reads_it(app: Taskforge) -> None:
    job = put(app, bytes([0x92, LATEST_BODY + 1, 0xC1]))

    run_ready(app)

    info = job.info()
    assert info.state is JobState.DELAYED
    assert info.attempts == 0
    assert "newer taskforge" in info.errors[-1].message
    assert "update taskforge here too" in (info.unreadable or "")


def test_an_unknown_task_waits_visibly_and_without_blame(app: Taskforge) -> None:
    job = app.enqueue("shop.ad", 1)

    run_ready(app)

    info = job.info()
    assert (info.state, info.task, info.attempts) == (JobState.DELAYED, "shop.ad", 0)
    assert "did you mean 'shop.add'" in info.errors[-1].message


def test_a_parked_job_runs_once_its_task_is_known(app: Taskforge) -> None:
    job = app.enqueue("shop.later", 1)
    run_ready(app)
    app.task(name="shop.later")(lambda a: a * 10)

    assert job.promote()
    run_ready(app)

    assert job.result(0) == 10


def test_a_parked_job_waits_longer_the_older_it_is_within_bounds(app: Taskforge) -> None:
    body = app.codec.body(Envelope("shop.gone", b"\x92\x90\x80"))
    ages = [0, 10, 60, 300, 3_600, 80_000]

    parked = [Runner(app).open(_delivery(body, timedelta(seconds=age))) for age in ages]

    delays = [each.delay.total_seconds() for each in parked if isinstance(each, Requeue) and each.delay]
    assert len(delays) == len(ages)
    assert delays == sorted(delays)
    assert delays[0] >= 1
    assert delays[-1] <= 300
    assert not any(each.counts for each in parked if isinstance(each, Requeue))


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"\x92\x03\x01", "unknown_version"), (b"\x93\x01\xa9shop.gone\xc4\x03\x92\x90\x80", "unknown_task")],
    ids=["version", "task"],
)
def test_a_parked_job_dies_when_no_worker_came_in_time(app: Taskforge, body: bytes, reason: str) -> None:
    late = Runner(app).open(_delivery(body, app.settings.unknown_task_age + timedelta(seconds=1)))

    assert isinstance(late, Bury)
    assert (late.reason, late.counts) == (reason, False)


def test_an_unknown_task_that_may_not_wait_is_dead_at_once_and_can_be_redriven(sqlite_url: str) -> None:
    with an_app(sqlite_url, unknown_task_age=0) as app:
        job = app.enqueue("shop.later", 1)
        run_ready(app)
        assert (job.info().state, job.info().reason) == (JobState.DEAD, "unknown_task")

        app.task(name="shop.later")(lambda a: a * 10)
        job.redrive()
        run_ready(app)

        assert job.result(0) == 10


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"c": 2}), ((1,), {"a": 2})])
def test_arguments_that_do_not_bind_are_refused_before_anything_is_sent(
    app: Taskforge, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    with pytest.raises(TypeError, match=r"shop\.add\(a: .*int.*, b: .*int.* = 1\)"):
        app.by_name("shop.add").enqueue(*args, **kwargs)

    assert app.inspector.counts("default").ready == 0


def test_arguments_that_do_not_bind_at_the_worker_make_a_dead_job(app: Taskforge) -> None:
    with an_app(app.broker_url) as client:  # it does not know the task, so it cannot check
        sent = put(app, client.codec.body(Envelope("shop.add", b"\x92\x90\x81\xa1c\x01")))

    run_ready(app)

    info = sent.info()
    assert (info.state, info.reason, info.attempts) == (JobState.DEAD, "arguments", 0)
    assert (info.args, info.kwargs) == ([], {"c": 1})
    assert info.errors[0].message.startswith("shop.add(a: ")


def test_one_bad_tuple_refuses_a_whole_batch_before_anything_is_sent(app: Taskforge) -> None:
    with pytest.raises(TypeError, match=r"shop\.add"):
        app.by_name("shop.add").enqueue_many([(1,), (1, 2, 3), (4,)])

    assert app.inspector.counts("default").ready == 0


def test_a_text_in_place_of_a_tuple_is_refused_with_what_was_meant(app: Taskforge) -> None:
    with pytest.raises(TypeError, match=r"did you mean \('abc',\)"):
        app.by_name("shop.add").enqueue_many(["abc"])  # a text is a sequence, too


def test_one_job_id_for_many_jobs_is_refused(app: Taskforge) -> None:
    options: CallOptions = {"job_id": "one"}

    with pytest.raises(Exception, match="one job_id cannot name many jobs"):
        app.by_name("shop.add").using(**options).enqueue_many([(1,), (2,)])


def _delivery(body: bytes, age: timedelta) -> Delivery:
    return Delivery("default", "raw", 1, body, 0, 0, 0, datetime.now(UTC) - age)
