"""taskforge: a task queue for Python. The public names, nothing else."""

from taskforge.app import Taskforge, current_app
from taskforge.checks import Keep
from taskforge.current import task
from taskforge.errors import (
    AmbiguousJob,
    AppError,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    BrokerUnsupported,
    DecodeError,
    EncodeError,
    EnqueueFailed,
    JobCancelled,
    JobError,
    JobFailed,
    JobNotFound,
    OptionError,
    PayloadError,
    PayloadTooLarge,
    ResultExpired,
    SettingsError,
    StopRequested,
    TaskAlreadyRegistered,
    TaskError,
    TaskforgeError,
    UnknownTask,
    WouldBlock,
)
from taskforge.handle import JobHandle
from taskforge.info import JobInfo, Progress, RunError
from taskforge.job import Cancellation, Counts, JobState
from taskforge.outcome import Discard, Fail, RetryLater, RunTimeout, Snooze
from taskforge.retry import Exponential, Fixed, Retry
from taskforge.run import Run, current_job
from taskforge.task import Args, Call, Task

__all__ = [
    "AmbiguousJob",
    "AppError",
    "Args",
    "BrokerError",
    "BrokerRefused",
    "BrokerUnavailable",
    "BrokerUnsupported",
    "Call",
    "Cancellation",
    "Counts",
    "DecodeError",
    "Discard",
    "EncodeError",
    "EnqueueFailed",
    "Exponential",
    "Fail",
    "Fixed",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobHandle",
    "JobInfo",
    "JobNotFound",
    "JobState",
    "Keep",
    "OptionError",
    "PayloadError",
    "PayloadTooLarge",
    "Progress",
    "ResultExpired",
    "Retry",
    "RetryLater",
    "Run",
    "RunError",
    "RunTimeout",
    "SettingsError",
    "Snooze",
    "StopRequested",
    "Task",
    "TaskAlreadyRegistered",
    "TaskError",
    "Taskforge",
    "TaskforgeError",
    "UnknownTask",
    "WouldBlock",
    "current_app",
    "current_job",
    "task",
]
