"""A worker that owns its process: signals in, exit code out."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

from taskforge.errors import BrokerError
from taskforge.worker.worker import Worker

logger = logging.getLogger("taskforge.worker")


def serve(worker: Worker) -> int:
    """Run until SIGTERM or SIGINT, the end of a burst, or a failure; the exit code.

    One signal drains, a second one hands back at once. 0: everything ended in order. 1: runs had to be abandoned and
    were handed back, or ended as timed out; the process then ends without another word, for their threads cannot be
    ended. Raises BrokerError when that is what made the worker fail.
    """

    def asked(signum: int, _frame: FrameType | None) -> None:
        if worker.ending.is_set():
            worker.hurry.set()
        worker.ending.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, asked)
    worker.start()
    worker.wait()
    left = worker.stop(kill=True)
    failure = worker.exchanger.failure
    if left:
        logger.warning("runs_abandoned", extra={"jobs": " ".join(run.id for run in left)})
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)
    if isinstance(failure, BrokerError):
        raise failure
    if failure is not None:
        return 70
    return 1 if worker.overstaying else 0  # it ended for a late run's sake, and is to be started again


def end_with_parent(pipe: int) -> None:
    """End this process in order when the other end of the pipe is closed: its parent is gone."""

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="taskforge-parent", daemon=True).start()


def cores() -> int:
    """The cores this process may use: by affinity, and by its cgroup's CPU quota (version 2) where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count
