"""taskforge purge"""

from __future__ import annotations

from functools import partial

import click

from taskforge.cli.common import Session, json_option, print_json, queue_option, yes_option
from taskforge.cli.common import command as our_command
from taskforge.cli.selecting import confirm
from taskforge.job import JobState


@our_command("Delete every job of a queue in one state, for good.")
@click.argument("state", type=click.Choice([s.value for s in JobState if s is not JobState.RUNNING]))
@queue_option("The queue.", required=True)
@yes_option
@json_option
def command(session: Session, state: str, queue: str, yes: bool, as_json: bool) -> None:
    """In calls of 1,000, until none is left of those that were there."""
    app = session.app
    counts = app.client.read(lambda: app.inspector.counts(queue))
    confirm(f"Delete {getattr(counts, state)} {state} jobs of {queue}", yes)
    purged = 0
    while more := app.client.change(partial(app.inspector.purge, queue, JobState(state))):
        purged += more
    print_json({"queue": queue, "state": state, "purged": purged}) if as_json else click.echo(f"{purged} purged")
