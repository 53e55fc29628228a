"""Scaler: how many children are wanted, by what waits and what they have done of late."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from taskforge.measuring import load_of
from taskforge.scaling import ROUND, Course, Goal, steer
from taskforge.worker.parent.child import Child
from taskforge.worker.parent.errands import Errands

logger = logging.getLogger("taskforge.worker")


class Scaler:
    """Asks the policy once a round. `places` is how many jobs of what is served a child can run at once."""

    def __init__(self, goal: Goal, processes: int, places: float, errands: Errands) -> None:
        self.goal, self._places, self._errands = goal, places, errands
        self._course = Course(goal.within(processes))
        self._next = 0.0
        self._measured: float | None = None
        self._seen: dict[int, tuple[int, float]] = {}
        self._per_job: float | None = None

    @property
    def wanted(self) -> int:
        """What the last round said."""
        return self._course.wanted

    def due_in(self, now: float) -> float:
        """Seconds until the next round."""
        return max(0.0, self._next - now)

    def round(self, children: Sequence[Child], now: float) -> int:
        """Asks for numbers when it is time, and decides once they have come; how many are wanted."""
        if now >= self._next:
            self._next = now + ROUND
            self._errands.ask_pressure(self.goal)
        pressure, self._errands.pressure = self._errands.pressure, None
        if pressure is None:
            return self.wanted
        serving = [child for child in children if child.serves]
        load = load_of(
            pressure,
            busy=sum(child.shared.figures.busy for child in serving),
            processes=len(serving),
            places=self._places,
            throughput=self._throughput(serving, now),
            per_job=self._per_job,
        )
        before, self._course = self.wanted, steer(self.goal, self._course, load)
        if before != self.wanted:
            said = {"wanted": self.wanted, "before": before, "ready": load.ready, "soon": load.soon, "busy": load.busy}
            logger.info("workers_scaled", extra=said)
        return self.wanted

    def _throughput(self, serving: Sequence[Child], now: float) -> float:
        """Jobs a second since the last round; on the way, how long one took."""
        done, seconds = 0, 0.0
        seen: dict[int, tuple[int, float]] = {}
        for child in serving:
            figures = child.shared.figures
            done_before, seconds_before = self._seen.get(child.pid, (0, 0.0))
            done, seconds = done + figures.done - done_before, seconds + figures.seconds - seconds_before
            seen[child.pid] = (figures.done, figures.seconds)
        elapsed = now - self._measured if self._measured is not None else ROUND
        self._seen, self._measured = seen, now
        if done:
            self._per_job = seconds / done
        return done / elapsed if elapsed > 0 else 0.0
