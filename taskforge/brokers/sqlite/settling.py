"""What a settlement does to its job, if its delivery still holds it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from taskforge.brokers import moments
from taskforge.brokers.protocol import BATCH
from taskforge.brokers.sqlite import verbs
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement

#: What tells a delivery from all others of its queue: the job's id and the number.
Identity = tuple[str, int]

#: Those, how an ack ends it, and how any settlement does.
_IDENTITY = ("id", "number")
_ACK = (*_IDENTITY, "keep", "took", "result")
_ANY = (*_ACK, "state", "reason", "counts", "crashed", "error", "again", "delay")
_IDENTITIES = verbs.Input("deliveries", *_IDENTITY)
_ACKS = verbs.Input("deliveries", *_ACK)
_SETTLEMENTS = verbs.Input("deliveries", *_ANY)
#: Finds a job that runs again, now or as the first to fall due.
_STIRS = (
    "select 1 from standing s cross join returned r "
    "where s.queue = ? and (r.delay is null or r.delay = 0 or ? + r.delay <= s.due) limit 1"
)


class Held(NamedTuple):
    """A job that its delivery holds, and whether it shall stop."""

    seq: int
    stop: bool


def hand_in(db: sqlite3.Connection, settlements: Sequence[Settlement]) -> None:
    """Fill `deliveries` with what was settled."""
    values: list[verbs.Value] = []
    for settlement in settlements:
        if type(settlement) is not Ack:
            break
        delivery, keep, took, result, keep_result, _ = settlement
        kept = moments.span(keep if result is None else keep_result)
        values += (delivery.id, delivery.number, kept, moments.span(took), result)
    else:
        _ACKS.fill(db, values)
        return
    _SETTLEMENTS.fill(db, [value for settlement in settlements for value in _row(settlement)])


def settle(call: Call, queue: Queue, batch: Sequence[Settlement], then: list[NewJob]) -> list[int]:
    """Settle deliveries of one queue; the positions of those that came too late. Accepted acks add to `then`."""
    hand_in(call.db, batch)
    verbs.run(call.db, "settle", queue=queue.id, now=call.now, **call.bounds(queue))
    accepted = {position for (position,) in call.db.execute("select position from held")}
    for position in sorted(accepted):
        settlement = batch[position]
        if isinstance(settlement, Ack):
            then.extend(settlement.then)
    if call.db.execute(_STIRS, (queue.id, call.now)).fetchone():
        call.stirred.add(queue.name)
    call.db.execute("delete from deliveries")
    return [position for position in range(len(batch)) if position not in accepted]


def held(call: Call, queue: Queue, deliveries: Iterable[Identity]) -> dict[Identity, Held]:
    """Those of the deliveries that hold their job."""
    identities = list(dict.fromkeys(deliveries))  # each once: `match` knows a job only once
    found: dict[Identity, Held] = {}
    for start in range(0, len(identities), BATCH):
        batch = identities[start : start + BATCH]
        _IDENTITIES.fill(call.db, [value for identity in batch for value in identity])
        verbs.run(call.db, "match", queue=queue.id)
        call.db.execute("delete from deliveries")
        for position, seq, stop in call.db.execute("select position, seq, stop from held order by position"):
            found[batch[position]] = Held(seq, stop is not None)
    return found


def extend(call: Call, seqs: Sequence[int]) -> None:
    """Start the leases of these running jobs anew. What was claimed ahead has begun by now."""
    call.db.execute(
        "update jobs set lease = ?, ahead = iif(ahead = 1, 0, ahead) where seq in (select value from json_each(?))",
        (call.now + call.lease, json.dumps(seqs)),
    )


def _row(settlement: Settlement) -> Sequence[verbs.Value]:
    """A settlement as `deliveries` takes it, column by column of _ANY."""
    delivery, keep, span = settlement.delivery, moments.span(settlement.keep), moments.span
    ending: Sequence[verbs.Value]
    match settlement:
        case Ack(result=result, keep_result=keep_result, took=took):
            keep = keep if result is None else span(keep_result)
            ending = (keep, span(took), result, "succeeded", None, 0, 0, None, 0, None)
        case Bury(reason=reason, took=took, counts=counts, crashed=crashed, error=error):
            ending = (keep, span(took), None, "dead", reason, counts, crashed, error, 0, None)
        case Cancel(reason=reason, took=took, error=error):
            ending = (keep, span(took), None, "cancelled", reason, 0, 0, error, 0, None)
        case Requeue(delay=delay, counts=counts, crashed=crashed, error=error):
            wait = None if delay is None else max(0, span(delay))
            ending = (keep, None, None, None, None, counts, crashed, error, 1, wait)
    return delivery.id, delivery.number, *ending
