"""Simulated clients: a few calls each, drawn, through the real client and handles."""

from __future__ import annotations

from taskforge.client import Client
from taskforge.errors import BrokerUnavailable, EnqueueFailed, JobNotFound
from taskforge.handle import JobHandle
from taskforge.job import NewJob
from taskforge.task import Args
from taskforge.testing.simulation.scene import Scene
from taskforge.testing.simulation.scheduler import Process, Violation

#: How likely so many calls are, from none.
CALLS = (0, 2, 3, 3, 2, 1)


class ClientProcess(Process):
    """Makes some calls, one after the other, then ends."""

    def __init__(self, name: str, scene: Scene) -> None:
        super().__init__(name)
        self._app, self._tasks, self._scheduler = scene.app, scene.tasks, scene.scheduler
        self._choices, self._ledger, self._trace = scene.choices.stream(name), scene.ledger, scene.trace
        self._client = Client(scene.connect(self), scene.app.settings)
        self._handles: list[JobHandle[object]] = []
        self.done = False
        #: Jobs that it was told were never sent.
        self.unsent: set[str] = set()
        self._scheduler.spawn(self, "main thread", self._run)

    def _run(self) -> None:
        if self._choices.chance(30):
            self._client.patience = 0.0  # takes the first lost answer for the last word
        for _ in range(self._choices.pick(CALLS)):
            self._one_call()
            if self._choices.chance(30):
                self._scheduler.sleep(self._choices.one_of((1.0, 5.0, 15.0)))
        self._trace.say(self.name, "has nothing more to do")
        self.done = True

    def _one_call(self) -> None:
        mend = [self._cancel, self._redrive, self._promote, self._set_priority, self._look] if self._handles else []
        calls = [self._enqueue, *mend]
        call = calls[self._choices.pick([6, *[1] * len(mend)])]
        try:
            call()
        except EnqueueFailed as failure:
            self._trace.say(self.name, "gives up: whether it was enqueued is unknown")
            self.unsent.update(failure.unsent)
        except BrokerUnavailable:
            self._trace.say(self.name, "gives up, the outcome is unknown")
        except JobNotFound:
            self._trace.say(self.name, "is told that there is no such job")

    def _enqueue(self) -> None:
        jobs = [self._new_job() for _ in range(self._choices.pick((5, 1)) + 1)]
        names = ", ".join(self._ledger.name(job.id) for job in jobs)
        self._handles += [self._handle(job) for job in jobs]
        self._client.enqueue(jobs, self._client.patience)
        for job in jobs:
            if job.id not in self._ledger.jobs:
                raise Violation(f"enqueue of {self._ledger.name(job.id)} returned, and no broker has heard of it")
        self._trace.say(self.name, f"is told that {names} exist{'s' if len(jobs) == 1 else ''}")

    def _new_job(self) -> NewJob:
        call = self._tasks[self._choices.pick((4, *[2] * (len(self._tasks) - 1)))]
        if self._choices.chance(20):
            call = call.using(delay=self._choices.one_of((2.0, 12.0)))
        if self._choices.chance(10):
            call = call.using(priority=5)
        fails = call.target.name == "fails"
        [job] = self._app.new_jobs(call, [Args(self._choices.pick((2, 1, 1)) + 1) if fails else Args()])
        self._trace.say(self.name, f"enqueues {self._ledger.name(job.id)}: {call.target.name}{_options(job)}")
        return job

    def _handle(self, job: NewJob) -> JobHandle[object]:
        return JobHandle(self._client, self._app.reader, job.id, job.queue, enqueued_here=True)

    def _pick(self, verb: str) -> JobHandle[object]:
        handle = self._choices.one_of(self._handles)
        self._trace.say(self.name, f"wants to {verb} {self._ledger.name(handle.id)}")
        return handle

    def _cancel(self) -> None:
        self._pick("cancel").cancel()

    def _redrive(self) -> None:
        self._pick("redrive").redrive()

    def _promote(self) -> None:
        self._pick("promote").promote()

    def _set_priority(self) -> None:
        self._pick("change the priority of").set_priority(self._choices.one_of((5, -5)))

    def _look(self) -> None:
        handle = self._pick("look at")
        self._trace.say(self.name, f"sees that {self._ledger.name(handle.id)} is {handle.state()}")


def _options(job: NewJob) -> str:
    delay = f", delayed by {job.delay.total_seconds():g} s" if job.delay else ""
    return f"{delay}, priority {job.priority}" if job.priority else delay
