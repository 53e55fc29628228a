"""taskforge scale"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from taskforge.checks import checked_queue_name
from taskforge.cli.common import Session, json_option, plain, print_json, print_table, span
from taskforge.cli.common import command as our_command

if TYPE_CHECKING:
    from taskforge.app import Taskforge
    from taskforge.measuring import Figures
    from taskforge.scaling import Goal

HEADS = ("queue", "backlog", "oldest", "soon", "busy", "per second", "drain time", "workers", "wanted")


def _queues(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str]:
    return [checked_queue_name(name.strip()) for name in (value or "").split(",") if name.strip()]


@our_command("Tell how much waits, how fast it is done, and how many worker processes are wanted.")
@click.option("-Q", "--queues", callback=_queues, metavar="A,B", help="Of these queues only [the app's].")
@click.option("--minimum", type=click.IntRange(0), default=0, show_default=True, help="Want no fewer.")
@click.option("--maximum", type=click.IntRange(1), default=1000, show_default=True, help="Want no more.")
@click.option(
    "--drain-time", type=float, metavar="SECONDS", help="What waits should be done within this [the setting]."
)
@click.option("--serve", type=click.IntRange(0, 65_535), metavar="PORT", help="Serve it over HTTP, until told to stop.")
@click.option("--host", default="0.0.0.0", show_default=True, help="With --serve: the address to listen on.")
@json_option
def command(
    session: Session,
    queues: list[str],
    minimum: int,
    maximum: int,
    drain_time: float | None,
    serve: int | None,
    host: str,
    as_json: bool,
) -> None:
    """One measurement, or as many as are asked for."""
    from taskforge.measuring import measure
    from taskforge.scaling import Goal

    app = session.app
    try:
        goal = Goal(minimum, maximum, app.settings.drain_time.total_seconds() if drain_time is None else drain_time)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if serve is not None:
        _serve(app, goal, queues, serve, host)
        return
    scale = measure(app, goal, queues)
    if as_json:
        print_json(scale)
        return
    rows = [_row(name, figures) for name, figures in scale.queues.items()]
    print_table(HEADS, [*rows, _row("all", scale.total)])


def _row(name: str, figures: Figures) -> tuple[object, ...]:
    return (
        name,
        figures.backlog,
        span(figures.oldest_age) if figures.ready else "",
        figures.soon,
        figures.busy,
        figures.throughput,
        "?" if figures.drain_time is None else span(figures.drain_time),
        figures.workers,
        figures.wanted,
    )


def _serve(app: Taskforge, goal: Goal, queues: list[str], port: int, host: str) -> None:
    """Until SIGTERM or SIGINT. Needs no worker, so that a scaler can wake the first one."""
    from taskforge.measuring import measure
    from taskforge.worker.health import Health, HealthServer

    def load() -> Mapping[str, object]:
        document = plain(measure(app, goal, queues))
        assert isinstance(document, dict)
        return document

    stops = {signal.SIGTERM, signal.SIGINT}
    # Before any thread is there, so that all of them leave these signals to this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with HealthServer(port, host, alive=lambda: Health(True), ready=lambda: Health(True), load=load) as server:
        click.echo(f"Serving /scale on {host}, port {server.port}.", err=True)
        signal.sigwait(stops)
