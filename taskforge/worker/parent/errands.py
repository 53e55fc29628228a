"""Errands to the broker, run by one thread, so that a broker that is away never holds up the parent's loop."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from taskforge.app import Taskforge
from taskforge.brokers.inspecting import Pressure
from taskforge.brokers.protocol import LOOK_EVERY, Holding
from taskforge.brokers.releasing import release_all
from taskforge.brokers.resend import reach
from taskforge.errors import BrokerError
from taskforge.info import pack_error
from taskforge.measuring import pressures_of, together
from taskforge.scaling import Goal

logger = logging.getLogger("taskforge.worker")

#: A dead child's jobs are given back within this time (seconds) after the last child has ended, or by their leases.
LAST_ERRANDS = 10.0


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended: its sender's id, its pid, how long (seconds) it had lived, how, and what it held."""

    name: str
    pid: int
    lived: float
    how: str
    held: Sequence[Holding]


class Errands:
    """Any thread may ask; `done` is called after each errand, from the thread that runs them."""

    def __init__(self, app: Taskforge, queues: Sequence[str], done: Callable[[], None]) -> None:
        self._app, self._queues, self._done = app, list(queues), done
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="taskforge-errands", daemon=True)
        #: What pressed on the queues when last asked; None while that is not known.
        self.pressure: Pressure | None = None
        self._asking = False
        #: When (monotonic seconds) the broker last answered.
        self.answered = time.monotonic()
        self._thread.start()

    def release(self, death: Death) -> None:
        """Give back what a dead child held. It must be dead, and all that it has started."""
        self._asked.put(lambda: self._release(death))

    def ask_pressure(self, goal: Goal) -> None:
        """Have `pressure` measured anew; whoever takes it sets it back to None."""
        if not self._asking:
            self._asking = True
            self._asked.put(lambda: self._measure(goal))

    def close(self, *, vain: bool = False) -> None:
        """Finish what was asked, for LAST_ERRANDS seconds at most; not at all if that is known to be in vain."""
        self._asked.put(None)
        self._thread.join(0 if vain else LAST_ERRANDS)
        self._stop.set()
        self._thread.join(LOOK_EVERY)

    def _run(self) -> None:
        while (errand := self._asked.get()) is not None:
            try:
                errand()
            except Exception:
                logger.exception("errand_failed")
            self._done()

    def _measure(self, goal: Goal) -> None:
        try:
            self.pressure = together(pressures_of(self._app, self._queues, goal).values())
            self.answered = time.monotonic()
        except BrokerError as error:
            self.pressure = None
            logger.debug("pressure_not_measured", extra={"error": str(error)})
        finally:
            self._asking = False

    def _release(self, death: Death) -> None:
        """A broker that is away is waited for: a release done twice is a release done once."""
        message = f"its worker process {death.pid} on {socket.gethostname()} {death.how} after {death.lived:.1f} s"
        note = pack_error(self._app.codec, 0, self._app.clock.now(), "crashed", message, "")
        back = self._until_answered(lambda: release_all(self._app.broker, death.name, self._queues, death.held, note))
        if back:
            started = [holding.id for holding in back if holding.started]
            said = {"pid": death.pid, "jobs": len(back), "crashed": " ".join(started[:20]) or None}
            logger.warning("jobs_given_back", extra=said)
        self._strike_off(death.name)

    def _strike_off(self, name: str) -> None:
        """Have the register know that it is gone, rather than after its card has aged out."""
        try:
            self._app.broker.register.leave(name)
        except (BrokerError, ValueError) as error:  # not reachable just now, or it died before it had a name
            logger.debug("worker_not_registered", extra={"error": str(error)})

    def _until_answered(self, call: Callable[[], list[Holding]]) -> list[Holding]:
        """The answer, however long it takes; nothing once the parent ends."""
        lost = False
        while not self._stop.is_set():
            try:
                answer = call()
                self.answered = time.monotonic()
                return answer
            except BrokerError as error:
                if not lost:
                    logger.warning("broker_lost", extra={"error": str(error)})
                lost = True
            try:
                reach(self._app.broker, LOOK_EVERY)
            except BrokerError:
                self._stop.wait(LOOK_EVERY / 2)
        return []
