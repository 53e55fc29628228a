"""Many coroutines and threads that enqueue at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from taskforge import EnqueueFailed, JobHandle, Taskforge
from taskforge.brokers.protocol import BATCH, BATCH_BYTES
from taskforge.brokers.stamp import Stamp
from taskforge.client import Client
from taskforge.errors import BrokerUnavailable
from taskforge.job import Enqueued, NewJob
from taskforge.testing import FlakyBroker


class Slow(FlakyBroker):
    """Answers one call at a time, and only when it is let; counts what it was sent."""

    def __init__(self, app: Taskforge) -> None:
        super().__init__(app.broker)
        self.calls: list[int] = []
        self.order: list[str] = []
        self.made = 0
        self.most_waiting = 0
        self.refuse_after: int | None = None
        self._pace = threading.Event()
        app._client = Client(self, app.settings)

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        self.calls.append(len(jobs))
        self.most_waiting = max(self.most_waiting, self.made - len(self.order))
        self._pace.wait(0.005)  # never set: a broker that takes its time
        if self.refuse_after is not None and len(self.order) >= self.refuse_after:
            raise BrokerUnavailable("away for good")
        self.order += [job.id for job in jobs]
        return super().enqueue(jobs, stamp)


def test_ten_thousand_coroutines_share_few_calls_and_hold_few_payloads(app: Taskforge) -> None:
    slow = Slow(app)

    @app.task
    def note(caller: int, text: str) -> None: ...

    new_jobs = app.desk._make

    def counted(*args: object) -> list[NewJob]:
        slow.made += 1
        return new_jobs(*args)  # type: ignore[arg-type]  # passed on as they came

    app.desk._make = counted  # type: ignore[method-assign]

    async def main() -> list[JobHandle[None]]:
        return await asyncio.gather(*[note.aenqueue(n, "x" * 100) for n in range(10_000)])

    handles = asyncio.run(main())

    assert [handle.id for handle in handles] == slow.order
    assert len(slow.calls) < 10_000 / 100
    assert max(slow.calls) <= BATCH
    assert slow.most_waiting <= 1_000


def test_the_order_of_each_caller_is_kept(app: Taskforge) -> None:
    slow = Slow(app)

    @app.task
    def note(caller: int, n: int) -> None: ...

    async def caller(name: int) -> list[str]:
        return [(await note.aenqueue(name, n)).id for n in range(20)]

    async def main() -> list[list[str]]:
        return await asyncio.gather(*[caller(name) for name in range(50)])

    told = asyncio.run(main())

    place = {id: at for at, id in enumerate(slow.order)}
    assert all([place[id] for id in ids] == sorted(place[id] for id in ids) for ids in told)
    assert len(place) == 1_000


def test_each_caller_is_told_its_own_fate(app: Taskforge) -> None:
    app.configure(call_timeout=0.3)
    slow = Slow(app)
    slow.refuse_after = 500

    @app.task
    def note(n: int) -> None: ...

    async def main() -> list[JobHandle[None] | BaseException]:
        return await asyncio.gather(*[note.aenqueue(n) for n in range(2_000)], return_exceptions=True)

    fates = asyncio.run(main())

    enqueued = [fate.id for fate in fates if isinstance(fate, JobHandle)]
    failed = [fate for fate in fates if isinstance(fate, EnqueueFailed)]
    assert enqueued == slow.order
    assert len(enqueued) + len(failed) == 2_000
    # Every failed one names exactly its own job, as unknown when its batch had left, else as unsent; or none was made.
    assert all(len(fate.unknown) + len(fate.unsent) == 1 or "nothing was enqueued" in str(fate) for fate in failed)
    assert {len(fate.unknown) for fate in failed} == {0, 1}
    assert not {id for fate in failed for id in (*fate.unknown, *fate.unsent)} & set(enqueued)


def test_threads_that_enqueue_together_share_calls(app: Taskforge) -> None:
    slow = Slow(app)

    @app.task
    def note(n: int) -> None: ...

    def caller() -> None:
        for n in range(20):
            note.enqueue(n)

    threads = [threading.Thread(target=caller) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(slow.order) == 320
    assert len(slow.calls) < 320 / 4


def test_large_jobs_travel_in_bounded_calls(app: Taskforge) -> None:
    slow = Slow(app)
    sizes: list[int] = []

    def measured(jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        sizes.append(sum(len(job.body) for job in jobs))
        return Slow.enqueue(slow, jobs, stamp)

    slow.enqueue = measured  # type: ignore[method-assign]

    @app.task
    def note(text: str) -> None: ...

    note.enqueue_many([("x" * 250 * 1024,)] * 50)

    assert sum(slow.calls) == 50
    assert max(sizes) <= BATCH_BYTES
