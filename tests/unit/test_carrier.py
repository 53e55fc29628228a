"""How jobs of several callers travel together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskforge.awaiting import Mailbox, Room
from taskforge.brokers.protocol import BATCH, BATCH_BYTES
from taskforge.carrier import Carrier, NotSent
from taskforge.errors import BrokerRefused, BrokerUnavailable, EnqueueFailed
from taskforge.job import Enqueued, NewJob
from tests.servers import wait_until

LONG = 20.0


class Post:
    """Sends nothing: keeps each batch, and holds it back while the gate is shut."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def send(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        self.batches.append([job.id for job in jobs])
        assert self.gate.wait(LONG)
        if self.error is not None:
            raise self.error
        return [Enqueued(job.id, True) for job in jobs]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def carrier(post: Post) -> Carrier:
    return Carrier(post.send)


def job(id: str, size: int = 4) -> NewJob:
    return NewJob(id, "mail", b"x" * size)


def soon(seconds: float = LONG) -> float:
    return time.monotonic() + seconds


def test_a_lone_caller_sends_by_itself(post: Post, carrier: Carrier) -> None:
    before = threading.active_count()

    answers = [carrier.carry([job(str(n))], soon()) for n in range(3)]

    assert answers == [[Enqueued(str(n), True)] for n in range(3)]
    assert post.batches == [["0"], ["1"], ["2"]]
    assert threading.active_count() == before


def test_what_gathers_during_a_call_leaves_with_the_next_in_the_order_it_came(post: Post, carrier: Carrier) -> None:
    post.gate.clear()
    with ThreadPoolExecutor(4) as callers:
        first = callers.submit(carrier.carry, [job("first")], soon())
        wait_until(lambda: len(post.batches) == 1, LONG, "the first call being under way")
        rest = []
        for name in ("a", "b", "c"):
            rest.append(callers.submit(carrier.carry, [job(name)], soon()))
            wait_until(lambda: len(carrier._line) == len(rest), LONG, f"{name} standing in line")
        post.gate.set()

    assert post.batches == [["first"], ["a", "b", "c"]]
    assert first.result() == [Enqueued("first", True)]
    assert [each.result() for each in rest] == [[Enqueued(name, True)] for name in ("a", "b", "c")]


@pytest.mark.parametrize(
    ("jobs", "sizes"),
    [
        ([[job(f"{n}.{i}") for i in range(100)] for n in range(5)], [200, 200, 100]),
        ([[job(str(n), BATCH_BYTES // 2 - 1)] for n in range(5)], [2, 2, 1]),
        ([[job(str(n), BATCH_BYTES + 1)] for n in range(3)], [1, 1, 1]),
    ],
)
def test_what_leaves_together_is_bounded_in_number_and_bytes(
    post: Post, carrier: Carrier, jobs: list[list[NewJob]], sizes: list[int]
) -> None:
    post.gate.clear()
    with ThreadPoolExecutor(8) as callers:
        callers.submit(carrier.carry, [job("first")], soon())
        wait_until(lambda: len(post.batches) == 1, LONG, "the first call being under way")
        for each in jobs:
            callers.submit(carrier.carry, each, soon())
        wait_until(lambda: len(carrier._line) == len(jobs), LONG, "all standing in line")
        post.gate.set()

    assert max(sizes) <= BATCH
    assert [len(batch) for batch in post.batches[1:]] == sizes


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), BrokerRefused("no"), ZeroDivisionError("a bug")])
def test_every_caller_of_a_batch_hears_of_its_error_and_the_next_batch_is_sent(
    post: Post, carrier: Carrier, error: Exception
) -> None:
    post.gate.clear()
    post.error = error
    with ThreadPoolExecutor(4) as callers:
        callers.submit(carrier.carry, [job("first")], soon())
        wait_until(lambda: len(post.batches) == 1, LONG, "the first call being under way")
        futures = [callers.submit(carrier.carry, [job(name)], soon()) for name in "ab"]
        wait_until(lambda: len(carrier._line) == 2, LONG, "both standing in line")
        post.gate.set()

    assert [future.exception() for future in futures] == [error, error]
    post.error = None
    assert carrier.carry([job("later")], soon()) == [Enqueued("later", True)]


def test_a_caller_whose_patience_ends_in_line_knows_that_nothing_was_sent(post: Post, carrier: Carrier) -> None:
    post.gate.clear()
    with ThreadPoolExecutor(2) as callers:
        callers.submit(carrier.carry, [job("first")], soon())
        wait_until(lambda: len(post.batches) == 1, LONG, "the first call being under way")

        with pytest.raises(NotSent):
            carrier.carry([job("impatient")], soon(0.05))

        post.gate.set()
    assert carrier.carry([job("later")], soon()) == [Enqueued("later", True)]
    assert post.batches == [["first"], ["later"]]


def test_a_caller_whose_patience_ends_under_way_does_not_know(post: Post, carrier: Carrier) -> None:
    post.gate.clear()
    with ThreadPoolExecutor(2) as callers:
        callers.submit(carrier.carry, [job("first")], soon())
        wait_until(lambda: len(post.batches) == 1, LONG, "the first call being under way")
        second = callers.submit(carrier.carry, [job("second")], soon(0.5))
        wait_until(lambda: len(carrier._line) == 1, LONG, "the second standing in line")

        post.gate.set()
        post.gate.clear()
        error = second.exception(LONG)
        post.gate.set()

    # Either way the error tells the truth.
    assert isinstance(error, NotSent) == (["second"] not in post.batches)
    assert isinstance(error, BrokerUnavailable)


def test_coroutines_are_told_each_its_own_answer(post: Post, carrier: Carrier) -> None:
    async def main() -> list[list[Enqueued]]:
        mailbox = Mailbox(asyncio.get_running_loop(), carrier)
        return await asyncio.gather(*[mailbox.carry([job(str(n))], soon()) for n in range(1_000)])

    answers = asyncio.run(main())

    assert answers == [[Enqueued(str(n), True)] for n in range(1_000)]
    assert [id for batch in post.batches for id in batch] == [str(n) for n in range(1_000)]
    assert len(post.batches) < 100


def test_who_finds_no_room_waits_for_its_turn_and_a_cancelled_one_takes_none() -> None:
    entered: list[str] = []

    async def come(room: Room, name: str) -> None:
        if not room.enter():
            await room.wait(soon())
        entered.append(name)

    async def main() -> None:
        room = Room(asyncio.get_running_loop(), 1)
        tasks = [asyncio.create_task(come(room, name)) for name in "abcd"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        room.leave()
        tasks[2].cancel()  # in the same moment as it is given its place
        await asyncio.gather(*tasks[1:3], return_exceptions=True)
        await tasks[3]
        assert not room.enter()
        room.leave()
        assert room.enter()

    asyncio.run(main())

    assert entered == ["a", "d"]


def test_who_finds_no_room_in_time_is_told_so_and_takes_no_place() -> None:
    async def main() -> bool:
        room = Room(asyncio.get_running_loop(), 1)
        assert room.enter()
        with pytest.raises(EnqueueFailed, match="nothing was enqueued"):
            await room.wait(soon(0.05))
        room.leave()
        return room.enter()

    assert asyncio.run(main())


def test_a_coroutine_that_is_cancelled_in_line_is_withdrawn(post: Post, carrier: Carrier) -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop(), carrier)
        post.gate.clear()
        first = asyncio.create_task(mailbox.carry([job("first")], soon()))
        await asyncio.to_thread(wait_until, lambda: len(post.batches) == 1, LONG, "the first call being under way")
        second = asyncio.create_task(mailbox.carry([job("second")], soon()))
        third = asyncio.create_task(mailbox.carry([job("third")], soon()))
        await asyncio.to_thread(wait_until, lambda: len(carrier._line) == 2, LONG, "two standing in line")
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        post.gate.set()
        await asyncio.gather(first, third)

    asyncio.run(main())

    assert post.batches == [["first"], ["third"]]


def test_a_coroutine_whose_patience_ends_is_told_although_the_broker_hangs(post: Post, carrier: Carrier) -> None:
    async def main() -> list[BaseException | list[Enqueued]]:
        mailbox = Mailbox(asyncio.get_running_loop(), carrier)
        post.gate.clear()
        first = asyncio.create_task(mailbox.carry([job("first")], soon(0.2)))
        await asyncio.to_thread(wait_until, lambda: len(post.batches) == 1, LONG, "the first call being under way")
        second = asyncio.create_task(mailbox.carry([job("second")], soon(0.1)))
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(main())
    post.gate.set()

    assert type(first) is BrokerUnavailable
    assert type(second) is NotSent
