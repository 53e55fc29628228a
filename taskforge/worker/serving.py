"""A worker that owns its process: orders in, exit code out."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

from taskforge.errors import BrokerError, BrokerUnavailable
from taskforge.worker.health import Health
from taskforge.worker.notifying import Outside
from taskforge.worker.orders import Orders
from taskforge.worker.worker import Worker

logger = logging.getLogger("taskforge.worker")

#: How often (seconds) the main thread looks whether all is well.
LOOK_EVERY = 0.5


def serve(worker: Worker, parent_pipe: int | None = None, outside: Outside | None = None) -> int:
    """Run until told to end, the end of a burst or a quota, or a failure; the exit code.

    0: everything ended in order. 1: runs had to be abandoned and were handed back, or ended as timed out; the process
    ends at once then, for their threads cannot be ended. Raises BrokerError when that is what made the worker fail, or
    when the broker has not answered for `deaf_after`.

    Under a parent the parent speaks through the pipe, and closes it by dying.
    """
    outside = outside or Outside({})
    with Orders(worker, parent_pipe):
        _explain_crashes(ask_by_signal=parent_pipe is not None)
        # A parent has waited already: its children wait as long as a worker may go without the broker.
        worker.start(None if parent_pipe is None else _deaf_after(worker))
        outside.manager.ready()
        # What is loaded by now stays: jobs must not pay for looking it through for garbage again and again.
        gc.collect()
        gc.freeze()
        deaf = _watch(worker, outside)
        outside.manager.stopping()
        left = worker.stop(kill=True)
        if left:
            logger.warning("runs_abandoned", extra={"jobs": " ".join(run.id for run in left)})
        if worker.restart:
            _restart()
        failure = worker.exchanger.failure
        if left:
            _flush()
            os._exit(3 if deaf else 1)
        if deaf:
            raise BrokerUnavailable(f"the broker has not answered for {_deaf_after(worker):g} s (deaf_after)")
        if isinstance(failure, BrokerError):
            raise failure
        if failure is not None:
            return 70
        return 1 if worker.overstaying else 0  # it ended for a late run's sake, and is to be started again


def _watch(worker: Worker, outside: Outside) -> bool:
    """Until the worker should end; True when that is because the broker has fallen silent."""
    limit = _deaf_after(worker)
    while not worker.wait(min(LOOK_EVERY, outside.pace)):
        silence = worker.silence()
        if silence > limit:
            logger.critical("worker_deaf", extra={"silent_for": silence, "limit": limit})
            worker.hurry.set()  # what runs cannot be settled, and its leases are lost by now or soon
            return True
        outside.well(time.monotonic())
    return False


def alive(worker: Worker) -> Health:
    """Whether this worker does what it is there for."""
    silence = worker.silence()
    facts = {"last_exchange": silence, "overstaying": len(worker.overstaying)}
    return Health(worker.healthy and silence <= _deaf_after(worker), facts)


def ready(worker: Worker) -> Health:
    """Whether it takes jobs."""
    resting = worker.resting or worker.ending.is_set()
    return Health(alive(worker).ok and not resting, {"resting": resting, "busy": worker.slots.busy})


def _deaf_after(worker: Worker) -> float:
    return worker.settings.deaf_after.total_seconds()


def _explain_crashes(*, ask_by_signal: bool) -> None:
    """Have the interpreter write all stacks when it crashes, and when a parent asks that hears nothing of it: that
    works while some C code does not let Python on.
    """
    with suppress(OSError, ValueError, RuntimeError):  # there is no standard error
        faulthandler.enable()
        if ask_by_signal and hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGUSR1)


def _restart() -> NoReturn:
    """Begin anew as the same process."""
    logger.info("worker_restarts")
    _flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()


def cores() -> int:
    """The cores this process may use: by affinity, and by its cgroup's CPU quota (version 2) where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count
