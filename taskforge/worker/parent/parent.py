"""Parent: one loop over signals, children, and what the service manager and the register want."""

from __future__ import annotations

import logging
import os
import signal
import time
from signal import Signals

from taskforge.app import Taskforge
from taskforge.worker.health import Health
from taskforge.worker.notifying import Outside
from taskforge.worker.parent.crew import NO_BROKER, Crew, End
from taskforge.worker.parent.errands import Errands
from taskforge.worker.parent.inbox import Inbox
from taskforge.worker.parent.orphans import adopt
from taskforge.worker.parent.plan import Plan
from taskforge.worker.parent.scaler import Scaler
from taskforge.worker.shared import Asked
from taskforge.worker.terminal import on_a_terminal, suspend

logger = logging.getLogger("taskforge.worker")

#: How often (seconds) it looks after its children, and while some start, rest or end. What ends wakes it.
PACE, BRISK = 1.0, 0.02


class Parent:
    """Keeps the children of a plan. The app is the one that they serve; through its broker the jobs of the dead are
    given back.
    """

    def __init__(self, app: Taskforge, plan: Plan, outside: Outside | None = None, *, adopts: bool = False) -> None:
        self.plan, self.deaf_after = plan, app.settings.deaf_after.total_seconds()
        self.inbox = Inbox()
        self.outside = outside or Outside({})
        self.errands = Errands(app, plan.queues, self.inbox.wake)
        self.crew = Crew(plan, self.errands.release, adopts=adopts and adopt())
        goal = plan.autoscale
        self.scaler = Scaler(goal, plan.processes, plan.places, self.errands) if goal is not None else None
        if self.scaler is not None:
            self.crew.wanted = self.scaler.wanted
        self._terminal = on_a_terminal()
        self._heeded = Asked()
        self._turned = time.monotonic()
        self._renewing = self._code_changed = False

    def run(self) -> int:
        """Until told to stop, or done with what is finite; the exit code.

        0: everything ended in order. 1: a child had to abandon jobs, or none can be kept alive; 2 and 3 when they all
        say that they cannot start like this, or that the broker is not there.
        """
        with self.inbox:
            try:
                patience = 0.0
                while True:
                    for signum in self.inbox.take(patience):
                        self._heed(signum)
                    now = self._turned = time.monotonic()
                    self._look(now)
                    if self.crew.end is not None:
                        return self._give_up(self.crew.end)
                    if self.crew.gone and (self.crew.stopping or (self.plan.finite and not self.crew.wanted)):
                        return self.crew.worst
                    patience = self._patience()
            finally:
                self._abandon()
                self.errands.close(vain=self.crew.end is not None and self.crew.end.code == NO_BROKER)

    def code_has_changed(self) -> None:
        """Have the children replaced. From any thread."""
        self._code_changed = True
        self.inbox.wake()

    # What others want to know, from any thread.

    def alive(self) -> Health:
        """Whether this loop turns, and somebody works or nobody need."""
        turned = time.monotonic() - self._turned
        children = list(self.crew.children)
        silent = [child.pid for child in children if child.silence > self.plan.asked_after]
        ok = turned < 5 * PACE and (bool(children) or not self.crew.wanted) and len(silent) < max(1, len(children))
        facts = {"processes": len(children), "wanted": self.crew.wanted, "silent": silent, "loop_turned": turned}
        return Health(ok and not self._deaf, facts)

    def ready(self) -> Health:
        """Whether some child takes jobs."""
        serving = sum(child.serves for child in list(self.crew.children))
        ok = (serving > 0 or not self.crew.wanted) and not self.crew.resting and not self._deaf
        return Health(ok, {"serving": serving, "wanted": self.crew.wanted, "resting": self.crew.resting})

    @property
    def _deaf(self) -> bool:
        """Whether the broker has answered nobody for too long."""
        now = time.monotonic()
        silences = [child.shared.figures.silence for child in list(self.crew.children) if child.was_ready]
        return bool(silences) and min([*silences, now - self.errands.answered]) > self.deaf_after

    # The loop.

    def _patience(self) -> float:
        crew, now = self.crew, time.monotonic()
        if crew.busy or crew.stopping:
            return BRISK
        waits = [PACE, self.outside.pace, self.plan.asked_after / 4]
        if starts_in := crew.starts_in(now):
            waits.append(starts_in)
        if self.scaler is not None:
            waits.append(self.scaler.due_in(now))
        return min(waits)

    def _look(self, now: float) -> None:
        self._wishes()
        if self._code_changed:
            self._code_changed = False
            self._restart("code has changed")
        if self.scaler is not None and not self.crew.stopping and not self.crew.resting:
            self.crew.wanted = self.scaler.round(self.crew.children, now)
        self.crew.tend(now)
        serving = sum(child.serves for child in self.crew.children)
        if not self.crew.stopping and serving >= self.crew.wanted:
            self._renewing = self._renewing and any(child.reason for child in self.crew.children if child.remains)
            if not self._renewing:  # else some are still to be replaced
                self.outside.manager.ready()
        if self.alive().ok:
            self.outside.well(now)

    def _heed(self, signum: Signals) -> None:
        match signum:
            case Signals.SIGTERM | Signals.SIGINT:
                self._stop(hurry=self.crew.stopping)
            case Signals.SIGQUIT:
                self._stop(hurry=True)
            case Signals.SIGHUP if self._terminal:
                self._stop(hurry=False)
            case Signals.SIGHUP:
                self._restart("SIGHUP")
            case Signals.SIGTSTP if self._terminal:
                self._suspend()
            case Signals.SIGTSTP | Signals.SIGCONT:
                self._rest(signum is Signals.SIGTSTP)
            case Signals.SIGTTIN | Signals.SIGUSR1:
                self.crew.tell_stacks()
            case _:
                pass  # a child has ended: the loop looks anyway

    def _stop(self, *, hurry: bool) -> None:
        if not self.crew.stopping:
            logger.info("workers_stopping", extra={"processes": len(self.crew.children)})
            self.outside.manager.stopping()
            self.crew.stop(time.monotonic())
        if hurry:
            self.crew.hurry()

    def _rest(self, resting: bool) -> None:
        if resting is not self.crew.resting and not self.crew.stopping:
            logger.info("workers_rest", extra={"resting": resting})
            self.crew.rest(resting)

    def _suspend(self) -> None:
        """On a terminal: stop the children as well, which it does not reach, until we are continued."""
        children = [child.pid for child in self.crew.children]
        _send(children, signal.SIGSTOP)
        suspend()
        _send(children, signal.SIGCONT)

    def _restart(self, reason: str) -> None:
        if self.crew.stopping:
            return
        logger.info("workers_renewed", extra={"reason": reason})
        self.outside.manager.reloading()
        self._renewing = True
        self.crew.replace_all(reason)

    def _wishes(self) -> None:
        """What the register wishes of us all, as the children tell; each moment's wish once."""
        told = [child.shared.asked() for child in self.crew.children]
        latest = Asked(*map(max, zip(self._heeded, *told, strict=True)))
        before, self._heeded = self._heeded, latest
        if latest.shutdown > before.shutdown:
            self._stop(hurry=False)
        elif latest.restart > before.restart:
            self._restart("it was asked for")

    def _give_up(self, end: End) -> int:
        said = {"exit_code": end.code, "reason": end.reason, "remedy": "see their last lines above"}
        logger.critical("workers_keep_dying", extra=said)
        return end.code

    def _abandon(self) -> None:
        """We end, whatever the reason: so do they."""
        self.crew.stopping = True
        for child in self.crew.children:
            child.kill()
        for child in self.crew.children:
            child.process.wait()
        self.crew.tend(time.monotonic())
        while not self.crew.gone:
            time.sleep(BRISK)
            self.crew.tend(time.monotonic())


def _send(pids: list[int], signum: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue
