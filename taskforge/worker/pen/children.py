"""The children of a pen: started before they are needed, lent to one run at a time, let go when they are spent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from taskforge.worker.pen.home import Home
from taskforge.worker.pen.limits import resident
from taskforge.worker.pen.process import Child

logger = logging.getLogger("taskforge.worker")

#: How long (seconds) a child that is no longer needed may take to end.
PARTING = 5.0
#: A used child that nobody needed for this long (seconds) is let go.
IDLE_AGE = 60.0
#: A look at what is watched, memory and overdue ends, this often (seconds); with nothing to watch, the longer time.
PACE, REST = 0.05, 10.0


class Children:
    """One thread starts them all, and outlives them: the kernel ends a child when the thread that started it ends.

    `spare` is how many are kept that have not run anything yet, once there is a use for them.
    """

    def __init__(self, spare: int) -> None:
        self._spare = spare
        self.home: Home | None = None
        #: The last one could not be started: no spares until one can.
        self.broken = False
        self.stopping = False
        self._wanted = False
        self._lock = threading.Lock()
        self._free, self._work = threading.Condition(self._lock), threading.Condition(self._lock)
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._leaving: list[Child] = []
        self._waiting = 0
        self._thread = threading.Thread(target=self._tend, name="taskforge-pen", daemon=True)

    def start(self, home: Home | None) -> None:
        """Begin to tend them; none is started before one is wanted."""
        self.home = home
        self._thread.start()

    def first(self) -> Child:
        """The first one, which is started now if there is none; it stays free."""
        with self._lock:
            while not self._idle:
                self._wait()
            return self._idle[0]

    def take(self, reuse: int, memory: int | None, given_up: Callable[[], bool]) -> Child | None:
        """One that has run fewer than `reuse` jobs, all under this memory limit; None when the caller gives up."""
        with self._lock:
            while True:
                if given_up() or self.stopping:
                    return None
                if (child := self._pick(reuse, memory)) is not None:
                    break
                self._wait()
            self._busy.add(child)
            if not child.jobs:
                self._work.notify()  # a spare less
            return child

    def put_back(self, child: Child) -> None:
        """It is free again."""
        with self._lock:
            self._busy.discard(child)
            if self.stopping:
                self._leave(child, 0.0)
            else:
                child.idle_since = time.monotonic()
                self._idle.append(child)
                self._free.notify()

    def let_go(self, child: Child, patience: float = PARTING) -> None:
        """It has run enough; killed if it has not ended in so many seconds."""
        with self._lock:
            self._busy.discard(child)
            self._leave(child, patience)

    def withdraw(self, child: Child) -> None:
        """It is dead, though nobody has used it."""
        with self._lock:
            if child in self._idle:
                self._idle.remove(child)
            self._leave(child, 0.0)

    def look_again(self) -> None:
        """Something is to be watched, or a caller has given up."""
        with self._lock:
            self._work.notify()
            if self._waiting:
                self._free.notify_all()

    def stop(self, timeout: float) -> None:
        """Let all go; those that run something, and those that have not ended in `timeout` seconds, are killed."""
        with self._lock:
            self.stopping = True
            for child in self._busy:
                child.kill()
            while self._idle:
                self._leave(self._idle.pop(), timeout)
            self._work.notify()
            self._free.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout + PARTING)

    def _wait(self) -> None:
        self._wanted = True
        self._waiting += 1
        self._work.notify()
        self._free.wait()
        self._waiting -= 1

    def _pick(self, reuse: int, memory: int | None) -> Child | None:
        """The latest used one, else the fresh one that was started first."""
        used = [child for child in self._idle if 0 < child.jobs < reuse and child.memory == memory]
        fresh = [child for child in self._idle if not child.jobs]
        chosen = used[-1] if used else fresh[0] if fresh else None
        if chosen is None:
            return None
        self._idle.remove(chosen)
        if chosen.ready and not chosen.is_alive():
            self._leave(chosen, 0.0)
            return self._pick(reuse, memory)
        chosen.memory = memory
        return chosen

    def _leave(self, child: Child, patience: float) -> None:
        child.dismiss(patience)
        self._leaving.append(child)
        self._work.notify()

    # The thread.

    def _tend(self) -> None:
        """Start what is missing and end what is due; until stopped, and the last one is gone."""
        while True:
            with self._lock:
                missing = self._is_missing()
                if not missing:
                    if self.stopping and not self._leaving and not self._busy:
                        return
                    self._work.wait(self._pause())
            if missing and self.home is not None:
                child = Child(self.home)
                with self._lock:
                    self._idle.append(child)
                    self._free.notify()
                    if self.stopping:
                        self._leave(self._idle.pop(), 0.0)
            try:
                self._look(time.monotonic())
            except Exception:  # the next look is as good
                logger.exception("pen_stumbled")
                time.sleep(PACE)

    def _is_missing(self) -> bool:
        """Whether one more is needed: one for each caller that waits, and the spares."""
        if self.stopping or not self._wanted or self.home is None:
            return False
        fresh = sum(not child.jobs for child in self._idle)
        return fresh < self._waiting + (0 if self.broken else self._spare)

    def _pause(self) -> float:
        watched = any(child.memory is not None or child.kill_at < float("inf") for child in self._busy)
        return PACE if watched or self._leaving else REST

    def _look(self, now: float) -> None:
        """Kill what is overdue or has grown too large; bury the dead; let go of what is idle for long."""
        with self._lock:
            busy, leaving = list(self._busy), list(self._leaving)
            for child in list(self._idle):
                if child.ready and (not child.is_alive() or (child.jobs and now - child.idle_since > IDLE_AGE)):
                    self._idle.remove(child)
                    self._leave(child, PARTING)
        for child in busy:
            if child.memory is not None and child.run is not None and (held := resident(child.pid)) > child.memory:
                child.exceeded = held
                child.kill()
            elif now >= child.kill_at:
                child.kill()
        for child in leaving:
            if now >= child.kill_at:
                child.kill()
        gone = {child for child in leaving if child.bury_if_dead()}
        if gone:
            with self._lock:
                self._leaving = [child for child in self._leaving if child not in gone]
