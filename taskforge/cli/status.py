"""taskforge status"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from taskforge.cli.common import NO_WORKER, Session, json_option, print_json, print_table, span
from taskforge.cli.common import command as our_command
from taskforge.workers import Desire, WorkerCard, read_desire

if TYPE_CHECKING:
    from taskforge.app import Taskforge
    from taskforge.brokers.register import Wish

HEADS = (
    "worker",
    "group",
    "version",
    "queues",
    "busy",
    "slots",
    "jobs/s",
    "memory",
    "answered",
    "up",
    "state",
    "asked",
)
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@our_command(f"Show the workers that live, and what is asked of them. Exit code {NO_WORKER} when none does.")
@json_option
def command(session: Session, as_json: bool) -> int:
    """The register: a worker that has not told of itself for a minute is not in it."""
    app = session.app
    cards = app.workers()
    wishes = app.client.read(app.broker.register.wishes)
    if as_json:
        workers = [{**_said(card), "asked": asked_of(app, card, wishes)} for card in cards]
        standing = [
            {"target": wish.target, "what": read_desire(app.codec, wish.wish), "at": wish.at} for wish in wishes
        ]
        print_json({"workers": workers, "wishes": standing})
    elif cards:
        print_table(HEADS, [_row(card, asked_of(app, card, wishes)) for card in cards])
    if not cards:
        click.echo("no worker answers", err=True)
    return 0 if cards else NO_WORKER


def asked_of(app: Taskforge, card: WorkerCard, wishes: Sequence[Wish]) -> Desire | None:
    """What stands for a worker: to end, if it was asked to after its start (by two clocks, so about); else to drain."""
    mine = [(wish.at, read_desire(app.codec, wish.wish)) for wish in wishes if wish.target in card.targets]
    ends = [what for at, what in mine if what in (Desire.SHUTDOWN, Desire.RESTART) and at > card.started_at]
    lasting = [what for _, what in mine if what is not None and what.lasting]  # the oldest first
    if ends:
        return ends[-1]
    return Desire.DRAIN if lasting[-1:] == [Desire.DRAIN] else None


def size(number: int) -> str:
    """Bytes in the largest fitting unit."""
    for unit, name in UNITS:
        if number >= unit:
            return f"{number / unit:.0f} {name}"
    return str(number)


def _said(card: WorkerCard) -> dict[str, object]:
    return {each.name: getattr(card, each.name) for each in dataclasses.fields(card)}


def _row(card: WorkerCard, asked: Desire | None) -> tuple[object, ...]:
    up = (datetime.now(UTC) - card.started_at).total_seconds()
    return (
        card.name,
        card.group,
        card.version,
        ",".join(card.queues),
        card.busy,
        card.slots,
        f"{card.jobs_per_second:.1f}",
        size(card.rss),
        "never" if card.last_exchange is None else f"{span(card.last_exchange)} ago",
        span(max(0.0, up)),
        card.state.value,
        asked,
    )
