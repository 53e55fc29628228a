"""The app: its making, its settings, its tasks and queues."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskforge import AppError, JobState, OptionError, Retry, SettingsError, TaskError, Taskforge, current_app
from taskforge.job import NewJob


@pytest.mark.parametrize("name", ["", "my app", "a{b}", "tab\t", 7, None])
def test_a_name_that_would_not_do_as_a_prefix_is_refused(name: str) -> None:
    with pytest.raises(AppError, match="name"):
        Taskforge(name)


def test_a_misspelt_setting_is_refused_with_the_nearest_word() -> None:
    with pytest.raises(SettingsError, match="'lease'"):
        Taskforge("photos", leese=5)


def test_a_misspelt_option_of_an_app_is_refused_with_the_nearest_word() -> None:
    with pytest.raises(SettingsError, match="'retry'|'keep_result'"):
        Taskforge("photos", retri=Retry())


def test_settings_come_from_keywords_then_the_environment_then_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_LEASE", "7")
    monkeypatch.setenv("TASKFORGE_THREADS", "3")

    app = Taskforge("photos", broker="memory://", threads=5)

    assert app.settings.lease.total_seconds() == 7
    assert app.settings.threads == 5
    assert app.settings.attempts == 4


def test_the_broker_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_BROKER", "memory://")

    assert Taskforge("photos").broker_url == "memory://"


def test_without_a_broker_every_process_of_a_user_finds_the_same_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TASKFORGE_BROKER", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    here = Taskforge("photos").broker_url
    monkeypatch.chdir(tmp_path)

    assert Taskforge("photos").broker_url == here
    assert here.startswith("sqlite:///")
    assert here.endswith("photos.db")
    assert str(tmp_path) in here


def test_configure_changes_settings_before_first_use_and_is_refused_after(app: Taskforge) -> None:
    app.configure(lease=7, retry=Retry(attempts=9))
    note = app.task(name="note")(lambda: None)

    note.enqueue()

    assert app.settings.lease.total_seconds() == 7
    assert app.settings.broker == "memory://"
    with pytest.raises(AppError, match="configure"):
        app.configure(lease=8)


def test_making_an_app_touches_nothing(tmp_path: Path) -> None:
    Taskforge("photos", broker=f"sqlite:///{tmp_path / 'jobs.db'}").task(name="note")(lambda: None)

    assert list(tmp_path.iterdir()) == []


def test_importing_taskforge_loads_neither_brokers_nor_the_command_line() -> None:
    code = "import sys, taskforge; print(sorted({'redis', 'click', 'croniter', 'sqlite3'} & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert said.stdout.strip() in ("[]", "['sqlite3']")


@pytest.mark.parametrize("url", ["amqp://x", "nonsense", "redis:/x"])
def test_a_broker_url_that_names_no_broker_is_refused_and_says_what_would_do(url: str) -> None:
    app = Taskforge("photos", broker=url)

    with pytest.raises(SettingsError, match="sqlite|redis"):
        app.broker  # noqa: B018


# Queues.


def test_the_queues_of_an_app_are_those_of_its_tasks_declarations_and_routes() -> None:
    app = Taskforge("photos", broker="memory://", routes={"mail.*": "mail", "exact": "one"})
    app.queue("declared")
    app.task(name="mail.send")(lambda: None)
    app.task(name="other", queue="own")(lambda: None)

    assert app.queue_names() == ["declared", "default", "mail", "one", "own"]


def test_a_queue_is_chosen_by_call_then_task_then_route_exact_first_then_default() -> None:
    routes = {"photos.*": "pattern", "photos.thumb": "exact", "photos.t*": "later pattern"}
    app = Taskforge("photos", broker="memory://", routes=routes)
    exact = app.task(name="photos.thumb")(lambda: None)
    pattern = app.task(name="photos.tiff")(lambda: None)
    own = app.task(name="photos.own", queue="own")(lambda: None)
    none = app.task(name="mail")(lambda: None)

    chosen = [task.enqueue().queue for task in (exact, pattern, own, none)]

    assert chosen == ["exact", "pattern", "own", "default"]
    assert own.using(queue="call").enqueue().queue == "call"
    assert app.enqueue("photos.elsewhere").queue == "pattern"


@pytest.mark.parametrize("name", ["", "a{b}", "new\nline", "x" * 201, 7])
def test_a_queue_name_that_would_not_do_is_refused_wherever_it_is_written(app: Taskforge, name: str) -> None:
    with pytest.raises(OptionError):
        app.queue(name)
    with pytest.raises(OptionError):
        app.task(name="note", queue=name)(lambda: None)
    with pytest.raises(AppError):
        Taskforge("photos", routes={"x": name})


def test_a_queue_declared_twice_with_other_options_is_refused(app: Taskforge) -> None:
    app.queue("mail", priority=1)
    app.queue("mail", priority=1)

    with pytest.raises(OptionError, match="twice"):
        app.queue("mail", priority=2)


# Names and handles.


def test_enqueue_by_name_needs_no_code(app: Taskforge) -> None:
    job = app.by_name("their.task").using(priority=3).enqueue(1, b=2)

    info = job.info()
    assert (info.task, info.priority, list(info.args or ()), info.kwargs) == ("their.task", 3, [1], {"b": 2})


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_task_name_must_be_text(app: Taskforge, name: str) -> None:
    with pytest.raises(TaskError):
        app.enqueue(name)


@pytest.mark.parametrize("job_id", ["", "a b", "x" * 101, "new\nline", None])
def test_an_id_that_cannot_be_one_is_refused(app: Taskforge, job_id: str) -> None:
    with pytest.raises(OptionError, match="id"):
        app.job(job_id)


def test_job_enqueued_tells_of_each_job(app: Taskforge) -> None:
    told: list[tuple[str, bool]] = []

    def keep(sender: object, job: NewJob, task: str, new: bool) -> None:
        told.append((job.id, new))

    app.signals.job_enqueued.connect(keep)
    note = app.task(name="note")(lambda: None)
    first = note.using(job_id="mine").enqueue()
    note.using(job_id="mine").enqueue()

    assert told == [(first.id, True), (first.id, False)]


def test_an_app_may_be_closed_and_used_again(tmp_path: Path) -> None:
    app = Taskforge("photos", broker=f"sqlite:///{tmp_path / 'jobs.db'}")
    note = app.task(name="note")(lambda: None)

    job = note.enqueue()
    app.close()

    assert app.job(job.id).state() is JobState.READY
    app.close()


def test_the_current_app_is_the_one_made_last() -> None:
    first = Taskforge("first", broker="memory://")
    assert current_app() is first
    second = Taskforge("second", broker="memory://")
    assert current_app() is second


def test_a_module_of_include_that_does_not_import_is_named(app: Taskforge) -> None:
    broken = Taskforge("photos", broker="memory://", include=["no.such.module"])

    with pytest.raises(AppError, match=r"no\.such\.module") as caught:
        broken.worker()

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
