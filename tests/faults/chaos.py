"""A random mix of faults under a random mix of jobs, judged by the ledger: python -m tests.faults.chaos --help."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from taskforge import Taskforge, TaskforgeError
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew
from tests.faults.field import Field, Place, RedisPlace, SqlitePlace
from tests.faults.kinds import QUEUES, number_of
from tests.faults.ledger import FOLDER, Ledger
from tests.faults.verdict import Dealt, Verdict, judge
from tests.servers import engines

#: Fault → how often it is dealt. Those of processes are the same on every broker.
PROCESSES = {
    "kill_child": 60,
    "kill_isolated_child": 8,
    "kill_half": 6,
    "kill_parent": 6,
    "kill_all": 2,
    "kill_client": 4,
    "replace_parent": 2,
    "freeze_child": 1,
    "freeze_parent": 2,
}
OF_SQLITE = {"locked": 8}
OF_REDIS = {
    "cut": 4,
    "refuse": 2,
    "blackhole": 2,
    "blackhole_that_loses": 2,
    "latency": 2,
    "reply_cut": 4,
    "scripts_forgotten": 3,
    "clients_killed": 3,
    "paused": 2,
    "asleep": 2,
    "read_only": 1,
    "memory_full": 1,
    "restarted": 1,
}
#: Seconds without any job ending after which a run that has no more faults to come is given up.
STUCK = 60.0
#: Seconds that a fault lasts at most, where it lasts.
LONGEST = 4.0


class Fault(NamedTuple):
    """One to come: `which` chooses the process, `seconds` is how long it lasts, where that means something."""

    name: str
    which: int
    seconds: float


class Size(NamedTuple):
    """Of a run on one broker."""

    jobs: int
    faults: int
    seconds: float


def plan(place: Place, count: int, seed: int) -> list[Fault]:
    """The same faults for the same seed: each kind once at least, if there is room, then by their weights."""
    dice = random.Random(seed)
    weights = {**PROCESSES, **(OF_SQLITE if isinstance(place, SqlitePlace) else OF_REDIS)}
    names = [*weights, *dice.choices([*weights], [*weights.values()], k=max(0, count - len(weights)))]
    dice.shuffle(names)
    return [Fault(name, dice.randrange(1000), dice.uniform(0.5, LONGEST)) for name in names[:count]]


def run(place: Place, folder: Path, size: Size, seed: int) -> Verdict:
    """Deal the faults while the jobs run, wait until all have ended, and judge."""
    crew, client_ledger = Crew(place.url, folder), Ledger(folder / "client")
    client_ledger.folder.mkdir()

    def client() -> object:
        confirmed = max((number_of(line.id) for line in client_ledger.lines("confirmed")), default=-1)
        return crew.run(
            "tests.faults.client",
            *(str(confirmed + 1), str(size.jobs), str(size.jobs / size.seconds / 0.9)),
            env={FOLDER: str(client_ledger.folder)},
        )

    field = Field(place, crew, client)
    program.app.configure(broker=place.direct)
    try:
        field.start()
        dealt = _deal(field, plan(place, size.faults, seed), size.seconds, folder / "faults")
        _await_end(field, program.app, size.jobs)
        verdict = judge(program.app, crew.ledger, size.jobs, dealt, field.killed, field.frozen)
    finally:
        field.close()
        program.app.close()
    verdict.complaints += field.complaints
    return verdict
