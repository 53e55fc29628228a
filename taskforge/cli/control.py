"""taskforge control"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from taskforge.cli.common import FAILED, NO_WORKER, Session, json_option, print_json
from taskforge.cli.common import command as our_command
from taskforge.workers import Desire, WorkerCard, WorkerState

if TYPE_CHECKING:
    from taskforge.app import Taskforge

#: With --wait: how often (seconds) the workers are looked at.
LOOK_EVERY = 0.2
HELP = f"""Ask workers to do something: all of them, or those named.

\b
drain     take no new jobs, and stay; holds until resume, also for
          workers that start later
resume    take jobs again
shutdown  drain, then end, with the whole group
dump      log what every thread and coroutine is doing
restart   drain, then be replaced, with the whole group

A WORKER is a name or a group as `taskforge status` shows them, a host, or the beginning of one that fits no other.
What is asked is kept by the broker, so that a worker that is cut off learns of it when it is back. Exit code
{NO_WORKER} when no worker answers."""


@our_command(HELP)
@click.argument("what", type=click.Choice([desire.value for desire in Desire]))
@click.argument("workers", metavar="[WORKER]...", nargs=-1)
@click.option("-w", "--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait until they have done it.")
@json_option
def command(session: Session, what: str, workers: tuple[str, ...], wait: float | None, as_json: bool) -> int:
    """app.control(), for words as people write them."""
    app, desire = session.app, Desire(what)
    if wait is not None and desire is Desire.DUMP:
        raise click.UsageError("--wait is not for dump: the stacks are in the workers' own logs")
    if (workers or not desire.lasting) and not app.workers():
        click.echo("no worker answers", err=True)
        return NO_WORKER
    names = _concerned(app, desire, app.control(desire, workers))
    late = _late(app, desire, names, wait) if wait is not None else []
    if as_json:
        print_json({"asked": desire, "workers": names, "late": late})
        return FAILED if late else 0
    if not names:
        click.echo(f"{desire}: no worker answers now; it holds for those that start")
    for name in names:
        click.echo(f"{desire}: asked of {name}" + (", which has not done it yet" if name in late else ""))
    return FAILED if late else 0


def _concerned(app: Taskforge, desire: Desire, asked: Sequence[WorkerCard]) -> list[str]:
    """Those who will do it: a parent ends or replaces the processes of its group together."""
    groups = {card.group for card in asked if card.group and desire in (Desire.SHUTDOWN, Desire.RESTART)}
    others = [card for card in app.workers() if card.group in groups] if groups else []
    return sorted({card.name for card in (*asked, *others)})


def _late(app: Taskforge, desire: Desire, names: Sequence[str], wait: float) -> list[str]:
    """Those who have not done it by then."""
    deadline = time.monotonic() + wait
    while True:
        late = [card.name for card in app.workers() if card.name in names and not _done(desire, card)]
        left = deadline - time.monotonic()
        if not late or left <= 0:
            return late
        time.sleep(min(LOOK_EVERY, left))


def _done(desire: Desire, card: WorkerCard) -> bool:
    """Whether a worker that is still there has done it."""
    if desire is Desire.DRAIN:
        return card.state is WorkerState.DRAINING
    return desire is Desire.RESUME and card.state is WorkerState.RUNNING
