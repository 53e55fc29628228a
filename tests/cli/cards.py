"""Workers that are nothing but a card in the register."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from taskforge import Taskforge
from taskforge.workers import CARD_AGE, WorkerCard, pack_card

CARD = WorkerCard(
    name="web1.11.a1",
    group="web1.10",
    host="web1",
    pid=11,
    version="0.1.0",
    queues=("default", "files"),
    tasks={"shop.add": "d1"},
    threads=8,
    slots=108,
    busy=3,
    done=1_000,
    jobs_per_second=12.5,
    seconds_per_job=0.25,
    last_exchange=0.4,
    rss=64 << 20,
    started_at=datetime.now(UTC)
    - timedelta(days=2, hours=2, minutes=10),  # told in days and hours, it stays the same for long
    processes=2,
)


def card(name: str, **said: object) -> WorkerCard:
    """The card of another worker, host.pid.hex, of the group host.10."""
    host, pid, _ = name.split(".")
    whose: dict[str, object] = {"name": name, "group": f"{host}.10", "host": host, "pid": int(pid), **said}
    return dataclasses.replace(CARD, **whose)  # type: ignore[arg-type]  # the tests' own words


def beat(app: Taskforge, cards: Iterable[WorkerCard]) -> None:
    """Let these workers tell of themselves."""
    for each in cards:
        app.broker.register.beat(each.name, pack_card(app.codec, each), CARD_AGE, each.targets)
