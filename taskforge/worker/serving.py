"""A worker that owns its process: signals in, exit code out."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from types import FrameType

from taskforge.errors import BrokerError
from taskforge.worker.worker import Worker

logger = logging.getLogger("taskforge.worker")

#: A signal that another thread has taken is acted upon when the main thread next wakes (seconds).
LOOK_AT_SIGNALS = 0.5


def serve(worker: Worker, parent_pipe: int | None = None) -> int:
    """Run until SIGTERM or SIGINT, the end of a burst, or a failure; the exit code.

    One signal drains, a second one hands back at once. 0: everything ended in order. 1: runs had to be abandoned and
    were handed back, or ended as timed out; the process ends at once then, for their threads cannot be ended.
    Raises BrokerError when that is what made the worker fail.

    Under a parent the parent speaks through the pipe, a byte for each of its signals, and closes it by dying. A signal
    sent to the whole group then only drains: who sent it wants the parent's own grace, not haste.
    """

    def asked(_signum: int = 0, _frame: FrameType | None = None) -> None:
        if worker.ending.is_set() and parent_pipe is None:
            worker.hurry.set()
        worker.ending.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, asked)
    if parent_pipe is not None:
        threading.Thread(target=_obey, args=(worker, parent_pipe), name="taskforge-parent", daemon=True).start()
    worker.start()
    # What is loaded by now stays: jobs must not pay for looking it through for garbage again and again.
    gc.collect()
    gc.freeze()
    while not worker.wait(LOOK_AT_SIGNALS):
        continue
    left = worker.stop(kill=True)
    if left:
        logger.warning("runs_abandoned", extra={"jobs": " ".join(run.id for run in left)})
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)
    failure = worker.exchanger.failure
    if isinstance(failure, BrokerError):
        raise failure
    if failure is not None:
        return 70
    return 1 if worker.overstaying else 0  # it ended for a late run's sake, and is to be started again


def _obey(worker: Worker, pipe: int) -> None:
    """Drain at the parent's first byte, or at its death; hand back at once at its second byte."""
    heard = 0
    try:
        while data := os.read(pipe, 16):
            heard += len(data)
            if heard > 1:
                worker.hurry.set()
            worker.ending.set()
    finally:  # a pipe that cannot be read any more is as good as a parent that is gone
        worker.ending.set()


def cores() -> int:
    """The cores this process may use: by affinity, and by its cgroup's CPU quota (version 2) where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count
