"""How soon an idle worker starts a job, and how soon its result is back: the floor, by doorbell and then claim."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.floor import jobs
from benchmarks.floor.redis_broker import RedisBroker
from benchmarks.floor.sqlite_broker import SqliteBroker
from benchmarks.floor.wire import Wire
from benchmarks.floor.worker import Worker
from benchmarks.programs.common import check, latencies, report, spec

THREADS = 8
context = multiprocessing.get_context("fork")


def main() -> None:
    """spec: broker, n, case (start, result), pause."""
    options = spec()
    n = options["n"]
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(options, there), daemon=True)
    process.start()
    assert here.poll(15)
    here.recv()
    time.sleep(0.3)  # until it listens
    broker = open_broker(options)
    trips = starts(broker, n, options["pause"]) if options["case"] == "start" else results(broker, options, n)
    time.sleep(0.3)  # until the last one is settled
    here.send("report")
    assert here.poll(15)
    ran, started_after, settled, refused = here.recv()
    process.kill()
    check(ran, n)
    assert (settled, refused) == (n, 0)
    report(latencies(started_after if options["case"] == "start" else trips))


def open_broker(options: Any) -> RedisBroker | SqliteBroker:
    if options["broker"] == "redis":
        return RedisBroker(options["port"])
    return SqliteBroker(str(Path(options["scratch"]) / "floor.db"))


def serve(options: Any, pipe: Connection) -> None:
    """The worker's process."""
    broker = open_broker(options)
    worker = Worker(broker, THREADS, depth=THREADS)

    def answer() -> None:
        pipe.recv()
        pipe.send((jobs.ran, jobs.started_after, worker.settled, broker.refused))

    threading.Thread(target=answer, daemon=True).start()
    pipe.send("up")
    worker.run()


def starts(broker: RedisBroker | SqliteBroker, n: int, pause: float) -> list[float]:
    """Enqueue with pauses; the worker notes how old each job is when it starts."""
    for i in range(n):
        broker.enqueue([(jobs.new_id(), jobs.body(i, "stamp", str(time.monotonic()).ljust(64)))])
        time.sleep(pause)
    return []


def results(broker: RedisBroker | SqliteBroker, options: Any, n: int) -> list[float]:
    """Enqueue and wait for the result, one after the other."""
    name, receive = mailbox(options)
    trips = []
    for i in range(n):
        job_id, start = jobs.new_id(), time.monotonic()
        broker.enqueue([(job_id, jobs.body(i, "add", reply=name))])
        data = receive()
        trips.append(time.monotonic() - start)
        assert (data[:22], jobs.unpack(data[22:])) == (job_id.encode(), i + 1)
    return trips


def mailbox(options: Any) -> tuple[str, Callable[[], bytes]]:
    """Where results come in: its name, and how to read the next."""
    if options["broker"] == "redis":
        wire, channel = Wire(options["port"]), f"floor:reply:{jobs.new_id()}"
        wire.sock.settimeout(10)
        wire.call("SUBSCRIBE", channel)
        return channel, lambda: wire.read()[2]
    path = str(Path(options["scratch"]) / "mailbox")
    box = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    box.bind(path)
    box.settimeout(10)
    return path, lambda: box.recv(65536)


if __name__ == "__main__":
    main()
