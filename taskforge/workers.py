"""What is known of workers: their cards, what can be asked of them, and what one worker knows of the others."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol, cast

from taskforge.brokers.register import Register, Wish
from taskforge.codec import Codec
from taskforge.errors import PayloadError

#: The target that every worker heeds.
EVERYONE = "*"
#: How long a card is kept after its worker's last beat, and a wish after it was made.
CARD_AGE, WISH_AGE = timedelta(seconds=60), timedelta(hours=24)
#: Bytes of a signature's digest: two that differ have the same one less often than a disk forgets.
_DIGEST_BYTES = 8
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class WorkerState(StrEnum):
    """Whether a worker takes new jobs."""

    RUNNING = "running"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """What one worker process says of itself, every few seconds. A newer release may say more; that is left out here.

    `group` is the parent of the process, as host.pid: the processes started together. `tasks` has the digest of each
    task's signature, by every name it answers to. `slots` is how many jobs it can run at once, on `threads` threads
    and its loop; `busy` how many it runs now. `done` are the jobs it has ended since its start, `jobs_per_second` and
    `seconds_per_job` what was measured of late. `last_exchange` is how many seconds ago the broker last answered an
    exchange (None: never yet), `rss` its memory in bytes, `processes` how many its group has.
    """

    name: str
    group: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    queues: tuple[str, ...] = ()
    tasks: Mapping[str, str] = field(default_factory=dict, repr=False)
    threads: int = 0
    slots: int = 0
    busy: int = 0
    done: int = 0
    jobs_per_second: float = 0.0
    seconds_per_job: float = 0.0
    last_exchange: float | None = None
    rss: int = 0
    started_at: datetime = _LONG_AGO
    state: WorkerState = WorkerState.RUNNING
    processes: int = 1

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets whose wishes it heeds."""
        return tuple(dict.fromkeys(target for target in (EVERYONE, self.group, self.name) if target))


#: What a field of a card must be to be believed.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "group", "host", "version", "state"), str),
    **dict.fromkeys(("pid", "threads", "slots", "busy", "done", "rss", "processes"), int),
    **dict.fromkeys(("jobs_per_second", "seconds_per_job"), (int, float)),
    "last_exchange": (int, float, type(None)),
    "queues": list,
    "tasks": dict,
    "started_at": datetime,
}


def pack_card(codec: Codec, card: WorkerCard) -> bytes:
    """A card as the broker keeps it."""
    said: dict[str, object] = {each.name: getattr(card, each.name) for each in fields(card)}
    said |= {"queues": list(card.queues), "tasks": dict(card.tasks), "state": card.state.value}
    return codec.plain(said)


def read_card(codec: Codec, blob: bytes) -> WorkerCard | None:
    """A card as its worker packed it, whatever its release; None for bytes that are none."""
    said = _map(codec, blob)
    known = {word: value for word, value in said.items() if isinstance(value, _KINDS.get(word, ()))}
    if "name" not in known:
        return None
    known["queues"] = tuple(map(str, cast("list[object]", known.get("queues", []))))
    tasks = cast("dict[object, object]", known.get("tasks", {}))
    known["tasks"] = {str(task): str(digest) for task, digest in tasks.items()}
    states = {state.value: state for state in WorkerState}
    known["state"] = states.get(str(known.get("state")), WorkerState.RUNNING)
    return WorkerCard(**known)  # type: ignore[arg-type]  # _KINDS has seen to it


def read_cards(codec: Codec, register: Register) -> list[WorkerCard]:
    """The cards of the living workers, sorted by name; those that cannot be read are left out."""
    cards = (read_card(codec, blob) for _, blob in register.cards())
    return [card for card in cards if card is not None]


class Desire(StrEnum):
    """What can be asked of a worker.

    `drain` (take nothing new, stay) stands until `resume`. `shutdown` (drain, then end), `restart` (the same, and be
    replaced) and `dump` (log all stacks) are done once, by the processes that were there when it was asked.
    """

    DRAIN = "drain"
    RESUME = "resume"
    SHUTDOWN = "shutdown"
    DUMP = "dump"
    RESTART = "restart"

    @property
    def lasting(self) -> bool:
        """Whether it also holds for workers that start after it was asked."""
        return self in (Desire.DRAIN, Desire.RESUME)

    @property
    def about(self) -> str:
        """What its wish is about: drain and resume replace each other, the others only themselves."""
        return "service" if self.lasting else self.value


def pack_desire(codec: Codec, desire: Desire) -> bytes:
    """A desire as a wish holds it."""
    return codec.plain({"what": desire.value})


def read_desire(codec: Codec, wish: bytes) -> Desire | None:
    """What a wish asks for; None for what this release does not know."""
    known = {desire.value: desire for desire in Desire}
    return known.get(str(_map(codec, wish).get("what")))


class Heed:
    """Makes of the answers to a worker's beats what the worker shall do. One per worker process.

    No clocks are compared: what stood at the first answer was asked before this worker was there, so of that only
    drain or resume concerns it.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._seen: dict[tuple[str, str], datetime] | None = None
        #: Whether this worker shall take nothing new. Stays as it is when the wish for it ages out.
        self.draining = False

    def take(self, wishes: Sequence[Wish]) -> list[tuple[Desire, datetime]]:
        """What is to be done once, newly asked since the last answer, in order, with when. `draining` is up to date
        then.
        """
        first, before = self._seen is None, self._seen or {}
        self._seen = {(wish.target, wish.about): wish.at for wish in wishes}
        asked: dict[Desire, datetime] = {}
        for wish in sorted(wishes, key=lambda wish: wish.at):
            desire = read_desire(self._codec, wish.wish)
            if desire is None:
                continue
            if desire.lasting:
                self.draining = desire is Desire.DRAIN
            elif not first and before.get((wish.target, wish.about)) != wish.at:
                asked.setdefault(desire, wish.at)
        return list(asked.items())


class Signed(Protocol):
    """A task, as far as its signature goes."""

    @property
    def signature(self) -> inspect.Signature:
        """Of the function."""
        ...


def signature_digest(task: Signed) -> str:
    """Differs when other arguments would fit: by the parameters' names, kinds, order, and which have defaults.

    Annotations and the defaults themselves do not matter.
    """
    parameters = task.signature.parameters.values()
    told = [f"{each.name}:{each.kind.name}:{each.default is not each.empty}" for each in parameters]
    return blake2b("\n".join(told).encode(), digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Colleagues:
    """What the other living workers know, as their cards told at `read_at` (by this machine's clock)."""

    cards: tuple[WorkerCard, ...]
    read_at: datetime

    @classmethod
    def read(cls, codec: Codec, register: Register, me: str, now: datetime) -> Colleagues:
        """The workers other than `me`."""
        return cls(tuple(card for card in read_cards(codec, register) if card.name != me), now)

    def knows_better(self, task: str, digest: str | None, queue: str | None = None) -> bool:
        """Whether one of them might run a job that this worker cannot.

        It has the task under another digest than `digest` or, when that is None because it is unknown here, has it at
        all. With `queue`, only those count that serve it.
        """
        return any(
            theirs is not None and theirs != digest
            for card in self._serving(queue)
            for theirs in [card.tasks.get(task)]
        )

    def _serving(self, queue: str | None) -> Iterable[WorkerCard]:
        return self.cards if queue is None else (card for card in self.cards if queue in card.queues)


def _map(codec: Codec, blob: bytes) -> dict[str, object]:
    try:
        said = codec.read_plain(blob)
    except PayloadError:
        return {}
    return {word: value for word, value in said.items() if isinstance(word, str)} if isinstance(said, dict) else {}
