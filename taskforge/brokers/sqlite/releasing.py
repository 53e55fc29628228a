"""What a worker process held that has died, given back at once."""

from __future__ import annotations

import json
from collections.abc import Sequence

from taskforge.brokers.protocol import Holding
from taskforge.brokers.sqlite import senders
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.due import give_back
from taskforge.brokers.sqlite.notes import keep_notes
from taskforge.brokers.sqlite.queues import Queue
from taskforge.brokers.sqlite.settling import Identity, held

#: What had started counts a crash. What had not is as it was before its claim.
_LET_GO = (
    "update jobs set ahead = iif(ahead = 2, 2, 0), crashes = crashes + (seq in (select value from json_each(?1))) "
    "where seq in (select value from json_each(?2))"
)


def release(call: Call, queue: Queue, sender: str, named: Sequence[Holding], note: bytes) -> list[Holding]:
    """Close the sender, and give back what it still held in this queue; that."""
    started: dict[Identity, bool] = {}
    for _, job_id, number, begun in named:
        started[job_id, number] = begun or started.get((job_id, number), False)
    for identity in _last_claim(senders.close(call, queue, sender)):
        started.setdefault(identity, False)
    holding = held(call, queue, started)
    if holding:
        crashed = [job.seq for identity, job in holding.items() if started[identity]]
        seqs = [job.seq for job in holding.values()]
        call.db.execute(_LET_GO, (json.dumps(crashed), json.dumps(seqs)))
        keep_notes(call, [(seq, note) for seq in crashed])
        give_back(call, queue, seqs)
    return [Holding(queue.name, *identity, started[identity]) for identity in holding]


def _last_claim(answer: object) -> Sequence[Identity]:
    """What the sender's last call claimed, of the answer that was kept (exchanging.Answer, if it was an exchange)."""
    match answer:
        case [list(), int(number), list(ids), bool()]:
            return [(job_id, number) for job_id in ids]
        case _:
            return []
