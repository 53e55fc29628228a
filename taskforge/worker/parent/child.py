"""Child: one worker process as its parent sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum

from taskforge.brokers.protocol import Holding
from taskforge.worker.orders import Order
from taskforge.worker.shared import ChildState, Shared

#: No look at a child adds more than this (seconds) to its silence: what made the parent look so late may have held up
#: the child as well.
LONGEST_LOOK = 2.0


class Stage(Enum):
    """What the parent has in mind for a child."""

    STANDING = "standing"  # it is to stay
    DOOMED = "doomed"  # it serves until its successor does
    QUIET = "quiet"  # it takes nothing new, and is told to end once it holds nothing
    LEAVING = "leaving"  # it was told to end


class Child:
    """Starts as a program of its own, never by forking this one, and in a session of its own: a Ctrl-C reaches it
    through its parent, once, as a byte in its pipe.
    """

    def __init__(self, command: Sequence[str], cells: int, environ: Mapping[str, str], share: int | None) -> None:
        self.shared = Shared.create(cells)
        self.share = share
        reader, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        quota = [] if share is None else ["--max-jobs", str(share)]
        try:
            self.process = subprocess.Popen(
                [*command, *quota, "--parent-pipe", str(reader), "--shared", str(self.shared.fd)],
                pass_fds=[reader, self.shared.fd],
                env=dict(environ),
                start_new_session=True,
            )
        except BaseException:
            self.let_go()
            raise
        finally:
            os.close(reader)
            self.shared.close()
        self.pid = self.process.pid
        self.started = self._looked = time.monotonic()
        self.stage = Stage.STANDING
        self.reason = ""
        self.was_ready = False
        self.stacks_asked = self.killed = False
        self.due = self.deadline = float("inf")
        self.silence = 0.0
        self._beat: float | None = None
        self._quiet_since = 0.0

    def ask(self, order: Order) -> None:
        """Ask this of it; it may be ending already, or be too stuck to listen."""
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(self._pipe, order.value)

    @property
    def state(self) -> ChildState:
        """How far it says it is."""
        return self.shared.state

    @property
    def has_begun(self) -> bool:
        """Whether it takes jobs, or did. A first job may hold the interpreter before it could say so itself."""
        return self.state not in (ChildState.STARTING, ChildState.WAITING) or self.shared.has_claimed

    @property
    def serves(self) -> bool:
        """Whether it takes jobs."""
        return self.state is ChildState.READY and self.stage in (Stage.STANDING, Stage.DOOMED)

    @property
    def remains(self) -> bool:
        """Whether it counts among those that are wanted: it has not been told to end."""
        return self.stage in (Stage.STANDING, Stage.DOOMED)

    def look(self, now: float) -> None:
        """Take note of its beat."""
        elapsed, self._looked = now - self._looked, now
        age = self.shared.beat_age(now)
        beat = None if age is None else round(now - age, 3)
        if not self.was_ready or beat != self._beat:
            self._beat, self.silence, self.stacks_asked = beat, 0.0, False
        else:
            self.silence += min(elapsed, LONGEST_LOOK)

    def doom(self, reason: str) -> None:
        """Have it replaced: it serves until its successor does."""
        if self.stage is Stage.STANDING:
            self.stage, self.reason = Stage.DOOMED, reason

    def rest(self, now: float) -> None:
        """Have it take nothing new, and end once it holds nothing."""
        self.stage, self._quiet_since = Stage.QUIET, now
        self.ask(Order.QUIET)

    @property
    def empty(self) -> bool:
        """Whether it has said, since it was told to rest, that it holds nothing."""
        beat = self._beat
        return beat is None or (beat > self._quiet_since + 0.1 and not self.shared.figures.held)

    def leave(self, now: float, patience: float) -> None:
        """Tell it to end, within so many seconds."""
        if self.stage is not Stage.LEAVING:
            self.stage, self.deadline = Stage.LEAVING, now + patience
        self.ask(Order.DRAIN)

    def tell_stacks(self) -> None:
        """Have its interpreter write all stacks to its standard error: that needs no lock of it."""
        self.stacks_asked = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """End it."""
        self.killed = True
        with suppress(ProcessLookupError):
            self.process.kill()

    def rss(self) -> int:
        """Its memory (bytes), as the system tells it, or else it itself."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return self.shared.figures.rss

    def jobs(self) -> list[Holding]:
        """The jobs it runs, as far as it has noted them."""
        return self.shared.running()

    def let_go(self) -> None:
        """It has ended, and all is known of it: close what it was bound by."""
        with suppress(OSError):
            os.close(self._pipe)
        self._pipe = -1
