"""Crew: the children of a parent; who is started, replaced, watched over, and buried."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taskforge.worker.notifying import VARIABLES
from taskforge.worker.orders import Order
from taskforge.worker.parent.burials import Burials, told
from taskforge.worker.parent.child import Child, Stage
from taskforge.worker.parent.errands import Death
from taskforge.worker.parent.plan import GIVE_UP, Plan
from taskforge.worker.shared import ChildState

logger = logging.getLogger("taskforge.worker")

#: Exit codes with which a child says that it, or any like it, cannot start: wrong usage; the broker is not there.
USAGE, NO_BROKER = 2, 3
#: A broker that has served us may refuse for so long (seconds), as while it changes its master, before that is the end.
MISSED = 60.0
#: The most jobs that a line of the log names.
NAMED = 20


@dataclass(frozen=True, slots=True)
class End:
    """Why no child can be kept alive: the exit code of the parent, and the reason."""

    code: int
    reason: str


class Crew:
    """`release` gives back what a dead child held. All in one thread."""

    def __init__(self, plan: Plan, release: Callable[[Death], None], *, adopts: bool = False) -> None:
        self.plan = plan
        self.children: list[Child] = []
        self._burials = Burials(release, adopts=adopts)
        self.wanted = plan.processes
        self._shares = plan.shares()
        if plan.max_jobs is not None:
            self.wanted = len(self._shares)
        self.stopping = self.resting = False
        #: Rounds in a row in which children ended that never took jobs; and those that had, but died young.
        self.failures = self._crashes = 0
        self._failed_at = float("-inf")
        self._start_at = 0.0
        self._ever_ready, self._served_at = False, float("-inf")
        #: 1 once a child has ended in disorder; when told to stop, while stopping.
        self.worst = 0
        #: How many were killed for their silence.
        self.silenced = 0
        #: Set when there is no going on.
        self.end: End | None = None

    def tend(self, now: float) -> None:
        """One look at everybody, at this moment (monotonic seconds)."""
        self._collect(now)
        self._burials.tend([child.pid for child in self.children])
        for child in self.children:
            child.look(now)
            self._watch(child, now)
            if child.serves:
                self._served_at = now
        if self.stopping or self.end:
            return
        self._relieve(now)
        self._fill(now)

    # What the parent is asked for.

    def replace_all(self, reason: str) -> None:
        """Have each child replaced, one after the other, by one that takes jobs already."""
        for child in self.children:
            child.doom(reason)
        self._start_at = 0.0

    def rest(self, resting: bool) -> None:
        """Have the children take nothing new, or take jobs again."""
        self.resting = resting
        for child in self.children:
            if child.remains:
                child.ask(Order.QUIET if resting else Order.RESUME)

    def stop(self, now: float) -> None:
        """Have everybody end. Who has not begun yet holds nothing, and is not waited for."""
        self.stopping, self.worst = True, 0
        for child in self.children:
            child.leave(now, self.plan.patience)
            if not child.has_begun:
                child.kill()

    def hurry(self) -> None:
        """Have those that end hand back at once what they run."""
        for child in self.children:
            child.ask(Order.HURRY)

    def tell_stacks(self) -> None:
        """Have everybody log its stacks."""
        for child in self.children:
            said = {"pid": child.pid, "state": child.state.name.lower(), "jobs": _named(child)}
            logger.info("worker_process", extra=said)
            child.ask(Order.STACKS)

    @property
    def gone(self) -> bool:
        """Whether nobody is left."""
        return not self.children and not self._burials.due

    @property
    def busy(self) -> bool:
        """Whether somebody is on the way, so that the next look should be soon."""
        return self._burials.due or any(not child.was_ready or child.stage is Stage.QUIET for child in self.children)

    def starts_in(self, now: float) -> float:
        """Seconds until the next child may be started."""
        return max(0.0, self._start_at - now)

    # The steps of a look.

    def _collect(self, now: float) -> None:
        for child in list(self.children):
            code = child.process.poll()
            if code is not None:
                self.children.remove(child)
                self._burials.add(child, code, now - child.started)
                self._greet(child)
                self._count(child, code, now)

    def _count(self, child: Child, code: int, now: float) -> None:
        """A child has ended: what that means for those that follow."""
        lived, expected = now - child.started, self.stopping or not child.remains
        left = 0 if child.share is None else child.share - child.shared.figures.done
        if code == 0 and child.was_ready and (expected or self.plan.finite):
            if left > 0 and expected:
                self._shares.append(left)
            elif not expected or child.share is not None:
                self.wanted = max(0, self.wanted - 1)
            return
        jobs = _named(child) if code else None
        if child.share is not None:
            self._shares.append(max(1, left))
        if expected:
            blameless = child.killed and not child.was_ready
            self.worst = max(self.worst, int(code != 0 and not blameless and self.stopping))
            again = 0.0
        else:
            self.worst = max(self.worst, int(code != 0))
            again = self._failed(child, code, lived, now)
        level = logging.WARNING if expected else logging.ERROR
        said = {"pid": child.pid, "exit_code": code, "how": told(code), "lived": lived, "again_in": again, "jobs": jobs}
        logger.log(level, "worker_process_ended", extra=said)

    def _failed(self, child: Child, code: int, lived: float, now: float) -> float:
        """Seconds until the next start. Children that were started together and died together have failed once.

        One that has taken jobs is missed: its successor waits little, and only if the one before has died young, too.
        """
        young = lived < self.plan.young
        if child.started >= self._failed_at and not (child.was_ready and not young):
            self._failed_at = now
            if child.was_ready:
                self._crashes += 1
                wait = self.plan.first_wait if self._crashes > 1 else 0.0
            else:
                self.failures += 1
                wait = self.plan.again_in(self.failures)
            self._start_at = max(self._start_at, now + wait)
        elif child.was_ready and not young:
            self._crashes = 0
        # Without a broker those that wait for it, or end for want of it, are no hope.
        if not any(other.serves if code == NO_BROKER else other.was_ready for other in self.children):
            self._despair(child, code)
        return self.starts_in(now)

    def _despair(self, child: Child, code: int) -> None:
        """Nobody serves. Is there hope?"""
        if self.plan.reload:
            return  # who edits the code will mend it
        if code == NO_BROKER and not child.was_ready and time.monotonic() - self._served_at < MISSED:
            return  # the broker was there just now: it changes its master, perhaps
        if code == NO_BROKER:
            self.end = End(NO_BROKER, "the broker cannot be reached")
        elif not child.was_ready and code == USAGE and not self._ever_ready:
            self.end = End(USAGE, "they cannot start like this: see their last lines above")
        elif self.failures >= GIVE_UP:
            self.end = End(1, f"the last one {told(code)}: see its last lines above")

    def _watch(self, child: Child, now: float) -> None:
        """One child: is it there, does it live, has it had its time?"""
        self._greet(child)
        if not child.was_ready and not child.killed:
            if child.state is ChildState.WAITING:
                child.due = now + self.plan.start_within
            elif now > child.due:
                said = {"pid": child.pid, "after": self.plan.start_within, "remedy": "does importing the app end?"}
                logger.error("worker_process_not_ready", extra=said)
                child.kill()
        if now > child.deadline and not child.killed:
            logger.critical("workers_killed", extra={"pids": [child.pid], "jobs": _named(child)})
            child.kill()
        if child.was_ready and not child.killed:
            self._listen(child)
            self._recycle(child)
        if child.was_ready and now - child.started > self.plan.young and child.started >= self._failed_at:
            self._crashes = 0

    def _greet(self, child: Child) -> None:
        """Take note that it takes jobs, or did."""
        if child.was_ready or not child.has_begun:
            return
        child.was_ready, self.failures = True, 0
        limit = self.plan.memory_per_child
        if limit is not None and not self._ever_ready and (needs := child.rss()) >= limit:
            what = f"{limit >> 20} MiB a child are less than an idle one needs, {needs >> 20} MiB"
            self.end = End(USAGE, f"{what}: raise --max-memory-per-child")
        self._ever_ready = True
        if self.resting:
            child.ask(Order.QUIET)

    def _listen(self, child: Child) -> None:
        """A child that is silent is asked for its stacks, and killed before others are given its jobs."""
        if child.silence > self.plan.killed_after:
            self.silenced += 1
            said = {"pid": child.pid, "silent_for": child.silence, "jobs": _named(child)}
            logger.critical("worker_process_killed", extra=said)
            child.kill()
        elif child.silence > self.plan.asked_after and not child.stacks_asked:
            said = {"pid": child.pid, "silent_for": child.silence, "jobs": _named(child)}
            logger.error("worker_process_silent", extra=said)
            child.tell_stacks()

    def _recycle(self, child: Child) -> None:
        """A child that has had its time is replaced, where there is no hurry."""
        if child.stage is not Stage.STANDING:
            return
        jobs, memory, figures = self.plan.jobs_per_child, self.plan.memory_per_child, child.shared.figures
        if child.state is ChildState.REPLACE_ME:
            child.doom("a run overstays")
        elif jobs is not None and figures.done >= jobs:
            child.doom("jobs")
        elif memory is not None and figures.done and (rss := child.rss()) >= memory:
            child.doom("memory")
            logger.info("worker_process_too_large", extra={"pid": child.pid, "rss": rss, "limit": memory})

    def _relieve(self, now: float) -> None:
        """Send off who is not needed any more: first those that have their successors, then the idlest."""
        serving = [child for child in self.children if child.serves]
        order = sorted(serving, key=lambda each: (each.stage is not Stage.DOOMED, each.shared.figures.held))
        spare = max(0, len(serving) - self.wanted)
        if self.plan.max_jobs is not None:  # its successor gets what it leaves of its share
            spare = sum(child.stage is Stage.DOOMED for child in serving)
        for child in order[:spare]:
            logger.info("worker_process_relieved", extra={"pid": child.pid, "reason": child.reason or "scaling"})
            child.rest(now)
        for child in self.children:
            overstays = child.state is ChildState.REPLACE_ME and child.remains
            replaced = len(serving) >= self.wanted or self.plan.max_jobs is not None
            hurried = child.stage is Stage.QUIET and self.plan.reload
            if (overstays and replaced) or hurried or (child.stage is Stage.QUIET and child.empty):
                child.leave(now, self.plan.patience)

    def _fill(self, now: float) -> None:
        """Start who is missing, and successors: one at a time, for memory's sake."""
        standing = [child for child in self.children if child.remains and child.state is not ChildState.REPLACE_ME]
        doomed = sum(child.stage is Stage.DOOMED for child in standing)
        missing = self.wanted + (doomed if self.plan.reload else min(1, doomed)) - len(standing)
        if now < self._start_at:
            return
        for _ in range(missing):
            share = self._shares.pop() if self._shares else None
            if share is None and self.plan.max_jobs is not None:
                return
            try:
                child = Child(self.plan.command, self.plan.cells, self._environ(), share)
            except OSError as error:  # no descriptor, no process, no memory left: later, perhaps
                logger.error("worker_process_not_started", extra={"error": str(error)})
                self.failures += 1
                self._start_at = now + self.plan.again_in(self.failures)
                return
            child.due = child.started + self.plan.start_within
            self.children.append(child)

    def _environ(self) -> Mapping[str, str]:
        environ = os.environ if self.plan.environ is None else self.plan.environ
        return {name: value for name, value in environ.items() if name not in VARIABLES}


def _named(child: Child) -> str | None:
    jobs = [holding.id for holding in child.jobs()]
    more = f" and {len(jobs) - NAMED} more" if len(jobs) > NAMED else ""
    return " ".join(jobs[:NAMED]) + more or None
