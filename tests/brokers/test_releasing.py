"""That releasing what a dead worker held costs what it held, however much else there is."""

from __future__ import annotations

from pathlib import Path

from taskforge.brokers.protocol import BrokerSettings, Demand, Holding
from taskforge.brokers.sqlite import SqliteBroker
from taskforge.brokers.stamp import Sender
from taskforge.job import NewJob
from taskforge.testing import FakeClock
from taskforge.testing.conformance.rig import HOUR

FIVE = Demand((5,), (("mail", (0,)),))


def test_no_release_and_no_reclaim_in_sqlite_looks_at_all_jobs(tmp_path: Path) -> None:
    clock, dead = FakeClock(), Sender()
    broker = SqliteBroker(f"sqlite:///{tmp_path / 'jobs.db'}", BrokerSettings(prefix="test", clock=clock))
    broker.enqueue([NewJob(str(n), "mail", b"body") for n in range(20)], Sender().stamp())
    first = broker.exchange(FIVE, [], dead.stamp()).deliveries
    broker.exchange(FIVE, [], dead.stamp())
    broker.exchange(FIVE, [], Sender().stamp())
    broker.inspector.cancel("mail", [first[0].id], HOUR, Sender().stamp())
    held = [Holding("mail", each.id, each.number, started=True) for each in first]
    seen: list[str] = []
    with broker._connections.write() as db:
        db.set_trace_callback(seen.append)

    let_go = broker.release(dead.id, ["mail"], held, b"why")
    for _ in range(16):
        clock.advance(5)
        broker.exchange(Demand((0,), FIVE.queues), [], Sender().stamp())

    with broker._connections.read() as db:
        db.set_trace_callback(None)
        told = [each for each in seen if each.startswith(("select", "update", "insert", "delete"))]
        plans = {each: [row[3] for row in db.execute("explain query plan " + each)] for each in dict.fromkeys(told)}
        counts = broker.inspector.counts("mail")
    broker.close()
    assert (len(let_go), counts.running, counts.ready, counts.cancelled) == (10, 0, 19, 1)
    assert any("errors" in each for each in plans)
    scanned = {step.split()[1] for plan in plans.values() for step in plan if step.startswith("SCAN")}
    assert not scanned & {"jobs", "j", "errors", "senders", "waiters", "results"}
