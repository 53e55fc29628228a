"""taskforge jobs"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING

import click

from taskforge.brokers.protocol import PAGE
from taskforge.cli.common import (
    Session,
    call_text,
    json_option,
    print_json,
    print_table,
    queue_option,
    shorten,
    when,
    width,
)
from taskforge.cli.common import command as our_command
from taskforge.info import JobInfo
from taskforge.job import JobState

if TYPE_CHECKING:
    from taskforge.app import Taskforge


@our_command("List the jobs in a state: in the order they would run, or the latest ended first.")
@click.argument("state", type=click.Choice([s.value for s in JobState]))
@queue_option("Of this queue only [all known].")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="At most so many; without a filter, of each queue.",
)
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many.")
@click.option("--task", help="Only jobs of this task.")
@click.option("--reason", help="Only jobs with this reason.")
@json_option
def command(
    session: Session,
    state: str,
    queue: str | None,
    limit: int,
    offset: int,
    task: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """app.jobs(), filtered."""
    if task is None and reason is None:
        infos = session.app.jobs(JobState(state), queue, offset=offset, limit=limit)
    else:
        every = _every(session.app, JobState(state), queue)
        found = (i for i in every if (task is None or i.task == task) and (reason is None or i.reason == reason))
        infos = list(islice(found, offset, offset + limit))
    if as_json:
        print_json(infos)
        return
    if not infos:
        with_it = "".join(f" with {word} {value}" for word, value in (("task", task), ("reason", reason)) if value)
        click.echo(f"no jobs{with_it} are {state}", err=True)
        return
    print_table(("id", "queue", "task", "arguments", "attempts", "when", "why"), [_row(info) for info in infos])


def _every(app: Taskforge, state: JobState, queue: str | None) -> Iterator[JobInfo]:
    """The jobs in a state, page by page, while somebody asks for more."""
    for offset in count(0, PAGE):
        page = app.jobs(state, queue, offset=offset, limit=PAGE)
        if not page:
            return
        yield from page


def _row(info: JobInfo) -> tuple[object, ...]:
    last = info.errors[-1] if info.errors else None
    why = ": ".join(filter(None, [info.reason, f"{last.type.rpartition('.')[2]}: {last.message}" if last else None]))
    moment = info.ended_at or info.due_at or info.started_at or info.enqueued_at
    arguments = shorten(call_text(info.args, info.kwargs, info.unreadable), 40)
    room = max(20, width() - 140)
    return info.id, info.queue, info.task, arguments, info.attempts, when(moment), shorten(why, room)
