"""taskforge cancel"""

from __future__ import annotations

import click

from taskforge.cli.common import FAILED, Session, json_option, print_json, queue_option
from taskforge.cli.common import command as our_command
from taskforge.cli.selecting import by_queue
from taskforge.job import Cancellation

SAYS = {
    Cancellation.CANCELLED: "cancelled",
    Cancellation.REQUESTED: "is running; asked to stop",
    Cancellation.ENDED: "had ended",
}


@our_command("Cancel jobs: those that wait end at once, those that run are asked to stop.")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@queue_option("Their queue.")
@json_option
def command(session: Session, job_ids: tuple[str, ...], queue: str | None, as_json: bool) -> int:
    """Exit code 1 when one of the jobs had ended already."""
    app = session.app
    by_queue(app, job_ids, queue)
    done = {job_id: app.job(job_id, queue).cancel() for job_id in job_ids}
    if as_json:
        print_json(done)
    else:
        for job_id, what in done.items():
            click.echo(f"{job_id} {SAYS[what]}")
    return FAILED if Cancellation.ENDED in done.values() else 0
