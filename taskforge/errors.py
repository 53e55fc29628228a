"""The exceptions taskforge raises.

TaskforgeError
├── SettingsError              a setting is misspelt, malformed or out of range
├── AppError                   an app cannot be used as it stands: not found, ambiguous, already in use
│   └── UnknownWorker          no living worker has the name, or several may be meant
├── TaskError                  a task cannot be declared or used as asked
│   ├── UnknownTask            no task of that name is registered
│   ├── TaskAlreadyRegistered  two functions want one name
│   ├── ArgumentsError         the function cannot be called like this (a TypeError, too)
│   └── OptionError            an option is unknown or its value does not fit
├── PayloadError               a value cannot travel
│   ├── EncodeError            a type that does not fit, a cycle, too deep
│   ├── DecodeError            bytes that are no payload of ours
│   ├── UnknownVersion         written by a newer taskforge
│   └── PayloadTooLarge        over the size limit
├── BrokerError                the broker did not do what was asked
│   ├── BrokerUnavailable      no answer: whether it happened is unknown; the same call may be sent again
│   │   └── EnqueueFailed      the same, for some of a batch: says which jobs are done, unknown, unsent
│   ├── BrokerRefused          it answered no (read-only, out of memory, disk full): nothing happened, may pass
│   ├── BrokerUnsupported      it can never serve this program (too old, other layout, no database)
│   └── StaleCall              a call numbered below the last one its sender made: nothing happened
├── JobError                   a job has no result to give
│   ├── JobFailed              it is dead; carries its last error as text
│   ├── JobCancelled           it was cancelled
│   └── JobNotFound            no queue knows the id
│       └── ResultExpired      it was known, and has aged out
├── AmbiguousJob               two queues know the id: name the queue
├── StopRequested              raised in a run that was asked to stop
├── ProcessDied                the process of an isolated run ended before the run did
├── MemoryExceeded             an isolated run took more memory than its task allows (a MemoryError, too)
└── WouldBlock                 a waiting call inside a running event loop
"""

from __future__ import annotations

from collections.abc import Sequence


class TaskforgeError(Exception):
    """Every error of taskforge."""


class SettingsError(TaskforgeError):
    """A setting is misspelt, malformed or out of range."""


class AppError(TaskforgeError):
    """An app cannot be used as it stands."""


class UnknownWorker(AppError):
    """No living worker, group or host has this name, or several may be meant."""


class TaskError(TaskforgeError):
    """A task cannot be declared or used as asked."""


class UnknownTask(TaskError):
    """No task of that name is registered."""


class TaskAlreadyRegistered(TaskError):
    """Two functions want one name."""


class ArgumentsError(TaskError, TypeError):
    """The function cannot be called with these arguments."""


class OptionError(TaskError):
    """An option is unknown or its value does not fit."""


class PayloadError(TaskforgeError):
    """A value cannot travel."""


class EncodeError(PayloadError):
    """A value's type does not fit, refers to itself, or is nested too deep."""


class DecodeError(PayloadError):
    """The bytes are no payload of ours."""


class UnknownVersion(PayloadError):
    """The bytes were written by a newer taskforge."""


class PayloadTooLarge(PayloadError):
    """The encoded value is over its size limit."""


class BrokerError(TaskforgeError):
    """The broker did not do what was asked."""


class BrokerUnavailable(BrokerError):
    """No answer came: whether the call took effect is unknown. Sent again under its stamp it takes effect once."""


class EnqueueFailed(BrokerUnavailable):
    """Part of a batch was not confirmed. Enqueuing the same jobs again under the same ids is safe.

    `done` were accepted, `unknown` may have been, `unsent` were not.
    """

    def __init__(
        self, message: str, *, done: Sequence[str] = (), unknown: Sequence[str] = (), unsent: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.done, self.unknown, self.unsent = tuple(done), tuple(unknown), tuple(unsent)


class BrokerRefused(BrokerError):
    """The broker answered no, and nothing happened. It may say yes later."""


class BrokerUnsupported(BrokerError):
    """This broker can never serve this program as it is."""


class StaleCall(BrokerError):
    """A call numbered below the last one of its sender; nothing happened."""


class JobError(TaskforgeError):
    """A job has no result to give."""


class JobFailed(JobError):
    """The job is dead.

    `reason` is why (error, timeout, crashed, …); `error_type`, `error_message` and `traceback` are the last
    error's, as text.
    """

    def __init__(
        self, job_id: str, reason: str, error_type: str = "", error_message: str = "", traceback: str = ""
    ) -> None:
        error = f"{error_type.removeprefix('builtins.')}: {error_message}"
        super().__init__(
            f"job {job_id} is dead ({reason}): {error}" if error_type else f"job {job_id} is dead: {reason}"
        )
        self.job_id, self.reason = job_id, reason
        self.error_type, self.error_message, self.traceback = error_type, error_message, traceback


class JobCancelled(JobError):
    """The job was cancelled; `reason` says why (requested, expired, discarded, …)."""

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} was cancelled ({reason})")
        self.job_id, self.reason = job_id, reason


class JobNotFound(JobError):
    """No queue knows a job of this id."""


class ResultExpired(JobNotFound):
    """The job was known and has aged out, its result with it."""


class AmbiguousJob(TaskforgeError):
    """Two queues know a job of this id; name the queue."""


class StopRequested(TaskforgeError):
    """Raised by `current_job().raise_if_stopped()` in a run that was asked to stop."""


class ProcessDied(TaskforgeError):
    """The process of an isolated run ended before the run did: by a signal, or with an exit code."""


class MemoryExceeded(MemoryError, TaskforgeError):
    """An isolated run took more memory than its task allows, and was ended."""


class WouldBlock(TaskforgeError):
    """A waiting call was made inside a running event loop; use its async twin."""
