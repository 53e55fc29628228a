"""taskforge queues"""

from __future__ import annotations

import dataclasses
from functools import partial

from taskforge.cli.common import Session, json_option, print_json, print_table
from taskforge.cli.common import command as our_command

COLUMNS = ("ready", "delayed", "retrying", "running", "succeeded", "dead", "cancelled")


@our_command("Count the jobs of each queue by state. `retrying` is the part of `delayed` that waits for a retry.")
@json_option
def command(session: Session, as_json: bool) -> None:
    """The known queues and the app's own."""
    app = session.app
    names = sorted({*app.client.read(app.inspector.queues), *app.queue_names()})
    counts = {name: app.client.read(partial(app.inspector.counts, name)) for name in names}
    if as_json:
        print_json({name: dataclasses.asdict(each) for name, each in counts.items()})
        return
    print_table(("queue", *COLUMNS), [(name, *(getattr(each, c) for c in COLUMNS)) for name, each in counts.items()])
