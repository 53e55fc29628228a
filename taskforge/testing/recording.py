"""What was enqueued, as it arrived at the broker."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from taskforge.app import Taskforge
from taskforge.brokers.protocol import Broker, Demand, Exchange
from taskforge.brokers.stamp import Stamp
from taskforge.job import Enqueued, NewJob
from taskforge.options import RunOptions
from taskforge.settlement import Ack, Settlement
from taskforge.submission import PARTIAL
from taskforge.testing.wrapping import BrokerWrapper


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """One job, read back from the bytes that were enqueued: what a worker would see.

    `delay` and `at` are when it falls due (neither: at once); `expires` is a span from the enqueue, or a moment.
    `run_options` are the options that matter to a run: retry, timeout, keep, keep_result, headers.
    """

    id: str
    task: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    queue: str
    priority: int
    delay: timedelta | None
    at: datetime | None
    expires: timedelta | datetime | None
    run_options: RunOptions = field(repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """The text beside the arguments."""
        return self.run_options.headers

    @property
    def timeout(self) -> timedelta | None:
        """The longest run; None for no limit."""
        return self.run_options.timeout

    @classmethod
    def read(cls, app: Taskforge, job: NewJob) -> EnqueuedJob:
        """From what a broker was given. Raises PayloadError for bytes that no worker could read either."""
        task, arguments, given, _ = app.codec.read_body(job.body)
        args, kwargs = app.codec.read_arguments(arguments, app.types_of(task))
        options = RunOptions().overridden({word: value for word, value in given.items() if word != PARTIAL})
        when = (job.delay, job.at, job.expires)
        return cls(job.id, task, tuple(args), kwargs, job.queue, job.priority, *when, options)


class Recorder(BrokerWrapper):
    """Notes every job that the broker accepts as new, from any thread; those enqueued by an ack, too."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self._lock = threading.Lock()
        self._jobs: list[NewJob] = []
        self._known: set[tuple[str, str]] = set()
        self._stamps: set[Stamp] = set()

    @property
    def jobs(self) -> list[NewJob]:
        """In the order of their coming."""
        with self._lock:
            return list(self._jobs)

    @property
    def queues(self) -> set[str]:
        """Every queue that a job came into."""
        with self._lock:
            return {queue for queue, _ in self._known}

    def forget(self) -> None:
        """List no job that came before now."""
        with self._lock:
            self._jobs.clear()

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        answers = super().enqueue(jobs, stamp)
        self._note([job for job, answer in zip(jobs, answers, strict=True) if answer.new], stamp)
        return answers

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        reply = super().exchange(demand, settlements, stamp)
        acks = [each for index, each in enumerate(settlements) if isinstance(each, Ack) and index not in reply.refused]
        # An ack does not tell which of its jobs were new: one that came before stands for itself.
        self._note([job for ack in acks for job in ack.then if (job.queue, job.id) not in self._known], stamp)
        return reply

    def _note(self, jobs: Sequence[NewJob], stamp: Stamp) -> None:
        """Once, however often the call is sent."""
        with self._lock:
            if stamp in self._stamps or not jobs:
                return
            self._stamps.add(stamp)
            self._jobs += jobs
            self._known.update((job.queue, job.id) for job in jobs)
