"""What must have become of every job, worked out from what the broker was told and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskforge.brokers.moments import moment, span
from taskforge.brokers.protocol import CLOCK_JUMP, CLOCK_NOISE
from taskforge.job import JobRecord, JobState, NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.testing.simulation.scheduler import Violation

WAITING = frozenset({JobState.READY, JobState.DELAYED})
_JUMP, _NOISE = span(CLOCK_JUMP), span(CLOCK_NOISE)
#: Nothing is taken back after a jump for a quarter of a lease and this (milliseconds).
_HOLD_EXTRA = 5_000


@dataclass
class Entry:
    """One job. Times are the broker's milliseconds."""

    id: str
    queue: str
    name: str
    state: JobState
    due: int | None = None
    #: While running: the delivery that holds it, and until when at least.
    number: int = 0
    lease: int = 0
    #: Claimed beyond the free slots, and its lease never extended since; and whether it was ever lost like that.
    ahead: bool = False
    lost_ahead: bool = False
    stop: bool = False
    keep_cancelled: int = 0
    retrying: bool = False
    attempts: int = 0
    crashes: int = 0
    kept_until: int | None = None
    #: Its record has aged out once: even if the clock was set back since, nobody may rely on it.
    gone: bool = False
    #: Every delivery so far, in order; those that ended by a settlement; and those whose lease ran out.
    deliveries: list[int] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    lapsed: set[int] = field(default_factory=set)

    def delivery(self, number: int) -> str:
        """How a delivery is called in a trace."""
        ordinal = self.deliveries.index(number) + 1 if number in self.deliveries else "?"
        return f"{self.name} (delivery {ordinal})"

    def end(self, state: JobState, now: int, keep: int) -> None:
        """It has ended, and is known for so long."""
        self.state, self.kept_until, self.gone = state, now + keep, keep <= 0
        self.due, self.stop, self.retrying = None, False, False

    def start_anew(self) -> None:
        """It is to run again, as if it had never run."""
        self.state, self.kept_until, self.gone = JobState.READY, None, False
        self.attempts = self.crashes = 0
        self.lost_ahead = False


@dataclass
class QueueTime:
    """What a queue makes of the time. `seen` are the moments one of which it saw last."""

    seen: set[int] = field(default_factory=set)
    hold: int = 0


class Ledger:
    """All jobs that were ever accepted, and how each of the broker's verbs moves them."""

    def __init__(self, lease: int, keep_expired: int) -> None:
        self.lease, self.keep_expired = lease, keep_expired
        self.jobs: dict[str, Entry] = {}
        self.names: dict[str, str] = {}
        self._times: dict[str, QueueTime] = {}

    def name(self, job_id: str) -> str:
        """What a trace calls this job."""
        return self.names.setdefault(job_id, f"job {len(self.names) + 1}")

    def spelled(self, text: str) -> str:
        """The text with names for ids."""
        for job_id, name in self.names.items():
            text = text.replace(job_id, name)
        return text

    def entry(self, job_id: str) -> Entry:
        """A job that was accepted."""
        entry = self.jobs.get(job_id)
        if entry is None:
            raise Violation(f"the broker speaks of {self.name(job_id)}, which nobody enqueued")
        return entry

    def touch(self, queue: str, now: int, *, certain: bool = True) -> None:
        """The queue takes notice of the time: after a jump, nothing is taken back for a while.

        Brokers differ in whether some calls touch a queue. Those are not `certain`, and a jump is only one if it is
        one either way.
        """
        for entry in self.jobs.values():
            if entry.queue == queue and entry.kept_until is not None and entry.kept_until <= now:
                entry.gone = True
        time = self._times.setdefault(queue, QueueTime())
        seen, time.seen = time.seen, {now} if certain else time.seen | {now}
        time.seen |= {moment for moment in seen if now < moment <= now + _NOISE}  # it may not have been noticed
        if now < max(seen, default=now):
            for entry in self.jobs.values():
                if entry.queue == queue:
                    entry.lease = min(entry.lease, now + self.lease)
        calm = [moment - _NOISE <= now <= moment + _JUMP for moment in seen]
        if not all(calm):
            hold = now + self.lease // 4 + _HOLD_EXTRA
            time.hold = hold if certain and not any(calm) else min(hold, time.hold)

    def accept(self, job: NewJob, now: int) -> None:
        """A new job."""
        entry = self.jobs.get(job.id)
        if entry is not None:
            raise Violation(f"{entry.name} was accepted a second time; it was {entry.state} before")
        due = None
        if job.delay is not None:
            due = now + span(job.delay)
        state = JobState.READY if due is None or due <= now else JobState.DELAYED
        self.jobs[job.id] = Entry(job.id, job.queue, self.name(job.id), state, due)

    def settle(self, settlement: Settlement, refused: bool, now: int) -> Entry | None:
        """One settlement that the broker accepted, or refused; the job if it changed."""
        delivery = settlement.delivery
        entry = self.entry(delivery.id)
        holds = entry.state is JobState.RUNNING and entry.number == delivery.number
        what = f"the settlement of {entry.delivery(delivery.number)}"
        if refused:
            if holds:
                raise Violation(f"{what} was refused, though it holds the job")
            return None
        if not holds:
            state = f"it is {entry.state}"
            if entry.state is JobState.RUNNING:
                state = f"the job is held by {entry.delivery(entry.number)}"
            raise Violation(f"{what} was accepted, though {state}")
        entry.settled.add(delivery.number)
        entry.attempts += getattr(settlement, "counts", False)
        entry.crashes += getattr(settlement, "crashed", False)
        match settlement:
            case Ack(result=None, keep=keep) | Ack(keep_result=keep):
                entry.end(JobState.SUCCEEDED, now, span(keep))
            case Bury(keep=keep):
                entry.end(JobState.DEAD, now, span(keep))
            case Requeue(delay=delay, counts=counts) if not entry.stop:
                later = 0 if delay is None else span(delay)
                entry.due = now + later if later > 0 else None
                entry.retrying = counts and later > 0
                entry.state = JobState.DELAYED if later > 0 else JobState.READY
            case Cancel(keep=keep) | Requeue(keep=keep):
                entry.end(JobState.CANCELLED, now, span(keep))
        return entry

    def due(self, queue: str, now: int) -> list[Entry]:
        """The delayed jobs of a queue whose time has come."""
        mine = (entry for entry in self.jobs.values() if entry.queue == queue)
        return [each for each in mine if each.state is JobState.DELAYED and each.due is not None and each.due <= now]

    def lapsing(self, queue: str, now: int) -> list[Entry]:
        """The running jobs of a queue whose leases have run out, and which may be taken back."""
        if now < self._times.get(queue, QueueTime()).hold:
            return []
        mine = (entry for entry in self.jobs.values() if entry.queue == queue)
        return [each for each in mine if each.state is JobState.RUNNING and each.lease <= now]

    def promote(self, entry: Entry) -> None:
        """A delayed job is due."""
        entry.state, entry.due, entry.retrying = JobState.READY, None, False

    def reclaim(self, entry: Entry, now: int) -> None:
        """Its lease ran out: back to its place, with a crash counted if it may have begun."""
        entry.lapsed.add(entry.number)
        entry.crashes += not entry.ahead
        entry.lost_ahead = entry.lost_ahead or entry.ahead
        if entry.stop:
            entry.end(JobState.CANCELLED, now, entry.keep_cancelled)
        else:
            entry.state = JobState.READY

    def release(self, entry: Entry, started: bool, now: int) -> None:
        """Its worker has died: back to its place at once, with a crash counted if its run had begun."""
        entry.crashes += started
        if entry.stop:
            entry.end(JobState.CANCELLED, now, entry.keep_cancelled)
        else:
            entry.state = JobState.READY

    def claim(self, entry: Entry, number: int, now: int, ahead: bool) -> None:
        """A worker has it now."""
        if entry.state is not JobState.READY:
            raise Violation(f"{entry.name} was handed out though it is {entry.state}")
        if entry.deliveries and number <= entry.deliveries[-1]:
            raise Violation(f"a delivery of {entry.name} has no higher number than the one before")
        if ahead and (entry.lost_ahead or entry.crashes):
            raise Violation(f"{entry.name} was claimed ahead, though it was lost before")
        entry.deliveries.append(number)
        entry.state, entry.number, entry.lease, entry.ahead = JobState.RUNNING, number, now + self.lease, ahead

    def holds(self, entry: Entry, number: int) -> bool:
        """Whether this delivery holds the job, as far as the broker has done what time asks of it."""
        return entry.state is JobState.RUNNING and entry.number == number

    def compare(self, entry: Entry, record: JobRecord | None, now: int) -> None:
        """Raise a Violation unless the broker's record says what it must."""
        if record is None:
            if not entry.gone and (entry.kept_until is None or entry.kept_until > now):
                raise Violation(f"{entry.name} is lost: it must be {entry.state}, and the broker does not know it")
            return
        pairs = {
            "state": (record.state, entry.state),
            "attempts": (record.attempts, entry.attempts),
            "crashes": (record.crashes, entry.crashes),
            "request to stop": (record.stop_requested, entry.stop),
            "due time": (None if record.due_at is None else moment(record.due_at), entry.due),
        }
        for what, (found, must) in pairs.items():
            if found != must:
                raise Violation(f"{entry.name}: its {what} must be {must}, and the broker says {found}")
