"""A program that enqueues the mix at a steady pace, under ids known beforehand: python -m tests.faults.client."""

from __future__ import annotations

import asyncio
import sys
import time

from taskforge import Call, TaskforgeError
from tests.faults import program
from tests.faults.kinds import QUEUES, id_of, kind_of
from tests.faults.ledger import write_down

#: Jobs handed to the broker at once, and how many may wait before it pauses.
BATCH, MOST_WAITING = 50, 3_000
#: Seconds between looks at how many wait.
LOOK = 1.0


async def enqueue(first: int, end: int, rate: float) -> None:
    """Jobs `first` to `end` - 1, `rate` of them a second. The last of each confirmed batch is written down."""
    began = looked = time.monotonic()
    for start in range(first, end, BATCH):
        numbers = list(range(start, min(end, start + BATCH)))
        while numbers := [each for each in await asyncio.gather(*map(_unconfirmed, numbers)) if each is not None]:
            await asyncio.sleep(0.1)
        last = min(end, start + BATCH) - 1
        write_down("confirmed", id_of(last))
        await asyncio.sleep(max(0.0, began + (last + 1 - first) / rate - time.monotonic()))
        if time.monotonic() > looked + LOOK:
            while await asyncio.to_thread(_waiting) > MOST_WAITING:
                await asyncio.sleep(LOOK)
            looked = time.monotonic()


async def _unconfirmed(number: int) -> int | None:
    """Enqueue one; its number if the broker did not confirm it. The same id may be sent as often as it takes."""
    name = kind_of(number).name
    task: Call[..., object] = getattr(program, name)
    try:
        await task.using(job_id=id_of(number), delay=number % 30 / 10 if name == "delayed" else 0).aenqueue(number)
    except TaskforgeError:
        return number
    return None


def _waiting() -> int:
    try:
        return sum(program.app.inspector.counts(queue).ready for queue in QUEUES)
    except TaskforgeError:
        return 0  # enqueueing will show whether the broker is there


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
