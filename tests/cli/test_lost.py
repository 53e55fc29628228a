"""What `taskforge job` tells of the crashes of a job."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from taskforge import JobFailed, Taskforge
from taskforge.brokers.losses import pack_loss
from taskforge.brokers.protocol import Demand, Holding
from taskforge.brokers.stamp import Sender
from taskforge.info import pack_error
from taskforge.settlement import Bury
from tests.cli.harness import Run

NOW = 1_900_000_060_000
DEFAULT = Demand((1,), (("default", (0,)),))
HOUR = timedelta(hours=1)


def test_a_job_that_crashed_tells_of_each_crash_and_of_no_attempt(run: Run, app: Taskforge) -> None:
    job, broker, dead = app.enqueue("shop.add", 1), app.broker, Sender()
    [first] = broker.exchange(DEFAULT, [], dead.stamp()).deliveries
    note = pack_error(app.codec, 0, first.enqueued_at, "crashed", "its process was killed by signal 9", "")
    broker.release(dead.id, ["default"], [Holding("default", first.id, first.number, True)], note)
    sender = Sender()
    [second] = broker.exchange(DEFAULT, [], sender.stamp()).deliveries
    silence = pack_loss(NOW, NOW - 60_000, "mill.4711.5ca1ab1e")
    broker.exchange(Demand(), [Bury(second, "crashed", HOUR, HOUR, False, silence, True)], sender.stamp())

    plain, as_json = run("job", job.id).out, json.loads(run("job", job.id, "--json").out)

    assert "dead (crashed)" in plain
    assert "crashed: its process was killed by signal 9" in plain
    assert "lost: its worker mill.4711.5ca1ab1e was silent for its lease; claimed at 2030-03-17 17:46:40+00:00" in plain
    assert "attempt 0" not in plain
    assert (as_json["crashes"], as_json["attempts"]) == (2, 0)
    assert [error["type"] for error in as_json["errors"]] == ["crashed", "lost"]
    with pytest.raises(JobFailed, match="silent for its lease"):
        job.result()
