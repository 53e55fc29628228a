"""The loop that talks to the broker: settles what has ended, claims into what is free, sleeps when there is nothing."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from taskforge.brokers.protocol import BATCH, BATCH_BYTES, LOOK_EVERY, Broker, Demand, Exchange
from taskforge.errors import BrokerError
from taskforge.info import pack_progress
from taskforge.job import Delivery
from taskforge.outcome import HandedBack, Outcome
from taskforge.run import Run
from taskforge.settlement import Requeue, Settlement, weight
from taskforge.worker.executors import LoopExecutor, ThreadExecutor
from taskforge.worker.judging import App
from taskforge.worker.persistence import Persistence
from taskforge.worker.quota import Quota
from taskforge.worker.runner import Runner
from taskforge.worker.slots import LOOP, THREADS, Slots
from taskforge.worker.telling import tell

logger = logging.getLogger("taskforge.worker")

Ended = tuple[Run | None, Settlement]

#: A worker whose slots are all taken still looks after its queues this often (seconds): what falls due is made ready
#: for others, and a queue left untouched for longer than the brokers' CLOCK_JUMP would look like an outage.
TEND_EVERY = 5.0
#: What was put in line and has not started after this long (seconds) goes back, as far as the slots do not suffice.
AHEAD_AT_MOST = 0.05
#: A worker that was told to stop tries this long (seconds) to settle what has ended; then leases do the rest.
LAST_EXCHANGE = 10.0


class Exchanger:
    """1. Take back what stood in line too long. 2. Gather what has ended. 3. Send it, and ask for as much as is free,
    or is earned beyond. 4. Hand out what came. 5. Sleep if nothing did.

    Batches grow by themselves: what ends during a round trip leaves with the next. All of it happens in one thread, but
    for `done`, `nudge`, `quiet`, `resume`, `drain` and `stop`.
    """

    def __init__(
        self, app: App, broker: Broker, runner: Runner, slots: Slots, queues: Sequence[str], burst: bool
    ) -> None:
        self.app, self.broker, self.runner, self.slots = app, broker, runner, slots
        self.queues, self.burst = list(queues), burst
        self.threads: ThreadExecutor | None = None
        self.loop: LoopExecutor | None = None
        self.empty = threading.Event()
        self.empty.set()
        self.failure: BaseException | None = None
        self.quota = Quota()
        #: Notes claims where a parent can read them; the number of the first one.
        self.note: Callable[[Sequence[Delivery]], int] = lambda deliveries: 0
        #: The same of runs that must not be repeated: lost from now on, they count as begun.
        self.note_begun: Callable[[Sequence[Run]], None] = lambda runs: None
        self._ended: deque[Ended] = deque()
        self._asleep = self._in_broker = False
        self._woken = threading.Event()
        self.persistence = Persistence(app, broker, self._woken)
        self._draining = self._stopping = False
        self._quiet = False  # for a while: claim nothing, but go on
        self._look_at: float | None = None  # set while listening: nothing to claim until a bell, or until then
        self._looked_beyond = False  # no slot was free at that look: some job may wait for one, and be for no less

    # From other threads.

    def done(self, run: Run, outcome: Outcome) -> None:
        """A run has ended: judge it, in the thread that ran it, and queue its settlement."""
        if run.ended:
            return  # it was given up, and ended after all
        run.end(self.app.clock.monotonic())
        self._ended.append((run, self.runner.judge(run, outcome)))
        if self._asleep:
            try:
                self.nudge()
            except OSError as error:  # no file descriptor left, perhaps: the loop looks by itself soon
                logger.warning("exchanger_not_woken", extra={"error": str(error)})

    def nudge(self) -> None:
        """Make the loop look around now."""
        self._asleep = False
        if self._in_broker:
            self.broker.wake()
        self._woken.set()

    def quiet(self) -> None:
        """Claim nothing until told to resume; what stands in line goes back."""
        self._quiet = True
        self.nudge()

    def resume(self) -> None:
        """Claim again."""
        self._quiet = False
        self.nudge()

    def drain(self) -> None:
        """Claim nothing more, and let nothing start that stands in line."""
        self._draining = True
        for executor in (self.threads, self.loop):
            if executor is not None:
                executor.line.close()
        self.nudge()

    def stop(self) -> None:
        """End the loop once everything that has ended is settled, or LAST_EXCHANGE is over."""
        self.persistence.give_up(LAST_EXCHANGE)
        self._stopping = True
        self.drain()

    # The loop.

    def run(self) -> None:
        """Until stopped, until nothing is left in burst mode, or the quota is spent. An error that ends it is kept in
        `failure`.
        """
        try:
            while not (self._stopping and not self._ended):
                if not self.tick() and self.burst and not self._holding:
                    break
                if self.quota.spent(self._holding, self.app.clock.monotonic()):
                    break
        except BaseException as error:
            self.failure = error
            logger.critical("exchanger_failed", exc_info=error)
        finally:
            self._asleep = self._in_broker = False
            self.empty.set()

    def tick(self) -> bool:
        """One round; False when there was nothing to do and it slept, or in burst mode would have."""
        now = self.app.clock.monotonic()
        self._take_back(now)
        ended = self._gather()
        self.slots.end([run for run, _ in ended if run is not None], now)
        if ended and self._looked_beyond:
            self._look_at = None
        resting = self._draining or self._quiet or self._look_at is not None
        demand = Demand() if resting else self.quota.bounded(self.slots.demand(now))
        overdue = now - self.persistence.last_exchange > TEND_EVERY and not self._draining
        if not ended and demand.nothing and not overdue:
            return self._sleep()
        if overdue and demand.nothing:
            demand = self.slots.tend()
        reply = self.exchange(demand, ended)
        claimed = self._hand_out(reply)
        hungry = self.slots.hungry(reply.starved)
        if demand.nothing:
            return True
        exhausted = not claimed or claimed < demand.open_slots
        if exhausted and not reply.more and not hungry:
            self._looked_beyond = not demand.open_slots
            due = LOOK_EVERY if reply.next_due is None else reply.next_due.total_seconds()
            self._look_at = self.app.clock.monotonic() + min(LOOK_EVERY, max(0.0, due))
        return bool(claimed or reply.more)

    def _gather(self) -> list[Ended]:
        """What has ended, as much of it as one call carries."""
        batch: list[Ended] = []
        room = BATCH_BYTES
        while self._ended and len(batch) < BATCH:
            room -= weight(self._ended[0][1])
            if batch and room < 0:
                break
            batch.append(self._ended.popleft())
        return batch

    def _take_back(self, now: float) -> None:
        """Hand back what was claimed ahead and did not get its turn; in a drain, all that has not started."""
        closing = self._draining or self._quiet
        for pool, executor in ((THREADS, self.threads), (LOOP, self.loop)):
            if executor is None or now - executor.line.waiting_since() < (0 if closing else AHEAD_AT_MOST):
                continue
            count = len(executor.line) if closing else self.slots.surplus(pool)
            runs = executor.line.take_back(count)
            self.slots.slow_down(runs)
            for run in runs:
                self.done(run, HandedBack())

    def exchange(self, demand: Demand, ended: Sequence[Ended]) -> Exchange:
        """Send one exchange until it is answered, then free the slots of what it settled."""
        self._report_last(ended)
        reply = self.persistence.exchange(demand, [settlement for _, settlement in ended])
        self.slots.let_go([run for run, _ in ended if run is not None])
        tell(self.app, ended, reply.refused)
        if ended and not self.slots and not self._ended:
            self.empty.set()
        return reply

    def _report_last(self, ended: Sequence[Ended]) -> None:
        """What runs said last goes before what becomes of their jobs: the next run may go on from there."""
        for run, settlement in ended:
            if run is None or run.latest_progress is None or not isinstance(settlement, Requeue):
                continue
            try:
                self.broker.report(run.delivery, pack_progress(self.app.codec, *run.latest_progress))
            except BrokerError as error:
                logger.debug("progress_not_reported", extra={"error": str(error), "job": run.id})

    def _hand_out(self, reply: Exchange) -> int:
        """Open each delivery and give it to its executor."""
        if not reply.deliveries:
            return 0
        if self._draining or self._quiet:  # this answer was under way when it began: nothing of it has started
            self._return(reply.deliveries)
            return len(reply.deliveries)
        self.quota.claimed(len(reply.deliveries))
        plain: list[Run] = []
        once: list[Run] = []
        asynchronous: list[Run] = []
        for seq, opened in enumerate(map(self.runner.open, reply.deliveries), self.note(reply.deliveries)):
            if not isinstance(opened, Run):
                self._ended.append((None, opened))
                continue
            opened.seq = seq
            if opened.options.at_most_once:
                once.append(opened)
            (asynchronous if opened.on_loop else plain).append(opened)
        if once:
            lost = self._not_begun(once)
            plain, asynchronous = [r for r in plain if r not in lost], [r for r in asynchronous if r not in lost]
        for runs, executor in ((plain, self.threads), (asynchronous, self.loop)):
            if runs and executor is not None:
                self.empty.clear()
                self.slots.take(runs)
                executor.submit(runs, self.app.clock.monotonic())
        return len(reply.deliveries)

    def _return(self, deliveries: Sequence[Delivery]) -> None:
        """These go back to their places: no run of theirs has begun."""
        keep = self.app.settings.finished_age
        self._ended.extend((None, Requeue(delivery, None, False, keep)) for delivery in deliveries)

    def _not_begun(self, runs: Sequence[Run]) -> set[Run]:
        """Have the broker know that these jobs have begun, before they do: lost, they must not run again.

        Those that must not begin now.
        """
        self.note_begun(runs)
        try:
            lost = self.broker.extend([run.delivery for run in runs]).lost
        except BrokerError:
            self._return([run.delivery for run in runs])
            return set(runs)
        return {run for run in runs if run.delivery in lost}

    @property
    def _holding(self) -> bool:
        """Whether any job is held here, or not settled yet."""
        return bool(self._ended or self.slots.runs())

    def _sleep(self) -> bool:
        """Until a run ends, a bell rings, or it is time to look by itself."""
        if self.burst and self._look_at is not None and not self.slots.runs():
            return False
        self._woken.clear()
        # Before `_asleep`, so that whoever sees us asleep knows where; a wake that comes early is kept for the wait.
        self._in_broker = self._look_at is not None and not (self._draining or self._quiet)
        self._asleep = True
        if not self._ended and not self._stopping:
            if self._in_broker:
                self._listen()
            else:
                self.app.clock.wait(self._woken, self._patience(LOOK_EVERY))
        self._asleep = self._in_broker = False
        return True

    def _listen(self) -> None:
        """Wait in the broker. A bell, or the time, ends the listening; a wake-up of our own only interrupts it."""
        assert self._look_at is not None
        try:
            if self.broker.wait(self.queues, self._patience(max(0.0, self._look_at - self.app.clock.monotonic()))):
                self._look_at = None
        except BrokerError:
            self._look_at = None  # the next exchange tells what is wrong, and waits

    def _patience(self, longest: float) -> float:
        """How long to sleep at most: whatever stands in line must be looked at in time."""
        since = [executor.line.waiting_since() for executor in (self.threads, self.loop) if executor is not None]
        earliest = min(since, default=float("inf"))
        now = self.app.clock.monotonic()
        return max(0.0, min(longest, earliest + AHEAD_AT_MOST - now, self.quota.patience(now)))
