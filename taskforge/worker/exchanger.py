"""The loop that talks to the broker: settles what has ended, claims into what is free, sleeps when there is nothing."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

from taskforge.brokers.protocol import BATCH, BATCH_BYTES, LOOK_EVERY, Broker, Demand, Exchange
from taskforge.brokers.resend import reach
from taskforge.brokers.stamp import Sender, Stamp
from taskforge.errors import BrokerError, BrokerRefused, BrokerUnavailable
from taskforge.outcome import HandedBack, Outcome
from taskforge.run import Run
from taskforge.settlement import Requeue, Settlement, weight
from taskforge.signals import emit
from taskforge.worker.executors import LoopExecutor, ThreadExecutor
from taskforge.worker.judging import App
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
    for `done`, `nudge`, `drain` and `stop`.
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
        self.last_exchange = self.app.clock.monotonic()
        self.failure: BaseException | None = None
        self._sender = Sender()
        self._ended: deque[Ended] = deque()
        self._asleep = self._in_broker = False
        self._woken = threading.Event()
        self._draining = self._stopping = False
        self._give_up_at = float("inf")
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

    def drain(self) -> None:
        """Claim nothing more, and let nothing start that stands in line."""
        self._draining = True
        for executor in (self.threads, self.loop):
            if executor is not None:
                executor.line.close()
        self.nudge()

    def stop(self) -> None:
        """End the loop once everything that has ended is settled, or LAST_EXCHANGE is over."""
        self._give_up_at = self.app.clock.monotonic() + LAST_EXCHANGE
        self._stopping = True
        self.drain()

    # The loop.

    def run(self) -> None:
        """Until stopped, or until nothing is left in burst mode. An error that ends it is kept in `failure`."""
        try:
            while not (self._stopping and not self._ended):
                if not self.tick() and self.burst and not self.slots.runs() and not self._ended:
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
        demand = Demand() if self._draining or self._look_at is not None else self.slots.demand(now)
        overdue = now - self.last_exchange > TEND_EVERY and not self._draining
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
        for pool, executor in ((THREADS, self.threads), (LOOP, self.loop)):
            if executor is None or now - executor.line.waiting_since() < (0 if self._draining else AHEAD_AT_MOST):
                continue
            count = len(executor.line) if self._draining else self.slots.surplus(pool)
            runs = executor.line.take_back(count)
            self.slots.slow_down(runs)
            for run in runs:
                self.done(run, HandedBack())

    def exchange(self, demand: Demand, ended: Sequence[Ended]) -> Exchange:
        """Send one exchange until it is answered, then free the slots of what it settled."""
        stamp = self._sender.stamp()
        reply = self._answered(demand, [settlement for _, settlement in ended], stamp)
        self.last_exchange = self.app.clock.monotonic()
        self.slots.let_go([run for run, _ in ended if run is not None])
        tell(self.app, ended, reply.refused)
        if ended and not self.slots and not self._ended:
            self.empty.set()
        return reply

    def _answered(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        """The answer, however long it takes: a call that may have been applied must not be replaced by another."""
        lost = False
        while True:
            try:
                reply = self.broker.exchange(demand, settlements, stamp)
            except (BrokerUnavailable, BrokerRefused) as error:
                if not lost:
                    logger.warning("broker_lost", extra={"error": str(error)})
                    emit(self.app.signals.broker_lost, self.app, error=error)
                lost = True
                self._pause(error)
                continue
            if lost:
                logger.warning("broker_back")
                emit(self.app.signals.broker_back, self.app)
                reply = self._still_held(reply)
            return reply

    def _still_held(self, reply: Exchange) -> Exchange:
        """The answer to a repeated call: its claims may be old, so their leases start anew before anything runs."""
        try:
            lost = self.broker.extend(reply.deliveries).lost if reply.deliveries else []
        except BrokerError:
            return reply  # the keeper's next beat tells
        return reply._replace(deliveries=[delivery for delivery in reply.deliveries if delivery not in lost])

    def _pause(self, error: BrokerError) -> None:
        """Between two tries: until the broker answers at all, at most LOOK_EVERY seconds."""
        if self.app.clock.monotonic() > self._give_up_at:
            raise error  # what is not settled by now goes on with another worker once its lease runs out
        try:
            reach(self.broker, LOOK_EVERY)
        except BrokerError:
            return
        if isinstance(error, BrokerRefused):
            self.app.clock.wait(self._woken, LOOK_EVERY / 2)

    def _hand_out(self, reply: Exchange) -> int:
        """Open each delivery and give it to its executor."""
        if self._draining:  # this answer was under way when the drain began: nothing of it has started
            keep = self.app.settings.finished_age
            self._ended.extend((None, Requeue(delivery, None, False, keep)) for delivery in reply.deliveries)
            return len(reply.deliveries)
        plain: list[Run] = []
        asynchronous: list[Run] = []
        for opened in map(self.runner.open, reply.deliveries):
            if isinstance(opened, Run):
                (asynchronous if opened.task_object.is_async else plain).append(opened)
            else:
                self._ended.append((None, opened))
        for runs, executor in ((plain, self.threads), (asynchronous, self.loop)):
            if runs and executor is not None:
                self.empty.clear()
                self.slots.take(runs)
                executor.submit(runs, self.app.clock.monotonic())
        return len(reply.deliveries)

    def _sleep(self) -> bool:
        """Until a run ends, a bell rings, or it is time to look by itself."""
        if self.burst and self._look_at is not None and not self.slots.runs():
            return False
        self._woken.clear()
        # Before `_asleep`, so that whoever sees us asleep knows where; a wake that comes early is kept for the wait.
        self._in_broker = self._look_at is not None and not self._draining
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
        return max(0.0, min(longest, earliest + AHEAD_AT_MOST - self.app.clock.monotonic()))
