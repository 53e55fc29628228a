"""The loop that keeps what runs: extends leases, passes on requests to stop, sends what runs say of their progress."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from weakref import ref

from taskforge.brokers.protocol import BATCH, Broker
from taskforge.clock import Clock
from taskforge.codec import Codec
from taskforge.errors import BrokerError
from taskforge.info import pack_progress
from taskforge.run import Run, StopCause
from taskforge.settings import Settings
from taskforge.worker.leases import Leases
from taskforge.worker.slots import Slots
from taskforge.worker.warden import PACE, Warden

logger = logging.getLogger("taskforge.worker")

#: Beats per lease: three may be missed.
BEATS = 4
#: After a beat that the broker did not answer, the next one comes this soon (seconds).
HURRY = 1.0
#: Progress travels at most this often (seconds), and of so many runs each time: the others' comes the next time.
REPORT_EVERY, REPORTS = 1.0, BATCH
#: A request to stop may be heard of before its job has been handed out here: it is looked for that long (seconds), and
#: so many at most.
EXPECT_FOR, EXPECTED = 2.0, 1_000
#: How often (seconds) a worker repeats that its queues exist, and does the broker's housekeeping.
ANNOUNCE_EVERY = 60.0
TEND_EVERY = 0.5


class Keeper:
    """Runs on a thread of its own, never a task's: a busy task cannot keep its own lease from being extended.

    Beside it, on another one that never waits for the broker, goes its warden. What a round costs depends on the runs
    that came, spoke or are due since the last one, not on how many there are.
    """

    def __init__(
        self,
        broker: Broker,
        codec: Codec,
        settings: Settings,
        clock: Clock,
        slots: Slots,
        queues: Sequence[str],
        overstayed: Callable[[Run], None],
    ) -> None:
        self.broker, self.codec, self.slots, self.queues, self.clock = broker, codec, slots, queues, clock
        self.beat = settings.lease.total_seconds() / BEATS
        self.leases = Leases(self.beat, slots.holds)
        self.warden = Warden(slots, clock, settings, overstayed, self.take)
        self._next_report = self._next_announcement = self._next_tending = 0.0
        self._spoke: dict[Run, None] = {}
        self._expected: dict[str, float] = {}
        self._stop = threading.Event()
        self._out_of_reach = False

    def run(self) -> None:
        """Until stopped. A round that fails is logged, and does not keep the next one from extending the leases."""
        pace = min(PACE, self.beat / 2)
        watch = threading.Thread(target=self.warden.run, args=(self._stop, pace), name="taskforge-warden", daemon=True)
        watch.start()
        while not self.clock.wait(self._stop, pace):
            try:
                self.round(self.clock.monotonic())
            except Exception:
                logger.exception("keeper_stumbled")
        watch.join()

    def stop(self) -> None:
        """End the loop."""
        self._stop.set()

    def tick(self, now: float) -> None:
        """One round of the keeper and its warden, at this moment (monotonic seconds)."""
        self.warden.tick(now)
        self.round(now)

    def round(self, now: float) -> None:
        """One round of the keeper alone."""
        if now >= self._next_announcement:
            self._next_announcement = now + (ANNOUNCE_EVERY if self.announce() else HURRY)
        if now >= self._next_tending:
            self._next_tending = now + TEND_EVERY
            self.tend()
        self._beat(now)
        if self._expected:
            self._look_again(now)
        if now >= self._next_report:
            self._next_report = now + REPORT_EVERY
            self.report()

    def take(self, runs: Sequence[Run]) -> None:
        """Keep these runs, and hear their progress, until they are settled."""
        self.leases.add(runs)
        for run in runs:
            run.on_progress = partial(self._hear_of, ref(run))  # no circle: a run that has ended is let go at once
            if run.latest_progress is not None:
                self._hear(run)

    def look(self, ids: Collection[str]) -> None:
        """These jobs were asked to stop, somebody says: ask the broker about those that run here. From any thread."""
        self._expect(self._look(ids), self.clock.monotonic() + EXPECT_FOR)

    def announce(self) -> bool:
        """Say that the queues exist; False when the broker did not answer."""
        try:
            self.broker.announce(self.queues)
        except BrokerError as error:
            logger.debug("queues_not_announced", extra={"error": str(error)})
            return False
        return True

    def tend(self) -> None:
        """The broker's housekeeping. What fails today is done another time."""
        try:
            self.broker.tend()
        except BrokerError as error:
            logger.debug("broker_not_tended", extra={"error": str(error)})

    def extend(self, runs: Sequence[Run]) -> bool:
        """Start these leases anew, a batch at most; False when the broker did not answer."""
        try:
            answer = self.broker.extend([run.delivery for run in runs])
        except BrokerError as error:
            level = logging.DEBUG if self._out_of_reach else logging.WARNING  # once per outage, not once per try
            logger.log(level, "lease_not_extended", extra={"error": str(error), "jobs": len(self.slots)})
            self._out_of_reach = True
            return False
        self._out_of_reach = False
        if answer.lost or answer.stop:
            by_delivery = {(run.queue, run.id, run.delivery.number): run for run in runs}
            for cause, deliveries in ((StopCause.LOST, answer.lost), (StopCause.CANCEL, answer.stop)):
                for delivery in deliveries:
                    run = by_delivery.get((delivery.queue, delivery.id, delivery.number))
                    if run is not None:
                        _ask(run, cause)
        return True

    def report(self) -> None:
        """Send the latest progress of the runs that have made some, those first that wait longest."""
        for run in list(self._spoke)[:REPORTS]:
            self._spoke.pop(run, None)
            latest = run.latest_progress
            if latest is None or not self.slots.holds(run):
                continue
            try:
                self.broker.report(run.delivery, pack_progress(self.codec, *latest))
            except BrokerError as error:
                logger.debug("progress_not_reported", extra={"error": str(error), "job": run.id})
                self._hear(run)
                return
            if run.latest_progress is latest:
                run.latest_progress = None

    def _hear_of(self, known: ref[Run]) -> None:
        if (run := known()) is not None:
            self._hear(run)

    def _hear(self, run: Run) -> None:
        self._spoke[run] = None

    def _beat(self, now: float) -> None:
        """Extend what is due; after the first call without an answer the others wait, too."""
        answered = True
        for batch in self.leases.due(now):
            answered = answered and self.extend(batch)
            self.leases.again(batch, now + (self.beat if answered else min(HURRY, self.beat)))

    def _look(self, ids: Collection[str]) -> Iterable[str]:
        """Those of which nothing is known, because they are not here or the broker did not answer."""
        runs = [run for run in self.slots.runs() if run.id in ids and not run.ended]
        unknown = set(ids).difference(run.id for run in runs)
        for at in range(0, len(runs), BATCH):
            batch = runs[at : at + BATCH]
            if not self.extend(batch):
                unknown.update(run.id for run in batch)
        return unknown

    def _look_again(self, now: float) -> None:
        expected, self._expected = self._expected, {}
        unknown = self._look(expected)
        for job_id in unknown:
            if now < expected[job_id]:
                self._expect([job_id], expected[job_id])

    def _expect(self, ids: Iterable[str], until: float) -> None:
        for job_id in ids:
            if len(self._expected) < EXPECTED:
                self._expected[job_id] = until


def _ask(run: Run, cause: StopCause) -> None:
    """Ask it to stop, unless it knows."""
    if run.ended or run.cause is cause or (run.cause and cause is StopCause.CANCEL):
        return
    logger.warning("run_asked_to_stop", extra={"job": run.id, "task": run.task, "cause": cause})
    run.request_stop(cause)
