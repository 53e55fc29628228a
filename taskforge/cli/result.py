"""taskforge result"""

from __future__ import annotations

import click

from taskforge.cli.common import Session, json_option, print_json, queue_option
from taskforge.cli.common import command as our_command


@our_command("Print a job's result. Exit code 1 when the job failed, was cancelled, is unknown or has not ended.")
@click.argument("job_id", metavar="ID")
@queue_option("Its queue, where two queues know the id.")
@click.option("-w", "--wait", type=float, default=0.0, metavar="SECONDS", help="Wait for it to end.")
@json_option
def command(session: Session, job_id: str, queue: str | None, wait: float, as_json: bool) -> None:
    """The handle's own result()."""
    result = session.app.job(job_id, queue).result(timeout=wait)
    print_json({"id": job_id, "result": result}) if as_json else click.echo(repr(result))
