"""The jobs that an operator's command is about: named by id, or all of a queue in some state."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import click

from taskforge.app import Taskforge
from taskforge.brokers.protocol import BATCH
from taskforge.job import JobState


def by_queue(app: Taskforge, job_ids: Sequence[str], queue: str | None) -> dict[str, list[str]]:
    """The ids sorted by their queues. Raises JobNotFound or AmbiguousJob before anything is changed."""
    found: dict[str, list[str]] = {}
    for job_id in job_ids:
        handle = app.job(job_id, queue)
        handle.state()
        found.setdefault(handle.queue or "", []).append(job_id)
    return found


def all_in(app: Taskforge, queue: str, state: JobState) -> list[str]:
    """The ids of every job of a queue in a state, as of now."""
    ids: list[str] = []
    while True:
        page = app.client.read(partial(app.inspector.list, queue, state, len(ids), 1_000))
        ids += [record.id for record in page]
        if len(page) < 1_000:
            return ids


def batches(ids: Sequence[str]) -> Iterator[list[str]]:
    """Slices that one call may carry."""
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch


def confirm(what: str, yes: bool) -> None:
    """Ask, unless --yes was given; without a terminal to ask on, refuse."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}: say --yes to confirm")
    click.confirm(f"{what}?", abort=True)
