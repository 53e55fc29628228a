"""taskforge worker"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import click

from taskforge.cli.common import Session, span
from taskforge.cli.common import command as our_command


def _queues(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]


@our_command("Run jobs until told to stop: once to finish what runs, twice to hand it back at once.")
@click.option("-Q", "--queues", callback=_queues, metavar="A,B", help="Queues, in strict order [the app's, in turn].")
@click.option("-c", "--threads", type=click.IntRange(1), help="Threads per process, for plain functions [8].")
@click.option("--slots", type=click.IntRange(1), help="Slots per process for async def tasks [100].")
@click.option("--processes", type=click.IntRange(1), help="Processes [one per core].")
@click.option("--burst", is_flag=True, help="End when no job is ready and none is running here.")
@click.option(
    "-l",
    "--loglevel",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    show_default=True,
    help="What to log.",
)
@click.option("--parent-pipe", type=int, hidden=True, help="Set by a parent worker: it closes when the parent is gone.")
def command(
    session: Session,
    queues: list[str],
    threads: int | None,
    slots: int | None,
    processes: int | None,
    burst: bool,
    loglevel: str,
    parent_pipe: int | None,
) -> int:
    """Start one process, or a parent with several."""
    from taskforge.brokers.resend import reach
    from taskforge.cli.logs import log_to_stderr
    from taskforge.settings import nearest
    from taskforge.worker import Worker
    from taskforge.worker.serving import cores, serve
    from taskforge.worker.supervisor import Supervisor

    log_to_stderr(getattr(logging, loglevel.upper()))
    app = session.app
    names = queues or app.queue_names()
    for name in names:
        if name not in app.queue_names():
            hint = nearest(name, app.queue_names())
            click.echo(f"taskforge: no task or declaration of this app names the queue {name!r}{hint}", err=True)
    count = 1 if parent_pipe is not None else processes or cores()
    if parent_pipe is None:
        reach(app.broker, app.settings.call_timeout.total_seconds())
        _banner(session, names, count, threads, slots)
    if count > 1:
        app.close()
        arguments = _child_arguments(session.app_path or "", queues, threads, slots, burst, loglevel)
        return Supervisor(arguments, count, app.settings, burst=burst).run()
    return serve(Worker(app, queues=queues, threads=threads, slots=slots, burst=burst), parent_pipe)


def _child_arguments(
    app: str, queues: Sequence[str], threads: int | None, slots: int | None, burst: bool, loglevel: str
) -> list[str]:
    given = [sys.executable, "-m", "taskforge", "-A", app, "worker", "-l", loglevel]
    given += ["-Q", ",".join(queues)] if queues else []
    given += ["--threads", str(threads)] if threads else []
    given += ["--slots", str(slots)] if slots else []
    return [*given, "--burst"] if burst else given


def _banner(session: Session, queues: list[str], processes: int, threads: int | None, slots: int | None) -> None:
    """What an operator wants to have seen before the first job runs."""
    app, settings = session.app, session.app.settings
    tasks = sorted(task.name for task in app.tasks)
    shown = ", ".join(tasks[:8]) + (f" and {len(tasks) - 8} more" if len(tasks) > 8 else "")
    age = span(settings.finished_age.total_seconds())
    lines = {
        "app": f"{app.name} ({session.app_path})",
        "broker": app.broker.describe(),
        "queues": ", ".join(queues),
        "tasks": shown or "none: is a module missing in include=[…]?",
        "processes": f"{processes}, each with {threads or settings.threads} threads "
        f"and {slots or settings.slots} async slots",
        "retries": f"{settings.attempts} attempts, unless a task says otherwise",
        "kept": f"finished jobs {age} (the last {settings.finished_count:,} of a queue), "
        f"results {span(settings.result_age.total_seconds())}, dead jobs {span(settings.dead_age.total_seconds())}",
    }
    click.echo("\n".join(f"{head:>10}  {text}" for head, text in lines.items()), err=True)
    click.echo(f"\nReady (pid {os.getpid()}). Ctrl-C once to drain, twice to hand back at once.", err=True)
