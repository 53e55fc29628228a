"""Decides every job's fate: from how a run ended, or could not begin, to what the broker is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from taskforge.around import Arounds
from taskforge.clock import Clock
from taskforge.codec import Codec
from taskforge.errors import PayloadError, StopRequested
from taskforge.failure import ErrorText, lineage
from taskforge.info import pack_error
from taskforge.job import Delivery
from taskforge.outcome import (
    Crashed,
    Dropped,
    Failed,
    GivenUp,
    HandedBack,
    Outcome,
    Packed,
    Postponed,
    Succeeded,
    Unfit,
)
from taskforge.registry import Registry
from taskforge.retry import Retry, RetryRule
from taskforge.run import JobMaker, Run, StopCause
from taskforge.settings import Settings
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.signals import Signals
from taskforge.submission import Resolver
from taskforge.workers import Colleagues, signature_digest

logger = logging.getLogger("taskforge.worker")

#: A job that this worker cannot run yet waits half its age again, within these bounds (seconds).
PARK_FIRST, PARK_LONGEST = 1.0, 300.0
#: The frames of a run's traceback that are the runner's own: `call` or `acall`.
FRAMES_ABOVE = 1
NO_TIME = timedelta(0)


class App(JobMaker, Resolver, Protocol):
    """The app, as far as running and judging need it."""

    settings: Settings
    clock: Clock
    codec: Codec
    tasks: Registry
    signals: Signals
    arounds: Arounds


class Judge:
    """One per worker; called in whatever thread a run ends in."""

    def __init__(self, app: App) -> None:
        self.app = app
        #: What the other workers know (None: cannot be told now). Without it, this worker knows best.
        self.colleagues: Callable[[], Colleagues | None] | None = None

    def judge(self, run: Run, outcome: Outcome) -> Settlement:
        """What becomes of the job. Never raises: a run that has ended must be settled."""
        try:
            return self._judge(run, outcome)
        except BaseException as error:
            logger.exception("outcome_not_judged", extra={"job": run.id, "task": run.task})
            return self.bury(run.delivery, "error", error, took=_took(run))

    def _judge(self, run: Run, outcome: Outcome) -> Settlement:
        delivery, options = run.delivery, run.options
        if run.cause is StopCause.CANCEL and isinstance(outcome, Failed | GivenUp | Postponed | Crashed):
            outcome = Dropped("requested", outcome.error)  # it was to end, and has ended
        if options.at_most_once:
            outcome = _final(run, outcome)
        if isinstance(outcome, Succeeded):
            return self._ack(run, outcome.value)
        match outcome:
            case Packed(result):
                keep_result = options.keep_result
                kept = None if keep_result is None else result
                return Ack(delivery, options.keep, _took(run), kept, keep_result or NO_TIME, tuple(run.then))
            case Crashed(error):
                return self._crashed(run, error)
            case HandedBack():
                return Requeue(delivery, None, False, options.keep)
            case Dropped(reason, error):
                blob = self._error(delivery, error) if error else None
                return Cancel(delivery, reason, options.keep, _took(run), blob)
            case Unfit(error, reason):
                if reason == "arguments" and self._known_better(run):
                    return self.park(delivery, error, reason)
                return self.bury(delivery, reason, error, counts=False)
            case GivenUp(error, reason):
                return self.bury(delivery, reason, error, took=_took(run))
            case Postponed(delay, counts, error):
                return self._postpone(run, delay, counts, error)
            case Failed(error, reason):
                return self._retry_or_bury(run, error, reason)

    def _ack(self, run: Run, value: object) -> Settlement:
        options, result = run.options, None
        if value is not None and options.keep_result is not None:
            try:
                result = self.app.codec.result(run.task, value, run.task_object.types)
            except PayloadError as error:
                # Running it again would end the same way, after all its work and side effects.
                return self.bury(run.delivery, "result", error, took=_took(run))
        return Ack(run.delivery, options.keep, _took(run), result, options.keep_result or NO_TIME, tuple(run.then))

    def _crashed(self, run: Run, error: BaseException) -> Settlement:
        """The run killed its process: once more, in its place, unless that was once too often."""
        delivery = run.delivery
        blob = self._error(delivery, error)
        if run.options.at_most_once or delivery.crashes + 1 >= self.app.settings.max_crashes:
            return Bury(delivery, "crashed", self.app.settings.dead_age, _took(run), False, blob, True)
        return Requeue(delivery, None, False, run.options.keep, blob, True)

    def _retry_or_bury(self, run: Run, error: BaseException, reason: str) -> Settlement:
        rule, age = run.options.retry, self._age(run.delivery)
        try:
            delay = rule.next_delay(run.attempt, lineage(error), error, age, own_backoff(run))
        except BaseException:  # SystemExit, too: a backoff may be any code
            logger.exception("backoff_failed", extra={"job": run.id, "task": run.task})
            delay = rule.next_delay(run.attempt, lineage(error), error, age)
        if delay is None:
            return self.bury(run.delivery, reason, error, took=_took(run))
        blob = self._error(run.delivery, error)
        return Requeue(run.delivery, timedelta(seconds=delay), True, run.options.keep, blob)

    def _postpone(self, run: Run, delay: timedelta, counts: bool, error: BaseException) -> Settlement:
        rule = run.options.retry
        late = rule.within is not None and (self._age(run.delivery) + delay).total_seconds() > rule.within
        if counts and (run.attempt >= rule.attempts or late):
            return self.bury(run.delivery, "error", error, took=_took(run))
        blob = self._error(run.delivery, error) if counts else None
        return Requeue(run.delivery, delay, counts, run.options.keep, blob)

    def _known_better(self, run: Run) -> bool:
        """Whether some worker may have another signature of this task; also when that cannot be found out now."""
        if self.colleagues is None:
            return False
        known = self.colleagues()
        return known is None or known.knows_better(run.task, signature_digest(run.task_object), run.queue)

    def park(self, delivery: Delivery, error: BaseException, reason: str) -> Settlement:
        """Leave it to a worker that knows better; dead, for this reason, when none came in time."""
        age = self._age(delivery)
        if age > self.app.settings.unknown_task_age:
            return self.bury(delivery, reason, error, counts=False)
        seconds = min(PARK_LONGEST, max(PARK_FIRST, age.total_seconds() / 2))
        logger.warning("job_parked", extra={"job": delivery.id, "queue": delivery.queue, "why": str(error)})
        keep = self.app.settings.finished_age
        return Requeue(delivery, timedelta(seconds=seconds), False, keep, self._error(delivery, error))

    def bury(
        self,
        delivery: Delivery,
        reason: str,
        error: BaseException | None,
        *,
        counts: bool = True,
        took: timedelta = NO_TIME,
    ) -> Bury:
        """The job is dead, for this reason."""
        blob = self._error(delivery, error) if error else None
        return Bury(delivery, reason, self.app.settings.dead_age, took, counts, blob)

    def _error(self, delivery: Delivery, error: BaseException) -> bytes:
        text = ErrorText.of(error, skip_frames=FRAMES_ABOVE if error.__traceback__ else 0)
        attempt, now = delivery.attempts + 1, self.app.clock.now()
        return pack_error(self.app.codec, attempt, now, text.type, text.message, text.traceback)

    def _age(self, delivery: Delivery) -> timedelta:
        """Since the job was enqueued. Both clocks matter only to seconds here."""
        return max(timedelta(0), self.app.clock.now() - delivery.enqueued_at)


def _final(run: Run, outcome: Outcome) -> Outcome:
    """The same for a run that must not be repeated once it has begun; only the task itself may ask to run again."""
    match outcome:
        case Failed(error, reason):
            return GivenUp(error, reason)
        case Postponed(_, True, error):
            return GivenUp(error)
        case HandedBack() if run.started is not None:
            return GivenUp(StopRequested(f"{run.task} was under way when its worker stopped"), "shutdown")
        case _:
            return outcome


def _took(run: Run) -> timedelta:
    return timedelta(0, run.took)


def own_backoff(run: Run) -> Callable[[int, BaseException], float | None] | None:
    """The callable backoff of the task's declaration, unless this job was given another retry."""
    declared = run.task_object.options.get("retry")
    if not isinstance(declared, Retry) or declared.travels or RetryRule.of(declared) != run.options.retry:
        return None
    return declared.backoff
