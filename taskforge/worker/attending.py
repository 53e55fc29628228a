"""The thread that hears what is said to this worker: which of its jobs are to stop, and that there are wishes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from taskforge.brokers.protocol import LOOK_EVERY, Broker
from taskforge.brokers.register import Attention
from taskforge.brokers.resend import reach
from taskforge.clock import Clock
from taskforge.errors import BrokerError

logger = logging.getLogger("taskforge.worker")

#: How long (seconds) one listening takes at most: a task may have closed what would end it sooner.
LISTEN = LOOK_EVERY


class Attending:
    """`heard` is told the ids of jobs that were asked to stop, `wished` that there may be something new to do.

    That nothing is heard while the broker is away, or cannot push, costs time only: the keeper's beat tells the same.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        clock: Clock,
        heard: Callable[[Collection[str]], None],
        wished: Callable[[], None],
    ) -> None:
        self._broker, self._name, self._clock, self._heard, self._wished = broker, name, clock, heard, wished
        self._attention: Attention | None = None
        self._stop = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self.run, name="taskforge-attending", daemon=True)

    def start(self) -> None:
        """Listen, in a thread of its own."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Listen no more."""
        self._stop.set()
        if (attention := self._attention) is not None:
            attention.close()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def run(self) -> None:
        """Until stopped. Whatever goes wrong, it listens again."""
        while not self._stop.is_set():
            try:
                self._listen()
            except BrokerError as error:
                self._missed(error)
            except Exception:
                logger.exception("attending_stumbled")
                self._clock.wait(self._stop, LOOK_EVERY)
        if self._attention is not None:
            self._attention.close()

    def _listen(self) -> None:
        if self._attention is None:
            self._attention = self._broker.attend(self._name)
            if self._stop.is_set():
                return
        said = self._attention.listen(LISTEN)
        self._lost = False
        if "" in said:
            self._wished()
        if ids := {each for each in said if each}:
            self._heard(ids)

    def _missed(self, error: BrokerError) -> None:
        """The connection broke, or there was none: go on when the broker answers. Told once per outage."""
        if self._stop.is_set():
            return
        level = logging.DEBUG if self._lost else logging.INFO
        logger.log(level, "worker_not_attending", extra={"error": str(error)})
        self._lost = True
        try:
            reach(self._broker, LOOK_EVERY)
        except BrokerError:
            return
        self._clock.wait(self._stop, LOOK_EVERY / 4)  # it answers, but not this: a server that refuses, perhaps
