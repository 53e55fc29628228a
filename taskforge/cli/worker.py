"""taskforge worker"""

from __future__ import annotations

import click

from taskforge.cli.common import Session
from taskforge.cli.common import command as our_command


def _queues(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]


def _range(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    from taskforge.scaling import parse_range

    try:
        return None if value is None else parse_range(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    from taskforge.sizes import size

    try:
        return None if value is None else size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@our_command("Run jobs until told to stop: once to finish what runs, twice to hand it back at once.")
@click.option("-Q", "--queues", callback=_queues, metavar="A,B", help="Queues, in strict order [the app's, in turn].")
@click.option("-c", "--threads", type=click.IntRange(1), help="Threads per process, for plain functions [8].")
@click.option("--slots", type=click.IntRange(1), help="Slots per process for async def tasks [100].")
@click.option("--processes", type=click.IntRange(1), help="Processes, under a parent that keeps them [one per core].")
@click.option("--autoscale", callback=_range, metavar="MIN..MAX", help="Processes as many as what waits asks for.")
@click.option("--alone", is_flag=True, help="Run jobs in this very process, with no parent.")
@click.option("--burst", is_flag=True, help="End when no job is ready and none is running here.")
@click.option("--max-jobs", type=click.IntRange(1), metavar="N", help="End after so many jobs.")
@click.option(
    "--max-idle",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End each process that has held no job for so long.",
)
@click.option(
    "--max-jobs-per-child", type=click.IntRange(1), metavar="N", help="Replace a process once it has run so many."
)
@click.option(
    "--max-memory-per-child",
    callback=_size,
    metavar="SIZE",
    help="Replace a process once it holds this: 512MB.",
)
@click.option("--grace", type=click.FloatRange(0), metavar="SECONDS", help="What runs may take at shutdown [25].")
@click.option(
    "--stop-within",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="When the service manager kills what it has told to stop: a grace that does not fit is refused.",
)
@click.option(
    "--deaf-after", type=click.FloatRange(1), metavar="SECONDS", help="End when the broker is silent for so long [60]."
)
@click.option("--liveness-file", metavar="PATH", help="Touch this file while all is well; see taskforge probe.")
@click.option("--health-port", type=int, metavar="PORT", help="Serve /healthz, /readyz and /scale there.")
@click.option("--health-host", metavar="HOST", default="0.0.0.0", show_default=True, help="The address to serve at.")
@click.option("--reload", is_flag=True, help="Replace the processes when code changes; for development.")
@click.option(
    "-l",
    "--loglevel",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    show_default=True,
    help="What to log.",
)
@click.option("--parent-pipe", type=int, hidden=True, help="Set by a parent: by this it speaks to its child.")
@click.option("--shared", type=int, hidden=True, help="Set by a parent: memory that both see.")
def command(session: Session, **given: object) -> int:
    """Start one process, or a parent with several."""
    from taskforge.cli.starting import Wanted, start

    return start(session, Wanted(**given))  # type: ignore[arg-type]  # click has seen to the types
