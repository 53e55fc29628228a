"""taskforge jobs"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, count, islice
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


#: Where jobs may have a reason, in the order in which they are shown.
REASONED = (JobState.DELAYED, JobState.DEAD, JobState.CANCELLED)
#: How far (seconds) the broker's clock may be from this one.
CLOCKS_APART = 300.0


@our_command(
    "List the jobs in a state: in the order they would run, or the latest ended first. With --reason the state may be "
    "left out. Of delayed jobs those have one that no worker can run yet: unknown_task, unknown_version, arguments."
)
@click.argument("state", type=click.Choice([s.value for s in JobState]), required=False)
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
    state: str | None,
    queue: str | None,
    limit: int,
    offset: int,
    task: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """app.jobs(), filtered."""
    if state is None and reason is None:
        raise click.UsageError(f"say a state, one of {', '.join(s.value for s in JobState)}, or a --reason")
    if state is not None and task is None and reason is None:
        infos = session.app.jobs(JobState(state), queue, offset=offset, limit=limit)
    else:
        states = REASONED if state is None else (JobState(state),)
        every = chain.from_iterable(_every(session.app, each, queue, reason) for each in states)
        found = (i for i in every if (task is None or i.task == task) and (reason is None or i.reason == reason))
        infos = list(islice(found, offset, offset + limit))
    if as_json:
        print_json(infos)
        return
    if not infos:
        with_it = "".join(f" with {word} {value}" for word, value in (("task", task), ("reason", reason)) if value)
        click.echo(f"no jobs{with_it} are {state or ' or '.join(REASONED)}", err=True)
        return
    print_table(("id", "queue", "task", "arguments", "attempts", "when", "why"), [_row(info) for info in infos])


def _every(app: Taskforge, state: JobState, queue: str | None, reason: str | None) -> Iterator[JobInfo]:
    """The jobs in a state, queue by queue and page by page, while somebody asks for more."""
    last_due = _last_due(app) if state is JobState.DELAYED and reason is not None else None
    for name in sorted({*app.client.read(app.inspector.queues), *app.queue_names()}) if queue is None else [queue]:
        for offset in count(0, PAGE):
            page = app.jobs(state, name, offset=offset, limit=PAGE)
            yield from page
            due = page[-1].due_at if page else None
            if len(page) < PAGE or (last_due is not None and due is not None and due > last_due):
                break


def _last_due(app: Taskforge) -> datetime:
    """Parked jobs fall due again soon, and delayed ones are listed by that: none is further down."""
    from taskforge.worker.judging import PARK_LONGEST

    return app.clock.now() + timedelta(seconds=PARK_LONGEST + CLOCKS_APART)


def _row(info: JobInfo) -> tuple[object, ...]:
    last = info.errors[-1] if info.errors else None
    why = ": ".join(filter(None, [info.reason, f"{last.type.rpartition('.')[2]}: {last.message}" if last else None]))
    moment = info.ended_at or info.due_at or info.started_at or info.enqueued_at
    arguments = shorten(call_text(info.args, info.kwargs, info.unreadable), 40)
    room = max(20, width() - 140)
    return info.id, info.queue, info.task, arguments, info.attempts, when(moment), shorten(why, room)
