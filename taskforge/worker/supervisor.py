"""A parent that keeps worker processes alive, passes signals on, and runs no jobs itself."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

from taskforge.settings import Settings

logger = logging.getLogger("taskforge.worker")

#: A child that lives shorter than this (seconds) died at start: its replacement waits, twice as long each time.
YOUNG = 5.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
#: After so many deaths at start in a row the parent gives up and says so.
GIVE_UP = 5
#: How often (seconds) it looks after its children.
PACE = 0.05
#: Beyond the children's own grace, before they are killed (seconds).
MARGIN = 15.0


@dataclass
class Child:
    """One place for a child, and how the last ones in it fared."""

    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started: float = 0.0
    young_deaths: int = 0
    start_at: float = field(default=0.0)


class Supervisor:
    """Starts `count` processes of one command, each with a pipe by which it learns of this one's death.

    They start as programs of their own, never by forking this one, and in sessions of their own: a Ctrl-C reaches them
    through here, once, as a byte in their pipe.
    """

    def __init__(self, command: Sequence[str], count: int, settings: Settings, *, burst: bool = False) -> None:
        self.command, self.burst = list(command), burst
        self.patience = settings.grace.total_seconds() + settings.stop_grace.total_seconds() + MARGIN
        self.children = [Child() for _ in range(count)]
        self.signals: list[int] = []
        self.worst = 0

    def run(self) -> int:
        """Until told to stop, or done in burst mode; 0, or 1 when a child had to abandon jobs or none can be kept
        alive.
        """

        def asked(signum: int, _frame: FrameType | None) -> None:
            self.signals.append(signum)

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, asked)
        try:
            while not self.signals:
                if not self._tend():
                    return self.worst
                time.sleep(PACE)
            return self._stop()
        finally:
            for child in self.children:
                self._hang_up(child)

    def _tend(self) -> bool:
        """Start what is missing; False when nothing is left to do."""
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, now)
            if child.process is None and now >= child.start_at and not self.signals:
                self._start(child, now)
        if all(child.young_deaths >= GIVE_UP for child in self.children):
            logger.critical(
                "workers_keep_dying", extra={"exit_code": self.worst, "remedy": "see their last lines above"}
            )
            self.worst = self.worst or 1
            return False
        return any(child.start_at != float("inf") for child in self.children)

    def _start(self, child: Child, now: float) -> None:
        reader, child.pipe = os.pipe()
        child.process = subprocess.Popen(
            [*self.command, "--parent-pipe", str(reader)], pass_fds=[reader], start_new_session=True
        )
        os.close(reader)
        child.started = now

    def _hang_up(self, child: Child) -> None:
        if child.pipe >= 0:
            os.close(child.pipe)
            child.pipe = -1

    def _bury(self, child: Child, now: float) -> None:
        """A child has ended: forget it, and decide when its place is filled again."""
        assert child.process is not None
        code, lived = child.process.returncode, now - child.started
        child.process = None
        self._hang_up(child)
        if code == 0 and self.burst:
            child.start_at = float("inf")
            return
        self.worst = max(self.worst, 1 if code else 0)
        child.young_deaths = child.young_deaths + 1 if lived < YOUNG else 0
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** max(0, child.young_deaths - 1)) if child.young_deaths else 0.0
        child.start_at = now + wait
        logger.error("worker_process_ended", extra={"exit_code": code, "lived": lived, "again_in": wait})

    def _stop(self) -> int:
        """Pass on each signal as it came, and wait for the children; kill those that outstay every grace."""
        passed, deadline, code = 0, time.monotonic() + self.patience, 0
        while living := [c for c in self.children if c.process is not None and c.process.poll() is None]:
            while passed < len(self.signals):
                for child in living:
                    with suppress(BrokenPipeError):  # it is ending already
                        os.write(child.pipe, b"!")
                passed += 1
            if time.monotonic() > deadline:
                logger.critical("workers_killed", extra={"pids": " ".join(str(_pid(c)) for c in living)})
                for child in living:
                    assert child.process is not None
                    child.process.kill()
            time.sleep(PACE)
        for child in self.children:
            code = max(code, 1 if child.process is not None and child.process.returncode else 0)
        return code


def _pid(child: Child) -> int:
    return child.process.pid if child.process is not None else 0
