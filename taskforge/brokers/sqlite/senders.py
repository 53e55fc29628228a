"""The last call of each sender in each queue, so that a call sent again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from taskforge.brokers import moments
from taskforge.brokers.protocol import SENDER_AGE
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.queues import Queue
from taskforge.brokers.stamp import Stamp
from taskforge.errors import StaleCall

#: Whatever JSON gives back as it was.
A = TypeVar("A")

_json = json.JSONEncoder(separators=(",", ":"))
_AGE = moments.span(SENDER_AGE)
#: The number of a sender that is to make no more calls: above any that a call has.
_CLOSED = 2**63 - 1


def once(call: Call, queue: Queue, stamp: Stamp, apply: Callable[[], A]) -> A:
    """The answer of `apply`, or, if this stamp was here before, the answer it was given then."""
    kept: list[A] = recall(call, queue, stamp)
    if kept:
        return kept[0]
    answer = apply()
    remember(call, queue, stamp, answer)
    return answer


def recall(call: Call, queue: Queue, stamp: Stamp) -> list[A]:
    """The kept answer to this very stamp as the only item, or nothing. Raises StaleCall for a number already passed."""
    row = call.db.execute(
        "select number, answer from senders where queue = ? and sender = ? and used > ?",
        (queue.id, stamp.sender, call.now - _AGE),
    ).fetchone()
    if row is None or row[0] < stamp.number:
        return []
    if row[0] == _CLOSED:
        raise StaleCall(
            f"{stamp.sender} was closed on queue {queue.name!r} when its process died, so its call {stamp.number} "
            "changed nothing"
        )
    if row[0] > stamp.number:
        raise StaleCall(
            f"call {stamp.number} of {stamp.sender} on queue {queue.name!r} comes after its call {row[0]}; nothing was "
            "changed. A sender makes one call at a time: use another one beside it"
        )
    call.db.execute("update senders set used = ? where queue = ? and sender = ?", (call.now, queue.id, stamp.sender))
    return [json.loads(row[1])]


def remember(call: Call, queue: Queue, stamp: Stamp, answer: object) -> None:
    """Keep the answer until the sender's next call or, if none comes, for SENDER_AGE."""
    call.db.execute(
        "insert or replace into senders(queue, sender, number, used, answer) values(?, ?, ?, ?, ?)",
        (queue.id, stamp.sender, stamp.number, call.now, _json.encode(answer)),
    )


def close(call: Call, queue: Queue, sender: str) -> object:
    """Refuse every later call of this sender; the answer that its last one was given, if that is still kept."""
    select = "select answer from senders where queue = ? and sender = ? and used > ?"
    row = call.db.execute(select, (queue.id, sender, call.now - _AGE)).fetchone()
    remember(call, queue, Stamp(sender, _CLOSED), None)
    return None if row is None else json.loads(row[0])


def drop_old(call: Call, queue: Queue, limit: int) -> None:
    """Forget some of those that have not called for SENDER_AGE."""
    call.db.execute(
        "delete from senders where queue = ?1 and sender in "
        "(select sender from senders where queue = ?1 and used <= ?2 limit ?3)",
        (queue.id, call.now - _AGE, limit),
    )
