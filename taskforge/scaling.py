"""How many worker processes a load asks for: numbers in, a number out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

#: The policy is asked this often (seconds); `CALM` counts in such rounds.
ROUND = 5.0
#: A ready job that has waited for as long as this (seconds) has found no free slot, for idle workers look every two;
#: and the processes have had enough to do since the last round.
STUCK = ROUND
#: After so long (seconds) with jobs waiting, what the processes do is all that they can do.
SETTLED = 10.0
#: Processes are taken away only while the others would be busy to this part at most. What is added at a full load and
#: taken away below this does not flap between the two.
ROOM = 0.7
#: Rounds in a row that must have needed fewer processes before some are taken away: a minute.
CALM = 12
#: Rounds to wait for processes that were asked for and are not there yet, before more are asked for.
HOLD = 6
#: Of many jobs that were enqueued at once, the last have waited for long just before all are done: too late to help. So
#: where what waits takes no longer than this part of the drain time, the oldest job may have waited so many times it.
#: If it has waited longer still, others are always before it.
NEARLY, PATIENT = 3, 4
#: How much a new measurement of what one process can do counts against those before it.
WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: jobs that wait are to be done within `drain` seconds, by `minimum` to `maximum` processes."""

    minimum: int = 0
    maximum: int = 1_000
    drain: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0 <= self.minimum <= self.maximum or self.maximum < 1:
            raise ValueError(
                f"from {self.minimum} to {self.maximum} processes is no range: it takes 0 <= MIN <= MAX >= 1"
            )
        if not 0 < self.drain < math.inf:
            raise ValueError(f"the drain time is a number of seconds above 0, not {self.drain}")

    def within(self, count: float) -> int:
        """The nearest number of processes that is allowed."""
        return int(min(max(count, self.minimum), self.maximum))


@dataclass(frozen=True, slots=True)
class Load:
    """What waits and who works at one moment, in one queue or in all that the same processes serve.

    `ready` jobs could run now, `soon` are the delayed ones that fall due within the goal's drain time (and, once there
    are schedules, their occurrences until then). `oldest` is how long (seconds) the longest waiting ready job has been
    ready. `processes` work, and neither start nor drain; each has `places` for jobs of this kind, and `busy` jobs run
    in them. `throughput` is how many jobs a second they have ended of late, all together; `per_job` how long (seconds)
    one took. None: not known.
    """

    ready: int = 0
    soon: int = 0
    oldest: float | None = None
    busy: int = 0
    processes: int = 0
    places: float = 1.0
    throughput: float = 0.0
    per_job: float | None = None

    @property
    def stuck(self) -> bool:
        """Whether ready jobs find no slot, whatever the figures say of free ones."""
        return self.ready > 0 and (self.oldest or 0.0) >= STUCK

    @property
    def usable(self) -> float:
        """Places of one process that jobs of this kind can have: what is busy, while others find no slot."""
        places = max(1.0, self.places)
        return min(places, max(1.0, self.busy / self.processes)) if self.stuck and self.processes else places

    @property
    def backlog(self) -> int:
        """Jobs that wait, or will soon."""
        return self.ready + self.soon

    @property
    def each(self) -> float | None:
        """Jobs a second that one process can end: as measured once it has had enough to do, before that what its slots
        should do.
        """
        measured = self.throughput / self.processes if self.processes else 0.0
        if (self.oldest or 0.0) >= SETTLED:
            return measured or None
        return max(measured, self.usable / self.per_job) if self.per_job else None


def drain_time(load: Load) -> float | None:
    """How long (seconds) the processes will take for what waits; None where it cannot be told."""
    each = load.each
    if not load.backlog:
        return 0.0
    return load.backlog / (each * load.processes) if each and load.processes else None


def needed(goal: Goal, load: Load, each: float | None = None) -> int:
    """How many processes this load needs, seen by itself. `each`: what one can end a second, if that is known better.

    More than there are: when what waits would take longer than the goal's drain time, or a job has already waited that
    long (longer, where all is nearly done); never more than would have all their places filled, so few slow jobs ask
    for few processes. Fewer: when the rest would still have room. At least one for any job that is ready, or soon will
    be.
    """
    processes, each = load.processes, each or load.each
    enough = min(processes, math.ceil(load.busy / (ROOM * load.usable)))
    if load.backlog:
        filled = math.ceil((load.busy + load.backlog) / load.usable)
        in_time = math.ceil(load.backlog / (goal.drain * each)) if each else processes
        nearly_done = each is not None and load.backlog <= each * processes * goal.drain / NEARLY
        overdue = load.ready > 0 and (load.oldest or 0.0) > goal.drain * (PATIENT if nearly_done else 1)
        enough = max(enough, min(filled, max(in_time, processes + 1 if overdue else 0)))
    if load.backlog or load.busy:
        enough = max(enough, 1)
    return goal.within(enough)


@dataclass(frozen=True, slots=True)
class Course:
    """Where the scaling stands after a round: the `wanted` processes, and what the rounds before have shown.

    `each`: jobs a second of one process that has all it can do. `calm`: rounds in a row that needed fewer, of which the
    neediest needed `peak`. `held`: rounds spent on waiting for processes to come.
    """

    wanted: int
    each: float | None = None
    calm: int = 0
    peak: int = 0
    held: int = 0


def steer(goal: Goal, course: Course, load: Load) -> Course:
    """One round, every ROUND seconds, with the throughput since the last one: what is wanted now.

    It grows at once, but no more than to twice what there is, and not before those asked for last are there. It shrinks
    after CALM rounds that all needed fewer, to what the neediest of them needed, by half at most.
    """
    each = _learned(course.each, load)
    need, wanted = needed(goal, load, each), goal.within(course.wanted)
    if need > wanted:
        if load.processes < wanted and course.held < HOLD:
            return Course(wanted, each, held=course.held + 1)
        return Course(min(need, max(1, 2 * wanted)), each)
    if need == wanted:
        return Course(wanted, each)
    calm, peak = course.calm + 1, max(course.peak, need)
    if calm < CALM:
        return Course(wanted, each, calm, peak)
    return Course(max(peak, wanted // 2), each)


def _learned(known: float | None, load: Load) -> float | None:
    """What one process can do. They have shown it if a job has waited for as long as a round."""
    measured = load.throughput / load.processes if load.processes else 0.0
    if load.stuck and load.processes:
        return measured or None if known is None else (1 - WEIGHT) * known + WEIGHT * measured
    return None if known is None else max(known, measured)


def parse_range(text: str) -> tuple[int, int]:
    """`1..8` as (1, 8). Raises ValueError saying what is wrong."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*\.\.\s*(\d{1,6})\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is no range of processes: write MIN..MAX, as in 1..8")
    low, high = int(match[1]), int(match[2])
    Goal(low, high)
    return low, high
