"""A random mix of faults under a random mix of jobs, judged by the ledger: python -m tests.faults.chaos --help."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from taskforge import Taskforge, TaskforgeError
from tests.faults import program
from tests.faults.crew import Crew
from tests.faults.field import SLOTS, Field
from tests.faults.grounds import Place, RedisPlace, SqlitePlace
from tests.faults.kinds import QUEUES, number_of
from tests.faults.ledger import FOLDER, Ledger
from tests.faults.verdict import Dealt, Verdict, judge
from tests.servers import engines

#: Fault → how often it is dealt. Those of processes are the same on every broker.
OF_PROCESSES = {
    "kill_child": 60,
    "kill_isolated_child": 8,
    "kill_half": 6,
    "kill_parent": 6,
    "kill_all": 2,
    "kill_client": 4,
    "replace_parent": 2,
    "restart": 2,
    "rest": 1,
    "dump": 1,
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
#: Seconds between two faults at least.
PAUSE = 2.0
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
    weights = {**OF_PROCESSES, **(OF_SQLITE if isinstance(place, SqlitePlace) else OF_REDIS)}
    names = [*weights, *dice.choices([*weights], [*weights.values()], k=max(0, count - len(weights)))]
    dice.shuffle(names)
    return [Fault(name, dice.randrange(1000), dice.uniform(0.5, LONGEST)) for name in names[:count]]


def run(place: Place, folder: Path, size: Size, seed: int) -> Verdict:
    """Deal the faults while the jobs run, wait until all have ended, and judge."""
    crew, client_ledger = Crew(place.url, folder), Ledger(folder / "client")
    client_ledger.folder.mkdir()

    def client() -> subprocess.Popen[bytes]:
        confirmed = max((number_of(line.id) for line in client_ledger.lines("confirmed")), default=-1)
        return crew.run(
            "tests.faults.client",
            *(str(confirmed + 1), str(size.jobs), str(size.jobs / size.seconds)),
            env={FOLDER: str(client_ledger.folder)},
        )

    field = Field(place, crew, client)
    program.app.configure(broker=place.direct)
    try:
        field.start()
        dealt = _deal(field, plan(place, size.faults, seed), size.seconds, folder / "faults")
        _await_end(field, program.app, size.jobs)
        verdict = judge(program.app, crew.ledger, size.jobs, dealt, field.killed, field.frozen)
        field.call_the_roll(lambda: program.call_the_roll.enqueue_many([()] * SLOTS))
    finally:
        field.close()
        program.app.close()
    verdict.complaints += field.complaints
    return verdict


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when every promise was kept."""
    options = _options(arguments)
    complaints = 0
    for broker in options.broker:
        size = Size(*(each // len(options.broker) for each in (options.jobs, options.faults, options.seconds)))
        folder = Path(tempfile.mkdtemp(prefix="tf-"))
        print(
            f"{broker}: {size.jobs:,} jobs, {size.faults} faults, {size.seconds:g} s, seed {options.seed}", flush=True
        )
        began = time.monotonic()
        verdict = run(_place(broker, folder), folder, size, options.seed)
        print(report(verdict, size, time.monotonic() - began), flush=True)
        complaints += len(verdict.complaints)
        if verdict.complaints:
            print(f"  the ledger, the log and the faults are in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if complaints else 0


def report(verdict: Verdict, size: Size, took: float) -> str:
    """What there is to say about a run."""
    lines = [f"  {verdict.runs:,} runs, {verdict.extra_runs} of them again after a crash; {took:.0f} s in all"]
    for name, seconds in sorted(verdict.recovered.items()):
        lines.append(f"  {name:22} {len(seconds):4} x, next run began after {max(seconds, default=0):5.2f} s at most")
    lines += [f"  COMPLAINT: {each}" for each in verdict.complaints] or ["  nothing lost, nothing settled twice"]
    return "\n".join(lines)


def _deal(field: Field, faults: Sequence[Fault], seconds: float, log: Path) -> list[Dealt]:
    """Spread them over the time, and write down each as it is dealt."""
    began, dealt = time.monotonic(), []
    with log.open("w") as book:
        for index, fault in enumerate(faults):
            _watch_until(field, max(began + seconds * index / len(faults), time.monotonic() + PAUSE))
            at = time.monotonic()
            deal = getattr(field, fault.name, None)
            if deal is not None:
                deal(fault.which)
            else:
                getattr(field.place, fault.name)(fault.seconds)
            dealt.append(Dealt(fault.name, at, time.monotonic()))
            book.write(json.dumps({**fault._asdict(), "at": at - began, "until": dealt[-1].until - began}) + "\n")
            book.flush()
    return dealt


def _watch_until(field: Field, moment: float) -> None:
    while True:
        field.watch()
        left = moment - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, 0.2))


def _await_end(field: Field, app: Taskforge, jobs: int) -> None:
    """Until every job has ended; give up when none ends any more."""
    ended, progressed = -1, time.monotonic()
    while time.monotonic() < progressed + STUCK:
        _watch_until(field, time.monotonic() + 0.5)
        try:
            counts = [app.inspector.counts(queue) for queue in QUEUES]
        except TaskforgeError:
            continue  # it may still be busy reading its file after the last restart
        now = sum(each.succeeded + each.dead + each.cancelled for each in counts)
        if now == jobs:
            return
        if now > ended:
            ended, progressed = now, time.monotonic()
    field.complaints.append(
        f"after {STUCK:g} s without any job ending, {jobs - ended} have not ended: {field.crew.log()}"
    )


def _place(broker: str, folder: Path) -> Place:
    if broker == "sqlite":
        return SqlitePlace(folder)
    engine = next((engine for engine in engines() if engine.name.startswith(broker)), None)
    if engine is None:
        raise SystemExit(
            f"--broker {broker}: this machine has {', '.join(each.name for each in engines())}, and sqlite"
        )
    return RedisPlace(folder, engine)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tests.faults.chaos", description="Deal faults to workers, and judge what they did."
    )
    parser.add_argument("--jobs", type=int, default=100_000, help="on all brokers together [%(default)s]")
    parser.add_argument("--faults", type=int, default=200, help="on all brokers together [%(default)s]")
    parser.add_argument("--seconds", type=int, default=600, help="over which they are spread [%(default)s]")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults [a random one]")
    parser.add_argument("--broker", nargs="+", default=["sqlite", _first_engine()], help="[%(default)s]")
    return parser.parse_args(arguments)


def _first_engine() -> str:
    return next((engine.name for engine in engines()), "redis")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
