"""Plan: what a parent was told to keep running, and its patience with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from taskforge.scaling import Goal
from taskforge.settings import Settings

#: A child may take so long (seconds) from its start until it takes jobs; longer, and its import never ends.
START_WITHIN = 60.0
#: Beyond the children's own grace, before they are killed (seconds).
MARGIN = 15.0
#: A child that was silent for so long (seconds) is asked for its stacks, unless it must be killed sooner.
SILENT = 5.0
#: It is killed so long (seconds) before the leases of its jobs run out; of a short lease, after this part of it; and
#: no sooner than this (seconds): leases that are shorter are for tests.
BEFORE_LEASE, OF_LEASE, SOONEST = 10.0, 0.75, 2.0
#: A child that lives shorter than this (seconds), or never takes jobs, died at start: the next one waits, twice as long
#: each time.
YOUNG = 5.0
FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
#: After so many deaths at start in a row, for each process, the parent gives up and says so.
GIVE_UP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`command` starts a child, `processes` is how many; with `autoscale` only at first. `cells` is how many jobs a
    child can run at once, `queues` what it serves.

    A child is replaced after `jobs_per_child` jobs, or beyond `memory_per_child` bytes. `max_jobs` is shared out among
    the children. With `finite` a child that ends in order is not replaced: it has done what it was started for.
    """

    command: Sequence[str]
    processes: int
    settings: Settings
    cells: int
    queues: Sequence[str] = ()
    places: float = 1.0
    autoscale: Goal | None = None
    jobs_per_child: int | None = None
    memory_per_child: int | None = None
    max_jobs: int | None = None
    finite: bool = False
    #: Whether children that are replaced because code has changed are hurried.
    reload: bool = False
    start_within: float = START_WITHIN
    margin: float = MARGIN
    first_wait: float = FIRST_WAIT
    young: float = YOUNG
    environ: dict[str, str] | None = field(default=None, repr=False)

    @property
    def patience(self) -> float:
        """How long (seconds) a child may take to end once it was told to."""
        settings = self.settings
        return settings.grace.total_seconds() + settings.stop_grace.total_seconds() + self.margin

    @property
    def killed_after(self) -> float:
        """How long (seconds) a child may be silent: its jobs must not be given to others while it may still run."""
        lease = self.settings.lease.total_seconds()
        return max(SOONEST, lease - BEFORE_LEASE, lease * OF_LEASE if lease < 4 * BEFORE_LEASE else 0.0)

    @property
    def asked_after(self) -> float:
        """How long (seconds) a child may be silent before it is asked for its stacks."""
        return min(SILENT, self.killed_after / 2)

    def again_in(self, failures: int) -> float:
        """How long (seconds) to wait after so many deaths at start in a row."""
        return min(LONGEST_WAIT, self.first_wait * 2.0 ** (failures - 1)) if failures else 0.0

    def shares(self) -> list[int]:
        """How many jobs each child may run, so that they are `max_jobs` altogether; none without that bound."""
        if self.max_jobs is None:
            return []
        count = min(self.processes, self.max_jobs)
        return [self.max_jobs // count + (1 if at < self.max_jobs % count else 0) for at in range(count)]
