"""From a call to the job that the broker is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskforge import Call, Taskforge
from taskforge.job import NewJob
from taskforge.task import Args


def made(app: Taskforge, call: Call[..., Any], *args: object) -> NewJob:
    [job] = app.new_jobs(call, [Args(*args)])
    return job


def test_a_job_carries_what_its_broker_must_know(app: Taskforge) -> None:
    note = app.task(name="note", queue="mail", priority=3)(lambda: None)

    job = made(app, note.using(delay=5, expires=60, job_id="mine"))

    assert (job.id, job.queue, job.priority) == ("mine", "mail", 3)
    assert (job.delay, job.at, job.expires) == (timedelta(seconds=5), None, timedelta(seconds=60))


def test_a_job_for_a_moment_carries_that(app: Taskforge) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    job = made(app, app.task(name="note")(lambda: None).using(at=moment, expires=moment))

    assert (job.delay, job.at, job.expires) == (None, moment, moment)


def test_ids_are_different_sort_by_time_and_have_26_characters(app: Taskforge) -> None:
    note = app.task(name="note")(lambda: None)

    ids = [made(app, note).id for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert {len(job_id) for job_id in ids} == {26}


def test_a_plain_jobs_body_carries_no_options(app: Taskforge) -> None:
    note = app.task(name="note", priority=5, queue="mail", delay=3)(lambda: None)

    assert app.codec.read_body(made(app, note).body).options == {}


def test_a_job_by_name_carries_only_what_its_call_said(app: Taskforge) -> None:
    app.configure(timeout=77, headers={"app": "yes"})

    plain = app.codec.read_body(made(app, app.by_name("their.task")).body).options
    told = app.codec.read_body(made(app, app.by_name("their.task").using(timeout=5)).body).options

    assert set(plain) == {"partial"}
    assert (told["timeout"], set(told)) == (5, {"partial", "timeout"})


def test_an_app_that_changes_a_queues_defaults_changes_its_next_jobs(app: Taskforge) -> None:
    note = app.task(name="note", queue="mail")(lambda: None)
    before = made(app, note)

    app.queue("mail", priority=9)

    assert (before.priority, made(app, note).priority) == (0, 9)
