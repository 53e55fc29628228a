"""The signals of an app: what happened, told to whoever listens, and never felt by a job."""

from __future__ import annotations

import logging

from blinker import Signal

logger = logging.getLogger("taskforge.signals")


class Signals:
    """One set per app; the sender is the app, the facts are keywords.

    A receiver is a function `(app, **facts)`. blinker holds receivers weakly: connect a nested function with
    `weak=False`.

    | signal | facts |
    |---|---|
    | job_enqueued | job (NewJob), task (its name), new |
    | job_started | run |
    | job_succeeded | delivery, run, took |
    | job_retried | delivery, run, delay, error |
    | job_snoozed | delivery, run (None for one parked here), delay |
    | job_buried | delivery, run (None for one never run), reason, error |
    | job_cancelled | delivery, run, reason |
    | job_handed_back | delivery, run |
    | lease_lost | delivery, run |
    | loop_blocked | run (None where it is not known), seconds, stack |
    | worker_started, worker_draining, worker_stopped | worker |
    | broker_lost | error |
    | broker_back | |

    `error` is bytes of the codec's plain form, or None.
    """

    def __init__(self) -> None:
        self.job_enqueued = Signal("a job was accepted by the broker")
        self.job_started = Signal("a run is about to call its function")
        self.job_succeeded = Signal("a run returned and its ack was accepted")
        self.job_retried = Signal("a run failed and its job will run again")
        self.job_snoozed = Signal("a run asked to be run later, without blame")
        self.job_buried = Signal("a job is dead")
        self.job_cancelled = Signal("a run ended as cancelled")
        self.job_handed_back = Signal(
            "a job went back to its place: at shutdown, or because it was claimed ahead and did not start"
        )
        self.lease_lost = Signal("a run's settlement was refused, or its lease seen to be lost")
        self.loop_blocked = Signal("an event loop stands still: one of its runs does not let the others go on")
        self.worker_started = Signal("a worker process is ready to claim")
        self.worker_draining = Signal("a worker takes no new jobs")
        self.worker_stopped = Signal("a worker process has let go of everything")
        self.broker_lost = Signal("the broker does not answer")
        self.broker_back = Signal("the broker answers again")


def emit(signal: Signal, sender: object, **facts: object) -> None:
    """Tell every receiver, even when one of them fails: that one is logged. Costs nothing without receivers."""
    if not signal.receivers:
        return
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, **facts)
        except KeyboardInterrupt:
            raise  # a person's, not the receiver's
        except BaseException:
            logger.exception("signal_receiver_failed", extra={"receiver": repr(receiver), "signal": signal.__doc__})
