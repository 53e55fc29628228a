"""What a worker process is to others: to its parent, to the register of workers, and to who asks something of it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from taskforge.worker.attending import Attending
from taskforge.worker.enrolling import BEAT_EVERY, Enrolment, resident
from taskforge.worker.shared import ChildState, Figures, Shared, marked
from taskforge.worker.slots import THREADS
from taskforge.workers import Desire, WorkerCard, WorkerState

if TYPE_CHECKING:
    from taskforge.worker.worker import Worker


class Relations:
    """One per worker. `shared` is memory that its parent sees; None without a parent."""

    def __init__(self, worker: Worker, shared: Shared | None) -> None:
        self.worker, self.shared = worker, shared
        app = worker.app
        self._clock, self._born = app.clock, app.clock.now()
        self._group = f"{socket.gethostname()}.{os.getpid() if shared is None else os.getppid()}"
        self.enrolment = Enrolment(app.broker.register, app.codec, app.clock, app.tasks, self)
        self._attending = Attending(app.broker, worker.name, app.clock, self._heard, self._wished)
        self._wish, self._gone = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._enrol, name="taskforge-enrolment", daemon=True)
        if shared is None:
            return
        worker.runner.cells = shared.cells
        worker.exchanger.note = shared.claimed
        worker.exchanger.note_begun = lambda runs: shared.begun([(run.seq, run.delivery) for run in runs])
        shared.held = lambda: [
            (run.seq, marked(run.delivery) if run.options.at_most_once else run.delivery) for run in worker.slots.runs()
        ]

    def announce(self) -> None:
        """Say by which name this process is going to claim."""
        self.state(ChildState.WAITING)
        if self.shared is not None:
            self.shared.publish(self.worker.name)

    def start(self) -> None:
        """Be there for others, now that this worker claims."""
        self._thread.start()
        self._attending.start()
        self.state(ChildState.READY)

    def stop(self, timeout: float) -> None:
        """Be gone."""
        self._attending.stop(timeout)
        self._gone.set()
        self._wish.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def state(self, state: ChildState) -> None:
        """Tell the parent how far this process is, and the register soon."""
        if self.shared is not None:
            self.shared.state = state
        self._wish.set()

    def turned(self) -> None:
        """The interpreter turns: tell the parent, with what has come of it so far."""
        if self.shared is None:
            return
        worker, slots = self.worker, self.worker.slots
        watch = worker.keeper.warden.loop
        counts = slots.done, slots.seconds, slots.busy, len(slots), sum(slots.sizes)
        self.shared.beat()
        self.shared.figures = Figures(*counts, resident(), watch.standing if watch else 0.0, worker.silence())

    # What Enrolment needs.

    def card(self) -> WorkerCard:
        """What there is to say of this worker now."""
        worker, slots = self.worker, self.worker.slots
        resting = worker.resting or worker.ending.is_set()
        return WorkerCard(
            name=worker.name,
            group=self._group,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=tuple(worker.queues),
            threads=slots.sizes[THREADS],
            slots=sum(slots.sizes),
            busy=slots.busy,
            done=slots.done,
            seconds_per_job=slots.seconds / slots.done if slots.done else 0.0,
            last_exchange=worker.silence(),
            rss=resident(),
            started_at=self._born,
            state=WorkerState.DRAINING if resting else WorkerState.RUNNING,
        )

    def quiet(self) -> None:
        """It is asked to take nothing new."""
        self.worker.quiet()

    def resume(self) -> None:
        """It is asked to take jobs again."""
        self.worker.resume()

    def ask(self, desire: Desire, at: datetime) -> None:
        """Do once what was asked of this worker at that moment. What concerns the whole group is its parent's."""
        if desire is Desire.DUMP:
            self.worker.dump("control")
        elif self.shared is not None:
            self.shared.ask(desire.value, int(at.timestamp() * 1000))
        else:
            self.worker.restart = self.worker.restart or desire is Desire.RESTART
            self.worker.ending.set()

    def _enrol(self) -> None:
        """Say every few seconds what there is to say, and at once when something is wished."""
        while not self._gone.is_set():
            self._clock.wait(self._wish, BEAT_EVERY)
            self._wish.clear()
            if not self._gone.is_set():
                self.enrolment.beat()
        self.enrolment.leave()

    def _heard(self, ids: Collection[str]) -> None:
        self.worker.keeper.look(ids)

    def _wished(self) -> None:
        self._wish.set()
