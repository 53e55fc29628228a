"""What a worker says of itself to the others, what it is asked, and what it knows of them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Protocol

from taskforge.brokers.deadline import until
from taskforge.brokers.register import Register
from taskforge.clock import Clock
from taskforge.codec import Codec
from taskforge.errors import BrokerError
from taskforge.registry import Registry
from taskforge.workers import CARD_AGE, Colleagues, Desire, Heed, WorkerCard, pack_card, signature_digest

logger = logging.getLogger("taskforge.worker")

#: How often (seconds) a worker repeats its card: it may miss five.
BEAT_EVERY = 10.0
#: What is known of the others is read anew after so long (seconds), and may take so long to be read where jobs wait.
KNOWN_FOR, READ_WITHIN = 10.0, 0.5


class Enrolled(Protocol):
    """A worker, as far as it can be asked for something."""

    def card(self) -> WorkerCard:
        """What there is to say of it now, but for its rates and its tasks."""
        ...

    def quiet(self) -> None: ...

    def resume(self) -> None: ...

    def ask(self, desire: Desire, at: datetime) -> None:
        """Do once what was asked at this moment."""
        ...


class Enrolment:
    """Of one worker process. Any thread may call; one beat is made at a time."""

    def __init__(self, register: Register, codec: Codec, clock: Clock, tasks: Registry, worker: Enrolled) -> None:
        self._register, self._codec, self._clock, self._worker = register, codec, clock, worker
        self._tasks = digests(tasks)
        self._version = version("taskforge")
        self._heed = Heed(codec)
        self._draining = False
        self._beating = threading.Lock()
        self._counted: tuple[float, int] | None = None
        self._colleagues: Colleagues | None = None

    def beat(self) -> bool:
        """Say what there is to say, and do what is asked; False when the broker did not answer."""
        with self._beating:
            card = self._rated(self._worker.card())
            try:
                wishes = self._register.beat(card.name, pack_card(self._codec, card), CARD_AGE, card.targets)
            except BrokerError as error:
                logger.debug("worker_not_registered", extra={"error": str(error)})
                return False
            asked = self._heed.take(wishes)
            changed = self._heed.draining is not self._draining
            if changed:
                self._draining = self._heed.draining
                logger.info("worker_asked", extra={"what": Desire.DRAIN if self._draining else Desire.RESUME})
                (self._worker.quiet if self._draining else self._worker.resume)()
        for desire, at in asked:
            logger.info("worker_asked", extra={"what": desire})
            self._worker.ask(desire, at)
        return self.beat() if changed else True  # so that the card shows at once what it was asked

    def leave(self) -> None:
        """Say that this worker is gone."""
        with self._beating:
            try:
                self._register.leave(self._worker.card().name)
            except BrokerError as error:  # the card ages out by itself
                logger.debug("worker_not_registered", extra={"error": str(error)})

    def colleagues(self) -> Colleagues | None:
        """What the other workers know; None when that cannot be read now."""
        now = self._clock.now()
        known = self._colleagues
        if known is not None and now - known.read_at < timedelta(seconds=KNOWN_FOR):
            return known
        try:
            with until(self._clock.monotonic() + READ_WITHIN):
                known = Colleagues.read(self._codec, self._register, self._worker.card().name, now)
        except BrokerError as error:
            logger.debug("workers_not_read", extra={"error": str(error)})
            return None
        self._colleagues = known
        return known

    def _rated(self, card: WorkerCard) -> WorkerCard:
        """The card with its tasks, and with how many jobs a second have ended since the last beat."""
        now, rate = self._clock.monotonic(), 0.0
        if self._counted is not None and now > self._counted[0]:
            rate = (card.done - self._counted[1]) / (now - self._counted[0])
        self._counted = now, card.done
        return replace(card, tasks=self._tasks, version=self._version, jobs_per_second=rate)


def digests(tasks: Registry) -> Mapping[str, str]:
    """The digest of each task's signature, by every name it answers to."""
    return {name: signature_digest(task) for task in tasks for name in (task.name, *task.aliases)}


def resident() -> int:
    """How much memory (bytes) this process has in use; 0 where that is not told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
