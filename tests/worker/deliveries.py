"""Deliveries as a broker would hand them over, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskforge import Call, Taskforge
from taskforge.job import Delivery
from taskforge.run import Run
from taskforge.task import Args
from taskforge.worker.runner import Runner


def delivery(
    app: Taskforge, call: Call[..., object], *args: object, attempts: int = 0, crashes: int = 0, age: float = 0.0
) -> Delivery:
    """The first delivery of a job with these arguments, enqueued `age` seconds ago."""
    [job] = app.new_jobs(call, [Args(*args)])
    enqueued = datetime.now(UTC) - timedelta(seconds=age)
    return Delivery(job.queue, job.id, 1, job.body, attempts, crashes, job.priority, enqueued)


def run_of(app: Taskforge, call: Call[..., object], *args: object, attempts: int = 0, age: float = 0.0) -> Run:
    """The run of such a delivery."""
    opened = Runner(app).open(delivery(app, call, *args, attempts=attempts, age=age))
    assert isinstance(opened, Run), opened
    return opened


def with_body(given: Delivery, body: bytes) -> Delivery:
    return given._replace(body=body)
