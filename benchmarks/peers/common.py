"""What the peers' programs share. It runs in each peer's own environment, so it needs the standard library alone.

Workers are processes of their own, as their documentation starts them. Each run of a task appends 20 bytes to one file,
which costs about 2 µs and is how runs are counted and timed: a rate is (n - 1) runs over the time from the first to the
last, so that starting the worker, and settling the last job, is not held against a peer.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

TEXT = "x" * 64
RECORD = struct.Struct("<Idd")
#: The spec, for the worker's processes.
SPEC = "BENCH_SPEC"

Job = tuple[int, int, str]


class Peer(Protocol):
    """What a program tells of its library."""

    def enqueue(self, job: Job, stamped: bool = False) -> None:
        """Hand in one job of the task that does nothing, or of the one that notes its age."""
        ...

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        """Hand in many, in whichever documented way is fastest."""
        ...

    def waiting(self) -> int:
        """How many jobs are queued."""
        ...

    def worker(self) -> list[str]:
        """The worker's command; `bin/…` lies beside this Python."""
        ...


@cache
def spec() -> Any:
    """What is asked for: the program is given it as its argument, its worker in the environment."""
    return json.loads(os.environ.get(SPEC) or sys.argv[1])


def url() -> str:
    """Where Redis is."""
    return str(spec()["url"])


def records() -> str:
    """The file of runs."""
    return os.path.join(spec()["scratch"], "runs")


_file = -1
_workers: list[subprocess.Popen[bytes]] = []


def record(i: int, age: float = 0.0) -> None:
    """Note one run."""
    global _file
    if _file < 0:
        _file = os.open(records(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_file, RECORD.pack(i, time.monotonic(), age))


def age_of(text: str) -> float:
    """Seconds since the moment that was sent as text."""
    return time.monotonic() - float(text)


def run(make: Callable[[], Peer]) -> None:
    """Measure what the spec asks for: case is throughput, enqueue or start."""
    case = {"throughput": throughput, "enqueue": enqueue, "start": start}[spec()["case"]]
    try:
        found = case(make())
    finally:
        stop_workers()
    print(json.dumps(found), flush=True)


def throughput(peer: Peer) -> dict[str, float]:
    """Preload n jobs, then start a worker and let it run them all."""
    n = spec()["n"]
    for i in range(0, n, 1000):
        peer.enqueue_many([(k, 2, TEXT) for k in range(i, min(n, i + 1000))])
    if peer.waiting() != n:
        raise AssertionError(f"{peer.waiting()} jobs are queued, not {n}")
    start_worker(peer)
    runs = wait_for_runs(n, spec()["within"])
    times = [when for _, when, _ in runs]
    return {"rate": (n - 1) / (max(times) - min(times))}


def enqueue(peer: Peer) -> dict[str, float]:
    """Hand in n jobs, one by one or many at a time."""
    n, size = spec()["n"], spec()["size"]
    peer.enqueue((0, 2, TEXT))  # the first one connects
    begun = time.perf_counter()
    if size == 1:
        for i in range(n):
            peer.enqueue((i, 2, TEXT))
    else:
        for i in range(0, n, size):
            peer.enqueue_many([(k, 2, TEXT) for k in range(i, i + size)])
    seconds = time.perf_counter() - begun
    if peer.waiting() != n + 1:
        raise AssertionError(f"{peer.waiting()} jobs are queued, not {n + 1}")
    return {"rate": n / seconds}


def start(peer: Peer) -> dict[str, float]:
    """Hand jobs to an idle worker, with pauses; how old each is when it starts."""
    n, warm_up = spec()["n"], 5
    start_worker(peer)
    for i in range(n + warm_up):
        peer.enqueue((i, 2, str(time.monotonic()).ljust(64)), stamped=True)
        wait_for_runs(i + 1, 30, watch_for_more=0)
        time.sleep(spec()["pause"])
    ages = sorted(age for _, _, age in wait_for_runs(n + warm_up, 30)[warm_up:])
    return {"p50_us": ages[len(ages) // 2] * 1e6, "p99_us": ages[min(len(ages) - 1, int(0.99 * len(ages)))] * 1e6}


def start_worker(peer: Peer) -> None:
    """In this session, so that it ends with it."""
    command = peer.worker()
    command[0] = os.path.join(os.path.dirname(sys.executable), command[0])
    log = os.open(records() + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=here,
        env={**os.environ, "PYTHONPATH": path, SPEC: json.dumps(spec())},
    )
    _workers.append(process)


def stop_workers() -> None:
    """As their documentation says, so that they end children in sessions of their own; the harness kills the rest."""
    for process in _workers:
        process.terminate()
    for process in _workers:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for_runs(n: int, within: float, watch_for_more: float = 0.3) -> list[tuple[int, float, float]]:
    """The n runs, each of another job; fails when they do not come in time, or when there are more."""
    deadline = time.monotonic() + within
    while _size() < n * RECORD.size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{_size() // RECORD.size} of {n} jobs ran in {within} s\n{_log()}")
        time.sleep(0.002)
    time.sleep(watch_for_more)
    with open(records(), "rb") as file:
        runs = list(RECORD.iter_unpack(file.read()))
    if sorted(i for i, _, _ in runs) != list(range(n)):
        raise AssertionError(f"{len(runs)} runs of {len({i for i, _, _ in runs})} jobs, of {n}")
    return runs


def _size() -> int:
    try:
        return os.stat(records()).st_size
    except FileNotFoundError:
        return 0


def _log() -> str:
    with open(records() + ".log") as file:
        return file.read()[-1500:]
