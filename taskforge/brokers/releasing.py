"""Releasing any number of deliveries, in steps."""

from __future__ import annotations

from collections.abc import Sequence

from taskforge.brokers.protocol import BATCH, Broker, Holding


def release_all(
    broker: Broker, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes
) -> list[Holding]:
    """What Broker.release does, of however many.

    The first call in a queue gives back its sender's last claim, of which it takes nothing for started that it does not
    name. So queue by queue, the latest claims come first: no more than BATCH are of the last one.
    """
    if len(held) <= BATCH:
        return broker.release(sender, queues, held, note)
    mine: dict[str, list[Holding]] = {queue: [] for queue in queues}
    for each in held:
        mine.setdefault(each.queue, []).append(each)
    let_go: list[Holding] = []
    for queue, named in mine.items():
        named.sort(key=lambda each: each.number, reverse=True)
        for start in range(0, max(1, len(named)), BATCH):
            let_go += broker.release(sender, [queue], named[start : start + BATCH], note)
    return let_go
