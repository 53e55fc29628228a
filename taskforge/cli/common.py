"""What every command shares: the app, the exit codes, tables and JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from taskforge.checks import checked_queue_name
from taskforge.errors import (
    AppError,
    BrokerError,
    JobError,
    PayloadError,
    SettingsError,
    TaskError,
    TaskforgeError,
)

if TYPE_CHECKING:
    from taskforge.app import Taskforge

F = TypeVar("F", bound=Callable[..., object])

#: Exit codes, beside 0.
FAILED, USAGE, NO_BROKER = 1, 2, 3
#: What the system's sysexits calls "service unavailable".
NO_WORKER = 69


class Session:
    """What one call of the command line works with."""

    def __init__(self) -> None:
        self.app_path: str | None = None
        self._app: Taskforge | None = None

    @property
    def app(self) -> Taskforge:
        """The app that -A or TASKFORGE_APP names, with the modules of its `include` imported."""
        from taskforge.cli.loading import load_app

        if self._app is None:
            if not self.app_path:
                raise click.UsageError("which app? Name it with -A module[:app], or in TASKFORGE_APP")
            self._app = load_app(self.app_path)
            self._app.load()
            if self._app.broker_url.startswith("memory://"):
                raise SettingsError("memory:// ends with its process; name another broker, or use app.worker() there")
        return self._app


def _remember(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value:
        ctx.ensure_object(Session).app_path = value
    return value


def app_option(envvar: str | None = None) -> Callable[[F], F]:
    """-A, on the group, where TASKFORGE_APP counts, and on every command, where the nearer one wins."""
    return click.option(
        "-A",
        "--app",
        metavar="MODULE[:APP]",
        envvar=envvar,
        allow_from_autoenv=False,
        expose_value=False,
        callback=_remember,
        help="The app, e.g. photos.tasks or photos.tasks:app.",
    )


def _queue(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    return value if value is None else checked_queue_name(value)


def queue_option(says: str, *, required: bool = False) -> Callable[[F], F]:
    """-q, checked before it goes anywhere."""
    return click.option("-q", "--queue", metavar="NAME", callback=_queue, required=required, help=says)


class LongNamed(click.Option):
    """An option whose environment variable is named after the option, not after our parameter."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        name = next(opt for opt in self.opts if opt.startswith("--")).removeprefix("--").upper().replace("-", "_")
        return os.environ.get(f"{ctx.auto_envvar_prefix}_{name}") or None


json_option = click.option("--json", "as_json", is_flag=True, cls=LongNamed, help="Print JSON.")
#: Never from the environment: a forgotten variable must not confirm anything.
yes_option = click.option("--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask.")
pass_session = click.make_pass_decorator(Session, ensure=True)


def command(help: str) -> Callable[[F], click.Command]:
    """A command of ours: with -A, -h, and the session as its first argument."""

    def decorate(function: F) -> click.Command:
        wrapped = app_option()(pass_session(function))
        return click.command(help=help, context_settings={"help_option_names": ["-h", "--help"]})(wrapped)

    return decorate


def exit_code_of(error: Exception) -> int | None:
    """The exit code that tells this error; None for one that is a defect of ours."""
    match error:
        case BrokerError():
            return NO_BROKER
        case AppError() | SettingsError() | TaskError() | PayloadError():
            return USAGE
        case JobError() | TaskforgeError() | TimeoutError():
            return FAILED
        case _:
            return None


def say_error(error: Exception) -> None:
    """One line for people on standard error, and, for an import that failed, where it did."""
    click.echo("taskforge: " + visible(str(error), keep="\n"), err=True)
    cause = error.__cause__
    if isinstance(error, AppError) and cause is not None:
        import traceback

        click.echo("".join(traceback.format_exception(cause)[-12:]).rstrip(), err=True)


def print_json(value: object) -> None:
    """JSON of dataclasses, times and everything else that jobs hold; what JSON lacks is printed as text."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(plain(value), indent=indent, ensure_ascii=False, default=str))


def plain(value: object) -> object:
    """The same in JSON's types. Fields keep their names, moments are ISO 8601, spans are seconds."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each) for each in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return str(value)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns for people: numbers to the right, the rest to the left, no wider than needed."""
    lines = [list(heads), *([("" if cell is None else visible(str(cell))) for cell in row] for row in rows)]
    columns = range(len(heads))
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in columns]
    widths = [max(len(line[i]) for line in lines) for i in columns]
    for line in lines:
        cells = (line[i].rjust(widths[i]) if right[i] else line[i].ljust(widths[i]) for i in columns)
        click.echo("  ".join(cells).rstrip())


def visible(text: str, keep: str = "") -> str:
    """The text with control characters, but for `keep`, written out: a job's words must not steer a terminal."""
    return "".join(c if c in keep or not unicodedata.category(c).startswith("C") else ascii(c)[1:-1] for c in text)


def when(moment: datetime | None) -> str:
    """A moment in this machine's zone; how far away, where that says more."""
    if moment is None:
        return ""
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({span(abs(seconds))}{' ago' if seconds < 0 else ' ahead'})"


def span(seconds: float) -> str:
    """A span in its two largest units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit, small, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {unit}" + (f" {rest // small} {smaller}" if rest // small else "")
    return f"{seconds:.0f} s"


def shorten(text: str, width: int) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def call_text(args: Sequence[object] | None, kwargs: Mapping[str, object] | None, unreadable: str | None) -> str:
    """A job's arguments as they would be written in Python."""
    if args is None or kwargs is None:
        return f"unreadable: {unreadable}"
    return ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])


def width() -> int:
    """The terminal's columns; wide where there is no terminal."""
    return os.get_terminal_size().columns if sys.stdout.isatty() else 200
