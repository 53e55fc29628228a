"""Options, names and settings that are misspelt or out of range: refused where they are written."""

from __future__ import annotations

import math
import os
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from taskforge import (
    AppError,
    Keep,
    OptionError,
    Retry,
    SettingsError,
    TaskAlreadyRegistered,
    TaskError,
    Taskforge,
    current_app,
    task,
)
from tests.bad_input.harness import an_app, run_ready


@pytest.fixture
def app() -> Iterator[Taskforge]:
    with an_app() as app:
        app.task(name="shop.add")(lambda a: a)
        yield app


NAIVE = datetime(2030, 1, 1)  # what this is about
BAD_OPTIONS: list[tuple[dict[str, object], str]] = [
    ({"at": NAIVE}, r"at is naive \(2030-01-01T00:00:00\).*UTC"),
    ({"expires": NAIVE}, r"expires is naive"),
    ({"at": "tomorrow"}, r"at must be a datetime with a time zone"),
    ({"at": datetime.max.replace(tzinfo=UTC)}, r"at is over a year ahead"),
    ({"at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))}, r"at "),
    ({"at": datetime.now(UTC), "delay": 1}, r"delay or at, not both"),
    ({"delay": -1}, r"delay must be from 0 seconds to a year, not -1"),
    ({"delay": timedelta(seconds=-1)}, r"delay must be from 0 seconds to a year"),
    ({"delay": 1e12}, r"delay must be from 0 seconds to a year"),
    ({"delay": math.inf}, r"delay must be from 0 seconds to a year"),
    ({"delay": math.nan}, r"delay must be from 0 seconds to a year"),
    ({"delay": "5"}, r"delay must be a number of seconds or a timedelta"),
    ({"delay": True}, r"delay must be a number of seconds or a timedelta"),
    ({"expires": -1}, r"expires must be from 0 seconds"),
    ({"priority": 101}, r"priority must be a whole number from -100 to 100"),
    ({"priority": -101}, r"priority must be a whole number from -100 to 100"),
    ({"priority": 1.5}, r"priority must be a whole number"),
    ({"priority": True}, r"priority must be a whole number"),
    ({"priority": 10**400}, r"priority must be a whole number"),
    ({"queue": ""}, r"queue must be a name of 1 to 200 bytes"),
    ({"queue": "a" * 201}, r"queue must be at most 200 bytes, not 201"),
    ({"queue": "ä" * 101}, r"queue must be at most 200 bytes, not 202"),
    ({"queue": "{mail}"}, r"queue must not contain braces or control characters"),
    ({"queue": "mail\n"}, r"queue must not contain braces or control characters"),
    ({"queue": "mail\x00"}, r"queue must not contain braces or control characters"),
    ({"queue": "mail\x85"}, r"queue must not contain braces or control characters"),
    ({"queue": "\udcff"}, r"queue "),
    ({"queue": 5}, r"queue must be a name"),
    ({"timeout": 0}, r"timeout must be more than 0 seconds; None means no limit"),
    ({"timeout": -1}, r"timeout must be from 0 seconds"),
    ({"retry": 3}, r"retry must be a Retry"),
    ({"retry": Retry(backoff=lambda attempt, error: 1.0)}, r"callable backoff belongs to a task's declaration"),
    ({"keep": Keep(count=5)}, r"counts belong to queues"),
    ({"keep": -1}, r"keep must be from 0 seconds"),
    ({"keep": Keep(age=-1)}, r"keep must be from 0 seconds"),
    ({"keep_result": -1}, r"keep_result must be from 0 seconds"),
    ({"headers": {"a": 1}}, r"headers must map text to text"),
    ({"headers": {"a": "x" * 9_000}}, r"headers must be at most 8192 bytes altogether"),
    ({"job_id": ""}, r"job_id must be text of 1 to 100 bytes"),
    ({"job_id": "x" * 101}, r"job_id must be text of 1 to 100 bytes"),
    ({"job_id": "a b"}, r"job_id must not contain spaces"),
    ({"job_id": "\udcff"}, r"job_id "),
    ({"prioritty": 5}, r"there is no option 'prioritty'; did you mean 'priority'\?"),
    ({"countdown": 5}, r"there is no option 'countdown'"),
]


@pytest.mark.parametrize("options, says", BAD_OPTIONS, ids=lambda value: ascii(value)[:40])
def test_an_option_that_does_not_fit_is_refused_naming_it_and_the_task(
    app: Taskforge, options: dict[str, object], says: str
) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        app.by_name("shop.add").using(**options)  # type: ignore[arg-type]

    assert "shop.add" in str(caught.value)


@pytest.mark.parametrize("options", [{"prioritty": 5}, {"queue": "{x}"}, {"delay": -1}, {"at": datetime.now(UTC)}])
def test_a_bad_option_fails_where_the_task_is_declared(app: Taskforge, options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=r"task shop\.other"):
        app.task(name="shop.other", **options)(lambda: None)  # type: ignore[call-overload]

    assert app.tasks.get("shop.other") is None


def test_an_option_of_one_call_says_so_when_it_is_declared(app: Taskforge) -> None:
    with pytest.raises(OptionError, match=r"`job_id` belongs to one call: \.using\(job_id=…\)"):
        app.task(name="shop.other", job_id="x")(lambda: None)  # type: ignore[call-overload]


def test_a_queue_name_of_200_bytes_with_odd_characters_works(app: Taskforge) -> None:
    name = ("ä:*?[] /\\'\"%" + "q" * 200)[:199]

    job = app.by_name("shop.add").using(queue=name[:180]).enqueue(1)

    assert job.info().queue == name[:180]


def test_a_bad_queue_declaration_is_refused(app: Taskforge) -> None:
    with pytest.raises(OptionError, match="a queue's name must not contain braces"):
        app.queue("{x}")
    with pytest.raises(OptionError, match=r"queue 'mail': there is no option 'keeep'; did you mean 'keep'"):
        app.queue("mail", keeep=5)  # type: ignore[call-arg]


def test_two_different_declarations_of_a_queue_are_refused(app: Taskforge) -> None:
    app.queue("mail", priority=1)

    with pytest.raises(OptionError, match="queue 'mail' is declared twice"):
        app.queue("mail", priority=2)


def test_a_bad_queue_in_a_route_is_refused() -> None:
    with pytest.raises(AppError, match=r"routes\['shop\.\*'\]: the queue must not contain braces"):
        Taskforge("shop", broker="memory://", routes={"shop.*": "{x}"})


def test_one_task_name_from_two_modules_is_refused_naming_both_places(app: Taskforge) -> None:
    one, two = types.ModuleType("one"), types.ModuleType("two")
    for module in (one, two):
        exec(compile("def send(to): pass", f"{module.__name__}.py", "exec"), module.__dict__)
    app.task(name="mail.send")(one.send)

    with pytest.raises(TaskAlreadyRegistered) as caught:
        app.task(name="mail.send")(two.send)

    said = str(caught.value)
    assert "'mail.send'" in said
    assert "one.py:1" in said
    assert "two.py:1" in said
    assert "@app.task(name=…)" in said


def test_an_alias_that_another_task_has_is_refused_and_registers_nothing(app: Taskforge) -> None:
    with pytest.raises(TaskAlreadyRegistered, match=r"shop\.add"):
        app.task(name="shop.sum", aliases=["shop.add"])(lambda a, b: a)

    assert app.tasks.get("shop.sum") is None


def test_what_cannot_be_a_task_is_refused(app: Taskforge) -> None:
    class Basket:
        def fill(self) -> None: ...

    def stream() -> Iterator[int]:
        yield 1

    for thing, says in ((Basket.fill, "is a method"), (stream, "is a generator"), (Basket, "must be a function")):
        with pytest.raises(TaskError, match=says):
            app.task(thing)
    with pytest.raises(TaskError, match="must be a function"):
        app.task("shop")  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["", "a b", "{a}", "a\n", 5, None])
def test_a_bad_app_name_is_refused(name: object) -> None:
    with pytest.raises(AppError, match="an app's name must be text without spaces or braces"):
        Taskforge(name, broker="memory://")  # type: ignore[arg-type]


BAD_SETTINGS: list[tuple[dict[str, object], str]] = [
    ({"leese": 5}, r"there is no setting or option 'leese'; did you mean 'lease'\?"),
    ({"brocker": "memory://"}, r"there is no setting or option 'brocker'; did you mean 'broker'\?"),
    ({"lease": "soon"}, r"lease must be a number of seconds, or a timedelta, not 'soon'"),
    ({"lease": -5}, r"lease must be from 0.5 s"),
    ({"lease": math.nan}, r"lease "),
    ({"lease": math.inf}, r"lease must be"),
    ({"threads": 1.5}, r"threads must be a whole number"),
    ({"threads": True}, r"threads must be a whole number"),
    ({"durability": "ram"}, r"durability must be one of default, disk, replicated, not 'ram'"),
    ({"broker": 5}, r"broker must be text"),
    ({"attempts": 0}, r"attempts must be from 1"),
    ({"priority": 500}, r"priority must be from -100 to 100"),
    ({"call_timeout": None}, r"call_timeout must be a number of seconds"),
]


@pytest.mark.parametrize("given, says", BAD_SETTINGS, ids=str)
def test_a_setting_that_does_not_fit_is_refused_by_name(given: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Taskforge("shop", **{"broker": "memory://", **given})


@pytest.mark.parametrize(
    "variable, value", [("LEASE", "soon"), ("THREADS", "many"), ("THREADS", ""), ("TIMEOUT", "-"), ("LEASE", "nan")]
)
def test_a_bad_value_in_the_environment_is_refused_naming_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"TASKFORGE_{variable}", value)

    with pytest.raises(SettingsError, match=f"TASKFORGE_{variable} must be a"):
        Taskforge("shop", broker="memory://")


@pytest.mark.parametrize("variable, value", [("DURABILITY", "ram"), ("ATTEMPTS", "0"), ("LEASE", "-1")])
def test_a_value_out_of_range_in_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"TASKFORGE_{variable}", value)

    with pytest.raises(SettingsError, match=f"TASKFORGE_{variable}"):
        Taskforge("shop", broker="memory://")


@pytest.mark.parametrize(
    "url, says",
    [
        ("jobs.db", "is no scheme of a broker"),
        ("reddis://here", r"'reddis' is no scheme of a broker; did you mean 'redis'\?"),
        ("sqlite://jobs.db", "names no database file; write sqlite:///jobs.db"),
        ("sqlite:///", "names no database file"),
        ("memory:///x", "names no database file"),
        ("redis+cluster://here", "Redis Cluster .* is not supported yet"),
        ("redis://here:port", "the URL is not one of Redis"),
        ("redis://127.0.0.1:1/none", "the URL is not one of Redis"),
        ("redis://here?colour=red", "the URL is not one of Redis"),
    ],
)
def test_a_url_that_names_no_broker_is_refused(url: str, says: str) -> None:
    app = Taskforge("shop", broker=url, call_timeout=0.1)

    with pytest.raises(SettingsError, match=says):
        app.enqueue("shop.add", 1)


def test_a_password_in_a_url_is_in_no_message() -> None:
    with an_app("redis://user:s3cret@127.0.0.1:1/0", call_timeout=0.1) as app:
        with pytest.raises(Exception, match=r"127\.0\.0\.1:1") as caught:
            app.enqueue("shop.add", 1)

        assert "s3cret" not in str(caught.value)
        assert "s3cret" not in app.broker.describe()


def test_settings_cannot_be_changed_once_the_broker_is_in_use(app: Taskforge) -> None:
    app.enqueue("shop.add", 1)

    with pytest.raises(AppError, match=r"has used its broker already: call configure\(\) before"):
        app.configure(lease=5)


def test_a_misspelt_setting_of_configure_changes_nothing(app: Taskforge) -> None:
    before = app.settings

    with pytest.raises(SettingsError, match="did you mean 'lease'"):
        app.configure(leese=5, threads=3)

    assert app.settings == before


@pytest.mark.parametrize(
    "source, says",
    [
        ("raise RuntimeError('no such table')", "RuntimeError: no such table"),
        ("import no_such_package_at_all", "no_such_package_at_all"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "exit code 3"),
    ],
    ids=["error", "missing", "syntax", "exit"],
)
def test_an_include_that_does_not_import_is_named_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str
) -> None:
    module = f"included_{abs(hash(source))}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    app = Taskforge("shop", broker="memory://", include=[module])

    with pytest.raises(AppError, match=f"{module}.*({says})"):
        app.worker()


def test_a_missing_include_is_named() -> None:
    app = Taskforge("shop", broker="memory://", include=["no_such_module_at_all"])

    with pytest.raises(AppError, match="'no_such_module_at_all'"):
        app.load()


def test_a_task_without_an_app_says_what_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskforge.current._newest", None)
    monkeypatch.setattr("taskforge.current._pending", [])
    orphan = task(name="shop.orphan")(lambda: None)

    with pytest.raises(AppError, match=r'app = Taskforge\("photos"\)'):
        orphan.enqueue()
    with pytest.raises(AppError, match="there is no app yet"):
        current_app()


def test_a_backoff_that_fails_does_not_lose_the_job(app: Taskforge) -> None:
    def backoff(attempt: int, error: BaseException) -> float:
        raise ZeroDivisionError

    @app.task(name="shop.fails", retry=Retry(attempts=2, backoff=backoff))
    def fails() -> None:
        raise OSError("no")

    job = fails.enqueue()

    run_ready(app)

    assert job.state() in ("delayed", "dead")
    assert job.info().attempts >= 1


@pytest.mark.parametrize("wait", ["soon", math.nan, object(), -5, 1e400], ids=str)
def test_a_backoff_that_answers_nonsense_does_not_lose_the_job(app: Taskforge, wait: object) -> None:
    @app.task(name="shop.fails", retry=Retry(attempts=2, backoff=lambda attempt, error: wait))  # type: ignore[arg-type, return-value]
    def fails() -> None:
        raise OSError("no")

    job = fails.enqueue()

    run_ready(app)

    assert job.info().attempts >= 1
    assert job.info().errors[0].message == "no"


def test_the_environment_of_this_test_run_is_clean() -> None:
    assert not [name for name in os.environ if name.startswith("TASKFORGE_")]
