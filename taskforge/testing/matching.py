"""Whether a job is the one that a call would enqueue, and if not, what is different."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence

from taskforge.app import Taskforge
from taskforge.options import RunOptions
from taskforge.submission import PARTIAL, Submission
from taskforge.task import Call
from taskforge.testing.recording import EnqueuedJob

#: How many of the jobs that were enqueued a message shows.
SHOWN = 10
#: What of a job's own fields an option of `using(…)` decides.
_FIELDS = ("queue", "priority", "delay", "at", "expires")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 120
_short.maxlevel = 3


class Expected:
    """The job that `call.enqueue(*args, **kwargs)` would make. Only options that `call` gives by `using(…)` count.

    Raises ArgumentsError if the task cannot be called like this.
    """

    def __init__(
        self, app: Taskforge, call: Call[..., object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> None:
        call.target.bind(args, kwargs)
        self._app, self.task = app, call.target.name
        self._arguments, self._options = _Arguments(app, self.task, args, kwargs), _Options(app, call)

    def __str__(self) -> str:
        return f"{self._arguments}{self._options}"

    def differences(self, job: EnqueuedJob) -> list[str]:
        """What is not as expected, each in a few words; none for the job that was meant."""
        if job.task != self.task:
            return [f"the task is {job.task}"]
        arrived = _Arguments(self._app, job.task, job.args, job.kwargs)
        return [*self._arguments.differences(arrived), *self._options.differences(job)]


def fits_options(app: Taskforge, call: Call[..., object], job: EnqueuedJob) -> bool:
    """Whether it is a job of this task, with the options that `call` gives by `using(…)`."""
    return job.task == call.target.name and not _Options(app, call).differences(job)


class _Options:
    """The options of one call."""

    def __init__(self, app: Taskforge, call: Call[..., object]) -> None:
        self._given = call.call_options
        self._submission = Submission.of(app, call.target, self._given)
        plain = {word: value for word, value in self._submission.plain.items() if word != PARTIAL}
        self._run_options = RunOptions().overridden(plain)

    def __str__(self) -> str:
        given = ", ".join(f"{word}={_value(value)}" for word, value in self._given.items())
        return f" with {given}" if given else ""

    def differences(self, job: EnqueuedJob) -> list[str]:
        """Which of the options are others in this job."""
        pairs = {word: self._pair(word, job) for word in self._given}
        return [
            f"{word} is {_value(is_)}, not {_value(wanted)}" for word, (is_, wanted) in pairs.items() if is_ != wanted
        ]

    def _pair(self, word: str, job: EnqueuedJob) -> tuple[object, object]:
        """What an option is in the job, and what it should be."""
        match word, self._given[word]:
            case "headers", dict() as wanted:  # whoever wraps enqueues may have added others
                return {name: job.headers[name] for name in wanted if name in job.headers}, wanted
            case "job_id", wanted:
                return job.id, wanted
            case _ if word in _FIELDS:
                return getattr(job, word), getattr(self._submission, word)
            case _:
                return getattr(job.run_options, word), getattr(self._run_options, word)


class _Arguments:
    """The arguments of a call by the names of the parameters, defaults filled in, as far as the task is known here."""

    def __init__(self, app: Taskforge, task: str, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        self.task, self._args, self._kwargs = task, args, kwargs
        known = app.tasks.get(task)
        self._named: dict[str, object] = {**{f"args[{n}]": value for n, value in enumerate(args)}, **kwargs}
        if known is not None:
            try:
                bound = known.signature.bind(*args, **kwargs)
            except TypeError:
                return  # it was enqueued by name, with arguments that do not fit
            bound.apply_defaults()
            self._named = dict(bound.arguments)

    def __str__(self) -> str:
        parts = [_short.repr(value) for value in self._args]
        parts += [f"{name}={_short.repr(value)}" for name, value in self._kwargs.items()]
        return f"{self.task}({', '.join(parts)})"

    def differences(self, other: _Arguments) -> list[str]:
        """What of the other one is not as here."""
        found = []
        for name in {**self._named, **other._named}:
            if name not in other._named:
                found.append(f"{name} is missing")
            elif name not in self._named:
                found.append(f"{name} is {_short.repr(other._named[name])}, and was not expected")
            elif self._named[name] != other._named[name]:
                found.append(f"{name} is {_short.repr(other._named[name])}, not {_short.repr(self._named[name])}")
        return found


def said(app: Taskforge, job: EnqueuedJob) -> str:
    """A job as a line of a message."""
    when = f", delay {job.delay}" if job.delay else f", at {job.at}" if job.at else ""
    return f"{_Arguments(app, job.task, job.args, job.kwargs)}  to {job.queue}{when}"


def complaint(app: Taskforge, expected: Expected, jobs: Sequence[EnqueuedJob]) -> str:
    """Why none of these jobs is the expected one: the nearest first, each with what is different."""
    lines = [f"{expected} was not enqueued;"]
    if not jobs:
        return f"{lines[0]} nothing was"
    ranked = sorted(((job, expected.differences(job)) for job in jobs), key=lambda each: _distance(expected, *each))
    lines[0] += " what was, nearest first:" if len(jobs) > 1 else " what was:"
    for job, differences in ranked[:SHOWN]:
        lines.append(f"  {said(app, job)}")
        lines += [f"      {each}" for each in differences if job.task == expected.task]
    if len(ranked) > SHOWN:
        lines.append(f"  and {len(ranked) - SHOWN} more")
    return "\n".join(lines)


def _distance(expected: Expected, job: EnqueuedJob, differences: Sequence[str]) -> tuple[bool, int]:
    return job.task != expected.task, len(differences)


def _value(value: object) -> str:
    return str(value) if not isinstance(value, str) else repr(value)
