"""taskforge jobs"""

from __future__ import annotations

import click

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


@our_command("List the jobs in a state: in the order they would run, or the latest ended first.")
@click.argument("state", type=click.Choice([s.value for s in JobState]))
@queue_option("Of this queue only [all known].")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many a queue."
)
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many.")
@click.option("--task", help="Only jobs of this task (of those listed).")
@click.option("--reason", help="Only jobs with this reason (of those listed).")
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
    infos = session.app.jobs(JobState(state), queue, offset=offset, limit=limit)
    infos = [i for i in infos if (task is None or i.task == task) and (reason is None or i.reason == reason)]
    if as_json:
        print_json(infos)
        return
    if not infos:
        click.echo(f"no jobs are {state}", err=True)
        return
    print_table(("id", "queue", "task", "arguments", "attempts", "when", "why"), [_row(info) for info in infos])


def _row(info: JobInfo) -> tuple[object, ...]:
    last = info.errors[-1] if info.errors else None
    why = ": ".join(filter(None, [info.reason, f"{last.type.rpartition('.')[2]}: {last.message}" if last else None]))
    moment = info.ended_at or info.due_at or info.started_at or info.enqueued_at
    arguments = shorten(call_text(info.args, info.kwargs, info.unreadable), 40)
    room = max(20, width() - 140)
    return info.id, info.queue, info.task, arguments, info.attempts, when(moment), shorten(why, room)
