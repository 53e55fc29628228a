"""The loop that keeps what runs: extends leases, passes on requests to stop, ends runs that take too long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from taskforge.brokers.protocol import BATCH, Broker
from taskforge.clock import Clock
from taskforge.codec import Codec
from taskforge.errors import BrokerError
from taskforge.info import pack_progress
from taskforge.run import Run, StopCause
from taskforge.settings import Settings
from taskforge.worker.slots import Slots

logger = logging.getLogger("taskforge.worker")

#: Beats per lease: three may be missed.
BEATS = 4
#: After a beat that the broker did not answer, the next one comes this soon (seconds).
HURRY = 1.0
#: Progress travels at most this often (seconds).
REPORT_EVERY = 1.0
#: Time between two rounds (seconds): how late a timeout may be noticed.
PACE = 0.25
#: How often (seconds) a worker repeats that its queues exist, and does the broker's housekeeping.
ANNOUNCE_EVERY = 60.0
TEND_EVERY = 0.5


class Keeper:
    """Runs on a thread of its own, never a task's: a busy task cannot keep its own lease from being extended."""

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
        self.broker, self.codec, self.slots, self.queues, self.overstayed = broker, codec, slots, queues, overstayed
        self.clock = clock
        self.beat = settings.lease.total_seconds() / BEATS
        self.stop_grace = settings.stop_grace.total_seconds()
        self._next_beat = 0.0
        self._next_report = 0.0
        self._next_announcement = self._next_tending = 0.0
        self._stop = threading.Event()
        self._asked: dict[Run, float] = {}
        self._out_of_reach = False

    def run(self) -> None:
        """Until stopped. A round that fails is logged, and does not keep the next one from extending the leases."""
        while not self.clock.wait(self._stop, min(PACE, self.beat / 2)):
            try:
                self.tick(self.clock.monotonic())
            except Exception:
                logger.exception("keeper_stumbled")

    def stop(self) -> None:
        """End the loop."""
        self._stop.set()

    def tick(self, now: float) -> None:
        """One round at this moment (monotonic seconds)."""
        if now >= self._next_announcement:
            self._next_announcement = now + (ANNOUNCE_EVERY if self.announce() else HURRY)
        if now >= self._next_tending:
            self._next_tending = now + TEND_EVERY
            self.tend()
        runs = self.slots.runs()
        self._asked = {run: at for run, at in self._asked.items() if run in runs}
        if not runs:
            self._next_beat = now + self.beat
            return
        if now >= self._next_beat:
            held = [run for run in runs if not self._just_came(run, now)]
            self._next_beat = now + (self.beat if self.extend(held) else min(HURRY, self.beat))
        if now >= self._next_report:
            self._next_report = now + REPORT_EVERY
            self.report(runs)
        for run in runs:
            if now >= run.due and not run.ended:
                self._time_out(run, now)

    def _just_came(self, run: Run, now: float) -> bool:
        """Whether it came into line a moment ago: its lease is new, and to extend it would say that it has begun."""
        return run.started is None and not run.ended and now - run.handed_out < min(HURRY, self.beat)

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

    def extend(self, runs: list[Run]) -> bool:
        """Start the leases anew; False when the broker did not answer."""
        by_delivery = {(run.queue, run.id, run.delivery.number): run for run in runs}
        for start in range(0, len(runs), BATCH):
            try:
                answer = self.broker.extend([run.delivery for run in runs[start : start + BATCH]])
            except BrokerError as error:
                level = logging.DEBUG if self._out_of_reach else logging.WARNING  # once per outage, not once per try
                logger.log(level, "lease_not_extended", extra={"error": str(error), "jobs": len(runs)})
                self._out_of_reach = True
                return False
            self._out_of_reach = False
            for cause, deliveries in ((StopCause.LOST, answer.lost), (StopCause.CANCEL, answer.stop)):
                for delivery in deliveries:
                    run = by_delivery.get((delivery.queue, delivery.id, delivery.number))
                    asked = run is None or run.ended or run.cause is cause or (run.cause and cause is StopCause.CANCEL)
                    if run is not None and not asked:
                        logger.warning("run_asked_to_stop", extra={"job": run.id, "task": run.task, "cause": cause})
                        run.request_stop(cause)
        return True

    def report(self, runs: list[Run]) -> None:
        """Send the latest progress of each run that made some."""
        for run in runs:
            latest = run.latest_progress
            if latest is None:
                continue
            try:
                self.broker.report(run.delivery, pack_progress(self.codec, *latest))
            except BrokerError as error:
                logger.debug("progress_not_reported", extra={"error": str(error), "job": run.id})
                return
            if run.latest_progress is latest:
                run.latest_progress = None

    def _time_out(self, run: Run, now: float) -> None:
        """Ask it to stop, once; past the grace, say that it overstays."""
        asked = self._asked.setdefault(run, now)
        if asked == now:
            logger.warning("run_timed_out", extra={"job": run.id, "task": run.task})
            run.request_stop(StopCause.TIMEOUT)
        elif now - asked > self.stop_grace:
            self.overstayed(run)
