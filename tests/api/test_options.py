"""Options: checked where they are written, and whose word counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskforge import Args, Fixed, Isolate, Keep, OptionError, Retry, Taskforge, UnknownVersion
from taskforge.options import RunOptions, check, resolve
from taskforge.settings import Settings


@pytest.mark.parametrize(
    ("word", "nearest"), [("priorty", "priority"), ("retries", "retry"), ("queu", "queue"), ("time_out", "timeout")]
)
def test_a_misspelt_option_is_refused_where_the_task_is_declared_with_the_nearest_word(
    app: Taskforge, word: str, nearest: str
) -> None:
    options: Any = {word: 1}

    with pytest.raises(OptionError, match=f"(?s){word}.*{nearest}"):
        app.task(name="note", **options)(lambda: None)


@pytest.mark.parametrize("word", ["unique", "key", "depends_on"])
def test_what_is_not_built_is_unknown(app: Taskforge, word: str) -> None:
    options: Any = {word: 1}

    with pytest.raises(OptionError, match=word):
        app.task(name="note", **options)(lambda: None)
    with pytest.raises(OptionError, match=word):
        app.task(name="note")(lambda: None).using(**options)


@pytest.mark.parametrize("word", ["at", "job_id"])
def test_what_belongs_to_one_call_is_refused_at_a_declaration_with_the_place_to_write_it(
    app: Taskforge, word: str
) -> None:
    options: Any = {word: "x"}

    with pytest.raises(OptionError, match=r"\.using\("):
        app.task(name="note", **options)(lambda: None)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("priority", 101),
        ("priority", True),
        ("priority", "5"),
        ("delay", -1),
        ("delay", "soon"),
        ("delay", float("nan")),
        ("delay", float("inf")),
        ("delay", True),
        ("delay", 400 * 24 * 3600),
        ("isolate", 1),
        ("isolate", Isolate(reuse=0)),
        ("isolate", Isolate(memory="lots")),
        ("isolate", Isolate(memory="16MB")),
        ("interrupt", 1),
        ("at_most_once", "yes"),
        ("at", datetime(2030, 1, 1)),
        ("at", "2030-01-01"),
        ("at", datetime.now(UTC) + timedelta(days=400)),
        ("expires", datetime(2030, 1, 1)),
        ("expires", -1),
        ("retry", 3),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "1h"),
        ("keep", Keep(count=5)),
        ("keep", -1),
        ("keep_result", -1),
        ("keep_result", "yes"),
        ("headers", {"a": 1}),
        ("headers", ["a"]),
        ("headers", {"a": "x" * 9000}),
        ("queue", ""),
        ("queue", "{a}"),
        ("job_id", "a b"),
        ("job_id", ""),
        ("job_id", "x" * 101),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_named(app: Taskforge, word: str, value: object) -> None:
    options: Any = {word: value}

    with pytest.raises(OptionError, match=word):
        app.task(name="note")(lambda: None).using(**options)


def test_delay_and_at_exclude_each_other(app: Taskforge) -> None:
    with pytest.raises(OptionError, match="not both"):
        app.task(name="note")(lambda: None).using(delay=1, at=datetime.now(UTC))


def test_at_for_one_call_replaces_a_tasks_standing_delay(app: Taskforge) -> None:
    note = app.task(name="note", delay=600)(lambda: None)
    moment = datetime.now(UTC) + timedelta(seconds=60)

    due = note.using(at=moment).enqueue().info().due_at

    assert due is not None
    assert abs(due - moment) < timedelta(seconds=1)


@pytest.mark.parametrize("word", ["priority", "expires", "timeout", "keep", "keep_result", "retry"])
def test_the_call_comes_before_the_task_the_task_before_the_queue_and_the_queue_before_the_app(word: str) -> None:
    values: dict[str, list[Any]] = {
        "priority": [1, 2, 3, 4],
        "expires": [timedelta(seconds=n) for n in (1, 2, 3, 4)],
        "timeout": [timedelta(seconds=n) for n in (1, 2, 3, 4)],
        "keep": [timedelta(seconds=n) for n in (1, 2, 3, 4)],
        "keep_result": [timedelta(seconds=n) for n in (1, 2, 3, 4)],
        "retry": [Retry(attempts=n) for n in (1, 2, 3, 4)],
    }
    levels = [check({word: value}, "app", "test") for value in values[word]]

    resolved = [getattr(resolve("q", Settings(), *levels[start:]), word) for start in range(4)]

    assert resolved == values[word]


def test_none_as_a_timeout_of_a_task_is_a_word_like_any(app: Taskforge) -> None:
    resolved = resolve("q", Settings(), {}, check({"timeout": None}, "task", "t"), check({"timeout": 5}, "queue", "q"))

    assert resolved.timeout is None


def test_headers_are_merged_key_by_key() -> None:
    levels = [{"headers": {"a": "call"}}, {"headers": {"a": "task", "b": "task"}}, {"headers": {"c": "queue"}}]

    assert resolve("q", Settings(), *levels).headers == {"a": "call", "b": "task", "c": "queue"}


def test_defaults_are_those_that_are_documented() -> None:
    resolved = resolve("q", Settings())

    assert resolved.priority == 0
    assert resolved.retry == Retry(attempts=4)
    assert resolved.timeout == timedelta(minutes=30)
    assert resolved.keep == resolved.keep_result == timedelta(hours=1)
    assert (resolved.delay, resolved.at, resolved.expires, resolved.job_id) == (None, None, None, None)


def test_options_equal_to_the_defaults_are_left_out_of_the_body() -> None:
    assert RunOptions.of(resolve("q", Settings())).plain() == {}


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": None},
        {"timeout": 5},
        {"keep_result": False},
        {"keep_result": 7, "keep": 9},
        {"headers": {"a": "b"}},
        {"retry": Retry(attempts=7, backoff=Fixed(3), on=(OSError,), never=(KeyError, ValueError), within=60)},
        {"retry": Retry(attempts=1)},
    ],
)
def test_options_that_travel_arrive_as_they_were(options: dict[str, object]) -> None:
    sent = RunOptions.of(resolve("q", Settings(), check(options, "call", "t")))

    assert RunOptions().overridden(sent.plain()) == sent


@pytest.mark.parametrize(
    "plain",
    [
        {"isolate": 3},
        {"interrupt": 1},
        {"timeout": "5"},
        {"retry": 3},
        {"retry": [1, [1], [], [], "x"]},
        {"headers": 3},
        {"keep": None},
    ],
)
def test_a_body_with_options_that_are_none_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a"):
        RunOptions().overridden(plain)


def test_what_a_later_release_adds_is_told_from_nonsense() -> None:
    with pytest.raises(UnknownVersion, match="nonsense"):
        RunOptions().overridden({"nonsense": 1})


def test_options_that_an_older_release_would_miss_give_the_body_a_format_that_it_parks() -> None:
    app = Taskforge("formats", broker="memory://")
    task = app.task(name="note")(lambda: None)

    plain, isolated = (app.new_jobs(call, [Args()])[0] for call in (task, task.using(isolate=Isolate("1GB", 3))))

    assert (app.codec.read_body(plain.body).version, app.codec.read_body(isolated.body).version) == (1, 2)
    options = RunOptions().overridden(app.codec.read_body(isolated.body).options)
    assert options.isolate == Isolate(1 << 30, 3)


@pytest.mark.parametrize("word", ["isolate", "interrupt"])
def test_what_only_plain_functions_can_have_is_refused_for_an_async_def(app: Taskforge, word: str) -> None:
    options: Any = {word: True}

    async def wait() -> None: ...

    with pytest.raises(OptionError, match=f"{word} is for plain functions"):
        app.task(name="wait", **options)(wait)
    with pytest.raises(OptionError, match=f"{word} is for plain functions"):
        app.task(name="wait")(wait).using(**options)


def test_at_most_once_and_attempts_exclude_each_other(app: Taskforge) -> None:
    three = Retry(attempts=3)

    with pytest.raises(OptionError, match="give one of them"):
        app.task(name="note", at_most_once=True, retry=three)(lambda: None)
    once = app.task(name="note", at_most_once=True)(lambda: None)
    with pytest.raises(OptionError, match="say at_most_once=False"):
        once.using(retry=three).enqueue()

    again = once.using(at_most_once=False, retry=three)
    often = app.task(name="often", retry=three)(lambda: None).using(at_most_once=True)

    attempts = [
        resolve("q", Settings(), call.call_options, call.target.options).retry.attempts for call in (once, again, often)
    ]
    assert attempts == [1, 3, 1]


def test_isolate_and_interrupt_exclude_each_other(app: Taskforge) -> None:
    with pytest.raises(OptionError, match="give one"):
        app.task(name="note", isolate=True, interrupt=True)(lambda: None)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("512MB", 512 << 20), ("1.5 GiB", 3 << 29), ("64m", 64 << 20), (1 << 30, 1 << 30)]
)
def test_memory_may_be_written_as_people_do(text: str | int, bytes_: int) -> None:
    assert check({"isolate": Isolate(text)}, "task", "x")["isolate"] == Isolate(bytes_)
