"""Orders to a worker process: signals, and the bytes of a parent, acted upon by a thread of their own."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from enum import Enum
from types import FrameType

from taskforge.worker.terminal import on_a_terminal
from taskforge.worker.worker import Worker

logger = logging.getLogger("taskforge.worker")

#: A child whose parent is gone has this long (seconds) for what it runs.
ORPHANS_GRACE = 5.0


class Order(Enum):
    """What a parent asks, a byte each."""

    DRAIN = b"d"
    HURRY = b"h"
    QUIET = b"q"
    RESUME = b"r"
    STACKS = b"s"


class Orders:
    """Entered in the main thread. Signals are not handled between two steps of whatever runs there, where they would
    meet locks that are held: the interpreter writes their numbers into a pipe, and a thread reads it.

    A signal sent to a child with a parent only drains, however often it comes: who sends one to the whole group wants
    the parent's own grace, not haste.
    """

    def __init__(self, worker: Worker, parent_pipe: int | None) -> None:
        self.worker, self._pipe = worker, parent_pipe
        self._terminal = on_a_terminal() and parent_pipe is None
        self._rested = False
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._wakeup = -1

    def __enter__(self) -> Orders:
        self._signals, self._writer = os.pipe()
        for fd in (self._signals, self._writer):
            os.set_blocking(fd, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        names = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGTTIN", "SIGCONT"]
        names += [] if self._terminal else ["SIGTSTP"]  # a terminal suspends us, as people expect there
        names += ["SIGUSR1"] if self._pipe is None else []  # with a parent the interpreter itself answers it
        for name in names:
            signum = getattr(signal, name)
            before = signal.getsignal(signum)
            if name == "SIGHUP" and before is signal.SIG_IGN:
                continue  # whoever started us with nohup means it
            self._before[signum] = before
            signal.signal(signum, _nothing)
        self._thread = threading.Thread(target=self._obey, name="taskforge-orders", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for signum, before in self._before.items():
            signal.signal(signum, before if before is not None else signal.SIG_DFL)
        os.close(self._writer)  # the end of the thread
        self._thread.join()
        os.close(self._signals)

    def _obey(self) -> None:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if self._pipe is not None:
            poll.register(self._pipe, select.POLLIN)
        orphaned = threading.Event()
        while True:
            for fd, _ in poll.poll():
                try:
                    data = os.read(fd, 64)
                except BlockingIOError:
                    continue
                except OSError:  # a pipe that cannot be read any more is as good as a parent that is gone
                    data = b""
                if fd == self._signals and not data:
                    orphaned.set()
                    return
                if not data:
                    poll.unregister(fd)
                    self._orphaned(orphaned)
                for each in data:
                    self._follow(signal.Signals(each) if fd == self._signals else Order(bytes([each])))

    def _follow(self, order: signal.Signals | Order) -> None:
        worker = self.worker
        match order:
            case signal.SIGTERM | signal.SIGINT:
                if worker.ending.is_set() and self._pipe is None:
                    worker.hurry.set()
                worker.ending.set()
            case signal.SIGQUIT | Order.HURRY:
                worker.hurry.set()
                worker.ending.set()
            case Order.DRAIN:
                worker.ending.set()
            case signal.SIGHUP:
                worker.restart = worker.restart or (self._pipe is None and not self._terminal)
                worker.ending.set()
            case signal.SIGTSTP | Order.QUIET:
                self._rested = True
                logger.info("worker_rests", extra={"resting": True})
                worker.quiet()
            case signal.SIGCONT | Order.RESUME:
                if self._rested:
                    self._rested = False
                    logger.info("worker_rests", extra={"resting": False})
                    worker.resume()
            case signal.SIGTTIN | signal.SIGUSR1 | Order.STACKS:
                worker.dump("signal")
            case _:
                pass  # a signal of the user's own code

    def _orphaned(self, done: threading.Event) -> None:
        """The parent is gone: end soon, and give back what does not end by that itself."""
        logger.error("parent_gone", extra={"grace": ORPHANS_GRACE})
        self.worker.relations.shared = None
        self.worker.ending.set()

        def hasten() -> None:
            if not done.wait(ORPHANS_GRACE):
                self.worker.hurry.set()

        threading.Thread(target=hasten, name="taskforge-orphan", daemon=True).start()


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    """The thread that reads the pipe acts."""
