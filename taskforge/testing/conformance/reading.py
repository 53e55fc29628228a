"""What can be read of queues and jobs."""

from __future__ import annotations

import pytest

from taskforge.job import Counts, JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    OTHER,
    QUEUE,
    Rig,
    ack,
    bury,
    cancel,
    requeue,
)

ENDED = [JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED]


class Reading(Suite):
    def test_known_queues_are_the_announced_ones_sorted(self, rig: Rig) -> None:
        assert rig.inspector.queues() == []

        rig.broker.announce(["photos", "mail"])
        rig.broker.announce(["a", "mail"])

        assert rig.inspector.queues() == ["a", "mail", "photos"]
        assert rig.another().inspector.queues() == ["a", "mail", "photos"]

    def test_an_unused_queue_is_an_empty_one(self, rig: Rig) -> None:
        assert rig.inspector.counts("unused") == Counts()
        assert rig.inspector.get("unused", "a") is None
        assert [rig.inspector.list("unused", state) for state in JobState] == [[]] * len(JobState)

    def test_counts_tell_how_many_jobs_stand_where(self, rig: Rig) -> None:
        rig.enqueue(*[str(n) for n in range(16)])
        deliveries = rig.claim(15)
        rig.enqueue("delayed", delay=60)
        rig.settle(
            *[ack(delivery) for delivery in deliveries[:5]],
            *[bury(delivery) for delivery in deliveries[5:9]],
            *[cancel(delivery) for delivery in deliveries[9:12]],
            requeue(deliveries[12], 60),
        )

        counts = rig.inspector.counts(QUEUE)

        assert counts == Counts(ready=1, delayed=2, retrying=1, running=2, succeeded=5, dead=4, cancelled=3)

    def test_waiting_jobs_are_listed_in_the_order_they_would_run(self, rig: Rig) -> None:
        rig.enqueue("3", "4")
        rig.enqueue("1", "2", priority=1)
        rig.enqueue("later", delay=60)
        rig.enqueue("sooner", delay=30)

        assert rig.listed(JobState.READY) == ["1", "2", "3", "4"]
        assert rig.listed(JobState.DELAYED) == ["sooner", "later"]

    def test_running_jobs_are_listed_as_they_would_lose_their_leases(self, rig: Rig) -> None:
        rig.enqueue("1", "2", "3")
        deliveries = []
        for _ in range(3):
            deliveries.append(rig.claim_one())
            rig.clock.advance(1)
        rig.broker.extend(deliveries[:1])

        assert rig.listed(JobState.RUNNING) == ["2", "3", "1"]

    @pytest.mark.parametrize("state", ENDED)
    def test_ended_jobs_are_listed_the_latest_first(self, rig: Rig, state: JobState) -> None:
        for id in ("1", "2", "3"):
            rig.bring(id, state)
            rig.clock.advance(1)

        assert rig.listed(state) == ["3", "2", "1"]

    def test_a_list_is_read_in_pages(self, rig: Rig) -> None:
        rig.enqueue(*[str(n) for n in range(7)])

        pages = [rig.inspector.list(QUEUE, JobState.READY, offset, limit=3) for offset in (0, 3, 6, 9)]

        assert [[record.id for record in page] for page in pages] == [["0", "1", "2"], ["3", "4", "5"], ["6"], []]

    def test_a_list_shows_a_hundred_unless_told_and_up_to_a_thousand(self, rig: Rig) -> None:
        for start in range(0, 1_250, 250):
            rig.enqueue(*[str(n) for n in range(start, start + 250)])

        assert len(rig.inspector.list(QUEUE, JobState.READY)) == 100
        assert len(rig.inspector.list(QUEUE, JobState.READY, limit=1_000)) == 1_000
        assert len(rig.inspector.list(QUEUE, JobState.READY, offset=1_200, limit=1_000)) == 50

    def test_a_job_is_found_in_each_known_queue_that_has_one(self, rig: Rig) -> None:
        rig.broker.announce([QUEUE, OTHER, "empty"])
        rig.enqueue("both", "mine", queue=QUEUE)
        rig.enqueue("both", queue=OTHER)

        assert {record.queue for record in rig.inspector.find("both")} == {QUEUE, OTHER}
        assert rig.inspector.find("mine") == [rig.record("mine")]
        assert rig.inspector.find("none") == []

    def test_a_list_tells_what_get_tells_but_for_results(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, error=b"why"))
        rig.broker.report(rig.claim_one(), b"half")

        assert rig.inspector.list(QUEUE, JobState.RUNNING) == [rig.record("a")]
