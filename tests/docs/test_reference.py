"""The tables of the reference say what the code does: nothing missing, nothing invented, each default in force."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import click
import pytest

from taskforge import Call, JobHandle, Retry, RunTimeout, Taskforge, errors, outcome
from taskforge.cli import COMMANDS, LazyGroup, cli
from taskforge.cli.common import FAILED, NO_BROKER, NO_WORKER, USAGE, exit_code_of
from taskforge.locations import default_broker
from taskforge.options import CELERY_WORDS, WORDS, resolve
from taskforge.registry import DEFAULT_QUEUE
from taskforge.settings import Settings
from taskforge.signals import Signals

ROOT = Path(__file__).parents[2]
REFERENCE, ASYNCIO, CELERY = "reference.md", "how-to/asyncio.md", "how-to/from-celery.md"

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")

Row = dict[str, str]
UNITS: dict[str, timedelta | int] = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "KiB": 1 << 10,
    "MiB": 1 << 20,
}


# Settings and options


def test_every_setting_is_there_with_its_default() -> None:
    said = {code(row["setting"]): value(row["default"]) for row in rows("Settings")}

    assert said == {field.name: field.default for field in fields(Settings)}


def test_every_option_is_there_with_the_levels_that_may_give_it() -> None:
    said = {level: [code(row["option"]) for row in rows("Options") if row[level] == "yes"] for level in WORDS}

    assert {level: sorted(names) for level, names in said.items()} == {
        level: sorted(names) for level, names in WORDS.items()
    }
    assert {row[level] for row in rows("Options") for level in WORDS} == {"yes", ""}


@pytest.mark.parametrize("name", WORDS["call"])
def test_an_options_default_is_that_of_a_job_for_which_nobody_says_anything(name: str) -> None:
    default, _, _ = row_of("Options", "option", name)["default"].partition(" (")
    in_force = getattr(resolve(DEFAULT_QUEUE, Settings()), name)

    said = Retry() if default == "`Retry()`" else value(default)

    assert said == (in_force or None if said is None else in_force)


@pytest.mark.parametrize("name", WORDS["call"])
def test_the_setting_named_beside_an_options_default_changes_it_and_no_other_does(name: str) -> None:
    usual = getattr(resolve(DEFAULT_QUEUE, Settings()), name)
    changing = [
        field.name
        for field in fields(Settings)
        if isinstance(field.default, int | timedelta)
        and getattr(resolve(DEFAULT_QUEUE, replace(Settings(), **{field.name: _other(field.default)})), name) != usual
    ]

    assert re.findall(r"\(`(\w+)`\)", row_of("Options", "option", name)["default"]) == changing


def test_every_field_of_retry_is_there_with_its_default() -> None:
    said = {code(row["field"]): row["default"] for row in rows("Retry")}
    usual = Retry()

    assert said == {
        "attempts": str(usual.attempts),
        "backoff": f"`{type(usual.backoff).__name__}()`",
        "on": ", ".join(f"`{kind.__name__}`" for kind in tuple(usual.on)),  # type: ignore[arg-type]
        "never": "none" if usual.never == () else "?",
        "within": "none" if usual.within is None else "?",
    }
    assert list(said) == [field.name for field in fields(Retry)]


# Outcomes, signals, log events


def test_every_outcome_that_a_task_may_raise_is_there() -> None:
    said = {code(row["raised"]).partition("(")[0] for row in rows("Outcomes") if row["raised"] != "anything else"}

    assert said == {kind.__name__ for kind in outcome.Choice.__subclasses__()} | {RunTimeout.__name__}


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        ("RetryLater(delay)", outcome.RetryLater(1)),
        ("Snooze(delay)", outcome.Snooze(1)),
        ("Fail(why)", outcome.Fail()),
        ("Discard(why)", outcome.Discard()),
        ("RunTimeout", RunTimeout()),
        ("anything else", OSError()),
    ],
)
def test_an_outcome_spends_an_attempt_and_gives_a_reason_as_it_is_said(raised: str, error: Exception) -> None:
    found = outcome.outcome_of(error)
    match found:
        case outcome.Postponed(counts=counts):
            spent, reason = counts, "error" if counts else ""
        case outcome.Dropped(reason=reason):
            spent = False
        case outcome.Failed(reason=reason) | outcome.GivenUp(reason=reason):
            spent = True
        case _:
            pytest.fail(f"{found!r} is new here")

    row = row_of("Outcomes", "raised", raised)

    assert (row["attempt spent"], code(row["reason"])) == ("yes" if spent else "no", reason)


def test_every_signal_is_there_with_the_facts_it_is_sent_with() -> None:
    said = {code(row["signal"]): codes(row["facts"]) for row in rows("Signals")}

    assert said == sent()
    assert list(said) == list(vars(Signals()))


def test_every_log_event_is_there_with_its_level_its_logger_and_its_facts() -> None:
    said = {
        code(row["event"]): Event(frozenset(row["level"].split(", ")), code(row["logger"]), codes(row["facts"]))
        for row in rows("Log events")
    }

    assert set(said.items()) == {(name, event) for name, event in logged() if is_event(name)}


def test_only_brokers_log_sentences_and_only_as_warnings() -> None:
    sentences = [event for name, event in logged() if not is_event(name)]

    assert {event.logger.rpartition(".")[0].startswith("taskforge.brokers") for event in sentences} <= {True}
    assert {event.levels for event in sentences} <= {frozenset({"warning"})}


# The command line


def test_every_exit_code_is_there() -> None:
    said = {int(row["code"]) for row in rows("Exit codes")}

    assert said == {0, FAILED, USAGE, NO_BROKER, NO_WORKER} | exits("cli/__init__.py", "main")


@pytest.mark.parametrize("kind", [TimeoutError, *ERRORS], ids=lambda kind: kind.__name__)
def test_an_error_ends_a_command_with_the_code_in_whose_row_it_or_its_next_of_kin_stands(kind: type[Exception]) -> None:
    named = {name: int(row["code"]) for row in rows("Exit codes") for name in codes(row["errors"])}

    said = next(named[each.__name__] for each in kind.__mro__ if each.__name__ in named)

    assert exit_code_of(kind.__new__(kind)) == said


def test_every_exit_code_of_a_worker_is_there() -> None:
    said = {int(row["code"]) for row in rows("Exit codes", 1)}

    assert said == exits("worker/serving.py", "serve") | {NO_BROKER, USAGE}


def test_an_option_of_a_command_has_a_variable_by_its_long_name_or_is_named_as_one_that_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = set()
    assert isinstance(cli, LazyGroup)
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=click.Context(cli, auto_envvar_prefix="TASKFORGE"))
        for option in command.params:
            if not isinstance(option, click.Option) or option.hidden or option.name == "app":
                continue
            long = next(each for each in option.opts if each.startswith("--"))
            variable = f"TASKFORGE_{name}_{long.removeprefix('--')}".upper().replace("-", "_")
            monkeypatch.setenv(variable, "1")
            if option.resolve_envvar_value(context) != "1":
                without.add(long)

    [row] = [row for row in rows("Environment variables") if "<COMMAND>" in row["variable"]]

    assert without == set(re.findall(r"`(--[\w-]+)`", row["means"]))


def test_every_variable_that_is_read_by_its_name_is_there() -> None:
    said = {code(row["variable"]) for row in rows("Environment variables")}

    assert {name for name in said if "<" not in name} == variables()


# Where the default file lies


def test_the_default_file_lies_where_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    found = {}
    for system, platform, state in (
        ("macOS", "darwin", None),
        ("elsewhere, with `XDG_STATE_HOME` set", "linux", str(tmp_path / "state")),
        ("elsewhere", "linux", None),
    ):
        with monkeypatch.context() as here:
            here.setattr(sys, "platform", platform)
            here.setenv("XDG_STATE_HOME", state) if state else here.delenv("XDG_STATE_HOME", raising=False)
            found[system] = default_broker("shop")

    said = {row["system"]: code(row["file"]) for row in rows("The default SQLite file")}

    places = {"~": str(tmp_path), "$XDG_STATE_HOME": str(tmp_path / "state"), "<app>": "shop"}
    for short, long in places.items():
        said = {system: file.replace(short, long) for system, file in said.items()}
    assert {system: f"sqlite:///{file}" for system, file in said.items()} == found


# The how-tos


def test_every_async_twin_is_in_the_table_of_twins() -> None:
    owners = {"task": Call, "app": Taskforge, "job": JobHandle}
    twins = {
        f"{owner}.{name}"
        for owner, kind in owners.items()
        for name, method in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_") and hasattr(kind, name.removeprefix("a"))
    } - {"app.asubmit"}  # what tasks call

    said = {
        name for row in rows("Every waiting call has a twin", page=ASYNCIO) for name in called(row["in a coroutine"])
    }

    assert said == twins
    for row in rows("Every waiting call has a twin", page=ASYNCIO):
        plain = {name for name in called(row["plain"]) if name != "task.delay"}
        assert {name.replace(".", ".a") for name in plain} == set(called(row["in a coroutine"]))


def test_every_word_of_celerys_that_is_refused_with_a_hint_has_a_row() -> None:
    said = {word for table in range(4) for row in rows("Words", table, CELERY) for word in codes(row["Celery"])}

    assert set(CELERY_WORDS) <= {re.split(r"\W", word)[0] for word in said}


# Reading the pages


@cache
def rows(heading: str, table: int = 0, page: str = REFERENCE) -> tuple[Row, ...]:
    """The rows of a table below a heading, by its columns' heads."""
    text = (ROOT / "docs" / page).read_text()
    part = re.split(rf"^##+ {re.escape(heading)}$", text, maxsplit=1, flags=re.M)[1]
    part = re.split(r"^##+ ", part, maxsplit=1, flags=re.M)[0]
    head, _, *lines = re.findall(r"(?:^\|.*\|\n)+", part, re.M)[table].splitlines()
    assert lines, f"{page}: the table below {heading!r} is empty"
    return tuple(dict(zip(_cells(head), _cells(line), strict=True)) for line in lines)


def row_of(heading: str, column: str, name: str) -> Row:
    [row] = [row for row in rows(heading) if code(row[column]) == name]
    return row


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def code(cell: str) -> str:
    """What stands in backticks, where that is all."""
    return cell.strip("`")


def codes(cell: str) -> frozenset[str]:
    """Everything that stands in backticks."""
    return frozenset(re.findall(r"`([^`]+)`", cell))


def called(cell: str) -> list[str]:
    """owner.method of each call in backticks."""
    return re.findall(r"\b(\w+\.\w+)\(", " ".join(codes(cell)))


def value(cell: str) -> object:
    """A default as Python has it: `10 s`, `256 KiB`, `1,000`, text in backticks, or nothing."""
    if cell in ("unset", "none"):
        return None
    if cell.startswith("`"):
        return code(cell)
    number, _, unit = cell.replace(",", "").partition(" ")
    return int(number) * UNITS[unit] if unit else int(number)


def _other(default: object) -> object:
    """Another value within any setting's range."""
    assert isinstance(default, int | timedelta)
    return default * 2 if isinstance(default, timedelta) else default * 2 or 1


# Reading the code


@dataclass(frozen=True)
class Event:
    """How an event is logged."""

    levels: frozenset[str]
    logger: str
    facts: frozenset[str]


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package that is shipped to run, by its name."""
    paths = [path for path in sorted((ROOT / "taskforge").rglob("*.py")) if "testing" not in path.parts]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return {name: ast.parse(path.read_text()) for name, path in zip(names, paths, strict=True)}


def _functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Call))


def is_event(message: str) -> bool:
    return re.fullmatch(r"[a-z]+(_[a-z]+)+", message) is not None


@cache
def logged() -> tuple[tuple[str, Event], ...]:
    """Every message that is logged."""
    return tuple(
        (str(ast.literal_eval(call.args[1 if method == "log" else 0])), _event(call, method, function, module, name))
        for name, module in modules().items()
        for function in _functions(module)
        for call in _calls(function)
        if (method := _logging(call)) is not None
    )


def _logging(call: ast.Call) -> str | None:
    match call.func:
        case ast.Attribute(value=ast.Name(id="log" | "logger"), attr=method) if method in LEVELS:
            return method
    return None


def _event(call: ast.Call, method: str, function: ast.AST, module: ast.Module, name: str) -> Event:
    extra = [_keys(keyword.value, function, module) for keyword in call.keywords if keyword.arg == "extra"]
    return Event(_levels(method, call, function), _logger(module, name), frozenset().union(*extra))


def _logger(module: ast.Module, name: str) -> str:
    for call in _calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "getLogger":
            return str(call.args[0].value) if isinstance(call.args[0], ast.Constant) else name
    return name


def _levels(method: str, call: ast.Call, function: ast.AST) -> frozenset[str]:
    """The level of `logger.<method>`; of `logger.log(level, …)` each that the function may assign to its variable."""
    if method != "log":
        return frozenset({"error" if method == "exception" else method})
    name = ast.unparse(call.args[0])
    assigned = [node.value for node in ast.walk(function) if isinstance(node, ast.Assign) and name in _targets(node)]
    said = [node for value in assigned for node in ast.walk(value) if isinstance(node, ast.Attribute)]
    return frozenset(node.attr.lower() for node in said if ast.unparse(node.value) == "logging")


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    return [ast.unparse(each) for each in (node.targets if isinstance(node, ast.Assign) else [node.target])]


def sent() -> dict[str, frozenset[str]]:
    """The facts of every signal that is emitted; of one emitted in several places they must be the same."""
    found: dict[str, frozenset[str]] = {}
    for module in modules().values():
        for function in _functions(module):
            for call in _calls(function):
                if isinstance(call.func, ast.Name) and call.func.id == "emit":
                    signal = call.args[0]
                    assert isinstance(signal, ast.Attribute)
                    facts = frozenset().union(
                        *({k.arg} if k.arg else _keys(k.value, function, module) for k in call.keywords)
                    )
                    assert found.setdefault(signal.attr, facts) == facts, signal.attr
    return found


def _keys(node: ast.expr, function: ast.AST, module: ast.Module) -> frozenset[str]:
    """The keys of a dict as it is written, or assigned in the function, or returned by one of the module."""
    match node:
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            parts = [{ast.literal_eval(key)} if key else _keys(value, function, module) for key, value in pairs]
        case ast.Name(id=name):
            assigned = [each for each in ast.walk(function) if isinstance(each, ast.Assign | ast.AnnAssign)]
            parts = [_keys(each.value, function, module) for each in assigned if each.value and name in _targets(each)]
            assert parts, f"{name} is not assigned in the same function"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), keywords=given):
            [found] = [each for each in _functions(module) if each.name == name]
            returned = [each.value for each in ast.walk(found) if isinstance(each, ast.Return) and each.value]
            flags = {keyword.arg for keyword in given}
            parts = [_keys(_chosen(value, flags), found, module) for value in returned]
        case _:
            pytest.fail(f"facts that cannot be read: {ast.unparse(node)}")
    return frozenset().union(*parts)


def _chosen(value: ast.expr, flags: set[str | None]) -> ast.expr:
    """Of `this if flag else that`, the one that a call with these flags gets."""
    match value:
        case ast.IfExp(test=ast.Name(id=flag), body=body, orelse=orelse):
            return body if flag in flags else orelse
    return value


def exits(path: str, function: str) -> frozenset[int]:
    """The numbers that a function of the package returns, or ends the process with."""
    module = ast.parse((ROOT / "taskforge" / path).read_text())
    [found] = [each for each in _functions(module) if each.name == function]
    ends: list[ast.expr] = [
        call.args[0] for call in _calls(found) if isinstance(call.func, ast.Attribute) and "exit" in call.func.attr
    ]
    ends += [each.value for each in ast.walk(found) if isinstance(each, ast.Return) and each.value is not None]
    branches = [branch for end in ends for branch in ((end.body, end.orelse) if isinstance(end, ast.IfExp) else (end,))]
    return frozenset(branch.value for branch in branches if isinstance(branch, ast.Constant))


def variables() -> frozenset[str]:
    """The environment variables whose whole names stand in the code."""
    found = set()
    for module in modules().values():
        for call in _calls(module):
            read = ast.unparse(call.func) in ("os.environ.get", "os.getenv")
            found |= {node.value for node in call.args[:1] if read and isinstance(node, ast.Constant)}
            found |= {k.value.value for k in call.keywords if k.arg == "envvar" and isinstance(k.value, ast.Constant)}
    return frozenset(name for name in found if name)
