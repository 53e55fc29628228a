"""Says what became of a job, to the signals and the log, once the broker has answered."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta

from taskforge.info import read_error
from taskforge.run import Run
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.signals import emit
from taskforge.worker.judging import App

logger = logging.getLogger("taskforge.worker")


def tell(app: App, ended: Sequence[tuple[Run | None, Settlement]], refused: Collection[int]) -> None:
    """Say what became of a batch; `refused` are the indexes of settlements that came too late.

    Those that went well are the many: they cost next to nothing unless somebody listens.
    """
    if not refused and not app.signals.job_succeeded.receivers and not logger.isEnabledFor(logging.DEBUG):
        ended = [each for each in ended if not isinstance(each[1], Ack)]
    for index, (run, settlement) in enumerate(ended):
        _tell(app, settlement, run, index not in refused)


def _tell(app: App, settlement: Settlement, run: Run | None, accepted: bool) -> None:
    """One of them. `run` is None for a delivery that was never run."""
    signals, delivery = app.signals, settlement.delivery
    facts = {"job": delivery.id, "queue": delivery.queue, "task": run.task if run else None}
    told: dict[str, object] = {"delivery": delivery, "run": run}
    if not accepted:
        logger.warning("settlement_refused", extra=facts)
        emit(signals.lease_lost, app, **told)
        return
    match settlement:
        case Ack(took=took):
            logger.debug("job_succeeded", extra={**facts, "took": took.total_seconds()})
            emit(signals.job_succeeded, app, **told, took=took)
        case Requeue(delay=None):
            emit(signals.job_handed_back, app, **told)
        case Requeue(delay=timedelta() as delay, counts=True, error=error):
            logger.info("job_retried", extra={**facts, "delay": delay.total_seconds(), **_why(app, error)})
            emit(signals.job_retried, app, **told, delay=delay, error=error)
        case Requeue(delay=delay):
            emit(signals.job_snoozed, app, **told, delay=delay)
        case Bury(reason=reason, error=error):
            logger.error("job_buried", extra={**facts, "reason": reason, **_why(app, error, traceback=True)})
            emit(signals.job_buried, app, **told, reason=reason, error=error)
        case Cancel(reason=reason):
            logger.info("job_cancelled", extra={**facts, "reason": reason})
            emit(signals.job_cancelled, app, **told, reason=reason)


def _why(app: App, error: bytes | None, *, traceback: bool = False) -> dict[str, str]:
    """What the log says of a run's error."""
    if error is None:
        return {}
    told = read_error(app.codec, error)
    said = {"error": f"{told.type.removeprefix('builtins.')}: {told.message}"}
    return {**said, "traceback": told.traceback} if traceback else said
