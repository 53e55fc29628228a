"""Sees that the event loop turns, and which run keeps it from turning."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from taskforge.run import Run, StopCause
from taskforge.signals import emit
from taskforge.worker.judging import App
from taskforge.worker.stacks import run_on, stack_of

logger = logging.getLogger("taskforge.worker")

#: What a loop that does not turn for longer than this (seconds) keeps from its other runs is forgiven them.
BLOCKED = 1.0
#: It is told of once it has lasted this long (seconds), or half of the patience there is.
TOLD_AFTER = 5.0


class Loop(Protocol):
    """The loop's executor, as far as it is watched."""

    @property
    def ident(self) -> int | None:
        """Of its thread."""
        ...

    def __len__(self) -> int:
        """How many runs are on it."""
        ...

    def ping(self, answer: Callable[[], None]) -> None:
        """Have this called on the loop when it turns next."""
        ...


class Blocked(NamedTuple):
    """The loop turns again: for how long (seconds) it did not, and the run that kept it, if one is known."""

    seconds: float
    run: Run | None


class LoopWatch:
    """Asked in every round of the warden. `patience` is how long (seconds) a loop may stand still.

    Past it, the run that blocks it is said to overstay; where none is known, the loop is said to have `failed`.
    """

    def __init__(
        self,
        app: App,
        loop: Loop,
        patience: float,
        overstayed: Callable[[Run], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._app, self._loop, self._patience = app, loop, patience
        self._overstayed, self._failed = overstayed, failed
        self._tell_after = min(TOLD_AFTER, patience / 2)
        #: How often the loop stood still for so long that it was told of.
        self.count = 0
        self._asked_at: float | None = None
        self._answered = False
        self._run: Run | None = None
        self._since: float | None = None  # as long as one and the same run is found to block the loop
        self._stood = 0.0
        self._told = self._given_up = False

    def tick(self, now: float) -> Blocked | None:
        """One round; what is over, if the loop stood still until now."""
        if self._asked_at is None:
            self._ask(now)
            return None
        if self._answered:
            stood, run = self._stood, self._run
            self._ask(now)
            return Blocked(stood, run) if stood > BLOCKED else None
        self._see(now)
        return None

    def excuses(self, run: Run) -> bool:
        """Whether this run cannot be expected to end now, because another one blocks the loop."""
        return self._stood > BLOCKED and run is not self._run

    @property
    def standing(self) -> float:
        """For how long (seconds) the loop has stood still now, because of one and the same run."""
        return self._stood

    def held_up(self, seconds: float) -> None:
        """The process stood still, and so the loop had to."""
        if self._asked_at is not None:
            self._asked_at += seconds
        if self._since is not None:
            self._since += seconds

    def _ask(self, now: float) -> None:
        """Ask anew, if anything is on the loop."""
        self._asked_at, self._answered, self._run, self._since, self._stood = None, False, None, None, 0.0
        self._told = self._given_up = False
        if len(self._loop):
            self._asked_at = now
            self._loop.ping(self._answer)

    def _answer(self) -> None:
        self._answered = True

    def _see(self, now: float) -> None:
        """It has not answered yet: who keeps it from it. A loop that has much to do is found with ever other runs."""
        ident = self._loop.ident
        if ident is None or self._asked_at is None:
            return
        run = run_on(ident)
        if self._since is None or run is not self._run:
            self._run, self._since = run, self._asked_at if self._since is None else now
        self._stood = now - self._since
        if self._stood >= self._tell_after and not self._told:
            self._tell(ident)
        if self._stood >= self._patience and not self._given_up:
            self._give_up()

    def _tell(self, ident: int) -> None:
        self._told = True
        self.count += 1
        run, stack = self._run, stack_of(ident)
        facts = {"job": run and run.id, "task": run and run.task, "seconds": round(self._stood, 3), "stack": stack}
        logger.error("loop_blocked", extra=facts)
        emit(self._app.signals.loop_blocked, self._app, run=run, seconds=self._stood, stack=stack)

    def _give_up(self) -> None:
        self._given_up = True
        if self._run is None:
            self._failed(TimeoutError(f"the event loop has not turned for {self._stood:.0f} s"))
            return
        self._run.request_stop(StopCause.TIMEOUT)
        self._overstayed(self._run)
