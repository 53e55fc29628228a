"""The names of all keys in Redis: built here and nowhere else.

`<prefix>` is the app's (`tf:photos`). All keys of a queue carry its name as hash tag, so they share one Cluster slot.
Times are unix milliseconds of the server's clock. A *place* is (100 - priority) * 2^45 + turn, and turn rises by one
per job that takes a new place: strict priority, then first come first served, and below 2^53 as a score must be.

`<prefix>:{<queue>}:…`

| name      | type   | holds                                                                                        |
|-----------|--------|----------------------------------------------------------------------------------------------|
| jobs      | hash   | id → 6 bytes enqueued-at, 1 of rank (100 - priority), 6 of turn, all big-endian, then the    |
|           |        | body; a job is known while it is in here. That is its place when it was enqueued; where an   |
|           |        | entry in `facts` tells another, that holds. Turn 0: not told (delayed jobs, long bodies)     |
| ready     | zset   | id by place                                                                                  |
| delayed   | zset   | id by due time * 256 + (100 - priority)                                                      |
| retrying  | set    | those in `delayed` that wait for a retry                                                     |
| running   | zset   | id by the end of its lease                                                                   |
| facts     | hash   | id → what deliveries and the ending made of the job (`lua/include/entry.lua`); from its      |
|           |        | first claim, its ending, or a change of its priority, on                                     |
| succeeded | zset   | id of a job that succeeded without a result, by kept-until; at most Retention.finished       |
| results   | zset   | the same with a result; at most Retention.results, and .result_bytes of values               |
| dead      | zset   | id by kept-until; at most Retention.dead                                                     |
| cancelled | zset   | id by kept-until; at most Retention.finished                                                 |
| values    | hash   | id → its result; for those in `results`                                                      |
| expiring  | zset   | id of a job that no run has begun, by its `expires`                                          |
| stopping  | hash   | id of a running job that was asked to stop → how long (ms) its record is kept then           |
| errors    | hash   | id → its errors, each after 4 bytes of length, big-endian; at most ERRORS_BYTES              |
| progress  | hash   | id → the latest progress of a job that has not ended                                         |
| waiters   | hash   | id → the channels to tell of its end, one a line; at most 32                                 |
| bell      | list   | at most one token: there may be something to claim                                           |
| meta      | string | big-endian: epoch (2 bytes), level (2): the layout's version; now (6): last seen; due (6):   |
|           |        | before then time does nothing here; jumped (6): when the clock last did; cut (1): 1 while    |
|           |        | leases await shortening; swept (6): last time; turn (6), number (6): last given out; bytes   |
|           |        | (6): of `values`                                                                             |
| turns     | zset   | unix second by the first turn given in it to a job that had waited or run before: since when |
|           |        | such a job has been ready; at most 1,000, and none while no job is ready or running          |
| sender:*  | string | 6 bytes of a sender's last number, 6 of its time, 6 of the key's expiry, then the answer it  |
|           |        | got; for SENDER_AGE, or up to a minute less                                                  |

`<prefix>:{register}:…`, the register of workers; each key goes by itself when all that is in it has aged out

| name      | type   | holds                                                                                        |
|-----------|--------|----------------------------------------------------------------------------------------------|
| cards     | hash   | name of a worker → its card                                                                  |
| lives     | zset   | name by when its card ages out; at most MOST_CARDS                                           |
| wishes    | hash   | target → what is wished of it, as msgpack: what it is about, when it was made, when it ages  |
|           |        | out, the wish, and so on                                                                     |
| ends      | zset   | target by when its last wish ages out; at most MOST_TARGETS                                  |

`<prefix>:queues`, a zset, holds the known queues by the time they were last announced. `<prefix>:told:*` is the pub/sub
channel of one waiter, or of one worker. When everything has ended and aged out, `meta`, at most `bell`, and
`<prefix>:queues` are left.
"""

from __future__ import annotations

#: The keys of a queue in the order in which every script takes them, and `lua/include/queue.lua` names them.
QUEUE_KEYS = (
    "jobs",
    "ready",
    "delayed",
    "retrying",
    "running",
    "facts",
    "succeeded",
    "results",
    "dead",
    "cancelled",
    "values",
    "expiring",
    "stopping",
    "errors",
    "progress",
    "waiters",
    "bell",
    "meta",
    "turns",
)

#: Those of them, and the sender's record, that `lua/enqueue_one.lua` takes.
ONE_JOB_KEYS = ("jobs", "ready", "bell", "meta", "sender")

#: The keys of the register in the order in which its scripts take them, and `lua/include/register.lua` names them.
REGISTER_KEYS = ("cards", "lives", "wishes", "ends")

#: The layout that this program writes. Another epoch is refused; a level only adds.
EPOCH, LEVEL = 1, 1


class Keys:
    """The key names of one app."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._queues: dict[str, tuple[str, ...]] = {}
        self._numbered: dict[tuple[str, str], tuple[str, ...]] = {}
        self._few: dict[tuple[str, str], tuple[str, ...]] = {}

    def queue(self, name: str) -> tuple[str, ...]:
        """All keys of a queue, in the order of QUEUE_KEYS."""
        keys = self._queues.get(name)
        if keys is None:
            # Names of queues are few and come from code; a program that makes them up must not grow by them.
            if len(self._queues) >= 1_000:
                self._queues.clear()
            keys = self._queues[name] = tuple(f"{self._prefix}:{{{name}}}:{key}" for key in QUEUE_KEYS)
        return keys

    def numbered(self, queue: str, sender: str) -> tuple[str, ...]:
        """The same, and the last number and answer of one sender there."""
        keys = self._numbered.get((queue, sender))
        if keys is None:
            if len(self._numbered) >= 1_000:  # senders come and go
                self._numbered.clear()
            record = f"{self._prefix}:{{{queue}}}:sender:{sender}"
            keys = self._numbered[queue, sender] = (*self.queue(queue), record)
        return keys

    def for_one(self, queue: str, sender: str) -> tuple[str, ...]:
        """The keys that accepting one ready job needs, in the order of `lua/enqueue_one.lua`."""
        keys = self._few.get((queue, sender))
        if keys is None:
            if len(self._few) >= 1_000:
                self._few.clear()
            all_of_it = self.numbered(queue, sender)
            named = dict(zip((*QUEUE_KEYS, "sender"), all_of_it, strict=True))
            keys = self._few[queue, sender] = tuple(named[name] for name in ONE_JOB_KEYS)
        return keys

    def bell(self, queue: str) -> str:
        """The list that rings when a queue may have something to claim."""
        return self.queue(queue)[QUEUE_KEYS.index("bell")]

    @property
    def queues(self) -> str:
        """The known queues."""
        return f"{self._prefix}:queues"

    def told(self, waiter: str) -> str:
        """The channel on which one waiter is told of ends, or one worker of what concerns it."""
        return f"{self._prefix}:told:{waiter}"

    @property
    def register(self) -> tuple[str, ...]:
        """All keys of the register of workers, in the order of REGISTER_KEYS."""
        return tuple(f"{self._prefix}:{{register}}:{key}" for key in REGISTER_KEYS)
