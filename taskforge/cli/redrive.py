"""taskforge redrive"""

from __future__ import annotations

from functools import partial

import click

from taskforge.cli.common import FAILED, LongNamed, Session, json_option, print_json, queue_option, yes_option
from taskforge.cli.common import command as our_command
from taskforge.cli.selecting import all_in, batches, by_queue, confirm
from taskforge.job import JobState


@our_command("Run dead or cancelled jobs again, with all their attempts: those named, or all of a queue with --all.")
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@queue_option("Their queue.")
@click.option("--all", "everything", is_flag=True, cls=LongNamed, help="Every dead job of the queue.")
@click.option("--cancelled", is_flag=True, help="With --all: the cancelled ones instead.")
@yes_option
@json_option
def command(
    session: Session,
    job_ids: tuple[str, ...],
    queue: str | None,
    everything: bool,
    cancelled: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Exit code 1 when one of the jobs was neither dead nor cancelled."""
    app = session.app
    if bool(job_ids) == everything or (cancelled and not everything):
        raise click.UsageError("name jobs by id, or say --queue NAME --all, and --cancelled only with --all")
    if everything:
        if queue is None:
            raise click.UsageError("--all needs --queue NAME")
        chosen = {queue: all_in(app, queue, JobState.CANCELLED if cancelled else JobState.DEAD)}
        confirm(f"Redrive {len(chosen[queue])} jobs of {queue}", yes)
    else:
        chosen = by_queue(app, job_ids, queue)
    done: dict[str, bool] = {}
    for name, ids in chosen.items():
        for batch in batches(ids):
            answers = app.client.change(partial(app.inspector.redrive, name, batch))
            done.update(zip(batch, answers, strict=True))
    if as_json:
        print_json(done)
    else:
        click.echo(f"{sum(done.values())} redriven")
        for job_id in (job_id for job_id, moved in done.items() if not moved):
            click.echo(f"{job_id} is neither dead nor cancelled", err=True)
    return 0 if all(done.values()) else FAILED
