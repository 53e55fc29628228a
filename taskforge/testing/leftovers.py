"""What jobs leave in the broker when every one of them has ended and aged out: it should be next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from taskforge.app import Taskforge
from taskforge.brokers.protocol import BATCH, SENDER_AGE, Demand
from taskforge.brokers.stamp import Sender
from taskforge.job import Counts, JobState
from taskforge.testing.clock import FakeClock
from taskforge.testing.storage import Storage

#: Longer than the record of any job may be kept.
AGE = timedelta(days=11 * 366)
#: A step of time that the broker takes for time passing, not for a jump of the clock.
STEP = timedelta(seconds=9)
#: So many leases may pass before a job that was claimed and never settled counts as left over.
LEASES = 4
NO_TIME = timedelta(0)


class LeftOver(AssertionError):
    """A test has left in the broker what would pile up in production."""


def check_leftovers(app: Taskforge, clock: FakeClock, storage: Storage, queues: Sequence[str]) -> None:
    """End and age out every job in these queues, without running any; raise LeftOver for what stays."""
    made_up = sorted(set(queues) - set(app.queue_names()))
    if made_up:
        raise LeftOver(
            f"jobs went to {', '.join(map(repr, made_up))}, which no task, declaration or route of {app!r} names. "
            "Each queue keeps a few keys for ever, so their names must be few: declare them, as in "
            f"app.queue({made_up[0]!r}), or send the jobs of many customers to one queue"
        )
    app.client.watch.close()
    sender = Sender()
    _end_all(app, clock, queues, sender)
    _age(app, clock, storage, queues)
    counts = {queue: app.inspector.counts(queue) for queue in queues}
    left = [f"jobs in {queue}: {count}" for queue, count in counts.items() if count != Counts()]
    left += storage.surplus(len(queues))
    if left:
        things = f"{len(left)} things are" if len(left) > 1 else "1 thing is"
        raise LeftOver(
            f"{things} left in {app.broker.describe()} after every job has ended and aged out:\n  " + "\n  ".join(left)
        )


def _end_all(app: Taskforge, clock: FakeClock, queues: Sequence[str], sender: Sender) -> None:
    """Cancel what waits. What was claimed and never settled comes back when its lease has run out."""
    give_up = clock.now() + LEASES * app.settings.lease
    while _cancel_waiting(app, queues, sender) and clock.now() < give_up:
        clock.advance(STEP)
        _look_after(app, queues, sender)


def _cancel_waiting(app: Taskforge, queues: Sequence[str], sender: Sender) -> bool:
    """Whether jobs have not ended yet."""
    inspector = app.inspector
    for queue in queues:
        for state in (JobState.READY, JobState.DELAYED):
            while jobs := inspector.list(queue, state, limit=BATCH):
                inspector.cancel(queue, [job.id for job in jobs], NO_TIME, sender.stamp())
    return any(inspector.counts(queue).running for queue in queues)


def _age(app: Taskforge, clock: FakeClock, storage: Storage, queues: Sequence[str]) -> None:
    """Let time pass, and the broker sweep, a bounded part at each look, until it finds nothing more."""
    last = Sender()  # the one sender whose last call may still be remembered in the end
    clock.advance(AGE)
    for _ in range(2):
        clock.advance(SENDER_AGE)
        before = None
        while before != (before := storage.held()):
            _look_after(app, queues, last)
            clock.advance(STEP)


def _look_after(app: Taskforge, queues: Sequence[str], sender: Sender) -> None:
    app.broker.register.leave("nobody")  # sweeps what has aged out
    app.broker.exchange(Demand((0,), tuple((queue, (0,)) for queue in queues)), [], sender.stamp())
