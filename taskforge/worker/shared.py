"""Memory that a worker process shares with its parent: what it holds and runs, how it fares, what it asks for."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from operator import itemgetter
from typing import NamedTuple

from taskforge.brokers.protocol import Holding
from taskforge.errors import TaskforgeError
from taskforge.job import Delivery


class ChildState(IntEnum):
    """How far a worker process is, as it says itself."""

    STARTING = 0
    WAITING = 1  # for the broker, before its start
    READY = 2
    DRAINING = 3
    REPLACE_ME = 4  # it takes nothing new: a run of it overstays, and cannot be ended without the process
    FAILED = 5


class Figures(NamedTuple):
    """What a worker process measures of itself.

    `done` jobs have ended since its start, in `seconds` of run time altogether; `busy` of its `places` are taken,
    `held` jobs are not settled yet. `rss` is its memory (bytes), `lag` how late (seconds) its event loop answers,
    `silence` how long ago (seconds) the broker last answered.
    """

    done: int = 0
    seconds: float = 0.0
    busy: int = 0
    held: int = 0
    places: int = 0
    rss: int = 0
    lag: float = 0.0
    silence: float = 0.0


class Asked(NamedTuple):
    """What the register asks of the whole group, as moments of the broker (milliseconds since 1970); 0: nothing."""

    shutdown: int = 0
    restart: int = 0


#: Where things lie. Each word is eight bytes, written and read in one piece.
_MAGIC = 0x7466_7368_0000_0001
_HEAD = struct.Struct("=QQQ")  # magic with layout version, cells, bytes of a half
_STATE, _LIVE, _TURNS, _BEAT, _SHUTDOWN, _RESTART, _NAME, _FIGURES = 3, 4, 5, 6, 7, 8, 9, 16
_FIGURES_END = _FIGURES + len(Figures._fields)
_NAME_BYTES = 512
_CELLS = 128 * 8 + _NAME_BYTES
#: A half holds what can be held at once, with the longest names, and this much more. Untouched pages cost nothing.
_HALF, _PER_CELL = 1 << 20, 400
#: A half is done with at so many bytes, or at four times what was still held when it was begun: what lies in it goes to
#: the broker when the process dies, most of it in vain.
_FULL = 128 * 1024
#: A claim in the log: the number of its first delivery (0: a column of numbers follows), the count, bytes of the queues
#: (one for all, or one each), bytes of the ids. Then these, and the delivery numbers.
_CLAIM = struct.Struct("=QIII")
_BETWEEN = "\0"
#: Added to the number of a delivery, which is below that: it counts as begun.
_BEGUN = 1 << 63
_QUEUE, _ID, _NUMBER = map(itemgetter, range(3))


class Shared:
    """One for each child. The child writes, all but `fd` from its own threads; the parent reads, at any moment.

    The log of claims is written in two halves. When one is full, a snapshot of what is still `held` begins the other;
    so the live half names all that is held, and more: what has ended leaves no trace in it.
    """

    def __init__(self, fd: int, memory: mmap.mmap) -> None:
        magic, cells, half = _HEAD.unpack_from(memory)
        if magic != _MAGIC:
            raise TaskforgeError("the memory shared with the parent is of another release: restart the parent as well")
        self.fd, self._memory, self._half = fd, memory, half
        self._view = memoryview(memory)
        self._words: memoryview[int] = self._view[: _CELLS // 8 * 8].cast("Q")
        self._floats: memoryview[float] = self._view[: _CELLS // 8 * 8].cast("d")
        #: The number of the delivery that each place runs user code for; 0: none.
        self.cells: memoryview[int] = self._view[_CELLS : _CELLS + 8 * cells].cast("Q")
        #: Lists what is held, with its numbers. For the child to set.
        self.held: Callable[[], Iterable[tuple[int, Delivery]]] = lambda: ()
        self._starts = [_CELLS + 8 * cells, _CELLS + 8 * cells + half]
        self._at = self._start = self._starts[self._words[_LIVE]] + 8
        self._full = _FULL
        self._next = 1

    @classmethod
    def create(cls, cells: int) -> Shared:
        """New memory for a child with so many places that run jobs at once."""
        half = (_HALF + cells * _PER_CELL) // 8 * 8
        size = _CELLS + 8 * cells + 2 * half
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("taskforge", os.MFD_CLOEXEC)
        else:
            fd, path = tempfile.mkstemp(prefix="taskforge-")
            os.unlink(path)
        os.ftruncate(fd, size)
        memory = mmap.mmap(fd, size)
        _HEAD.pack_into(memory, 0, _MAGIC, cells, half)
        return cls(fd, memory)

    @classmethod
    def attach(cls, fd: int) -> Shared:
        """The memory behind a descriptor that the parent has handed over."""
        return cls(fd, mmap.mmap(fd, os.fstat(fd).st_size))

    def close(self) -> None:
        """Let the descriptor go. The memory stays for as long as this object, whoever still looks into it."""
        with suppress(OSError):
            os.close(self.fd)

    # What the child says.

    def publish(self, name: str) -> None:
        """Say by which sender's id it will claim, before it first does."""
        data = name.encode()[:_NAME_BYTES]
        self._view[128 * 8 : 128 * 8 + len(data)] = data
        self._words[_NAME] = len(data)

    def name(self) -> str:
        """The sender's id of the child; "" before it has one."""
        return bytes(self._view[128 * 8 : 128 * 8 + self._words[_NAME]]).decode()

    def beat(self) -> None:
        """Say that the interpreter turns."""
        self._floats[_BEAT] = time.monotonic()

    def beat_age(self, now: float) -> float | None:
        """How long (seconds) before `now`, monotonic, the last beat was; None before the first."""
        beat = self._floats[_BEAT]
        return max(0.0, now - beat) if beat else None

    @property
    def state(self) -> ChildState:
        """How far the child is."""
        return ChildState(self._words[_STATE])

    @state.setter
    def state(self, state: ChildState) -> None:
        self._words[_STATE] = state

    @property
    def figures(self) -> Figures:
        """What the child last measured; each figure is whole, the row may be of two moments."""
        done, seconds, busy, held, places, rss, lag, silence = self._floats[_FIGURES:_FIGURES_END]
        return Figures(int(done), seconds, int(busy), int(held), int(places), int(rss), lag, silence)

    @figures.setter
    def figures(self, figures: Figures) -> None:
        for at, figure in enumerate(figures, _FIGURES):
            self._floats[at] = figure

    def ask(self, what: str, at_ms: int) -> None:
        """Relay that the register wishes for a `shutdown` or `restart` of the group, since this moment."""
        self._words[{"shutdown": _SHUTDOWN, "restart": _RESTART}[what]] = at_ms

    def asked(self) -> Asked:
        """What was relayed last."""
        return Asked(self._words[_SHUTDOWN], self._words[_RESTART])

    # The log of claims.

    def claimed(self, deliveries: Sequence[Delivery]) -> int:
        """Note a claim; the number of its first delivery. The others have the numbers after it.

        One thread calls.
        """
        first = self._next
        self._next += len(deliveries)
        if self._at - self._start > self._full:
            self._turn()
        for frame in _frames(deliveries, first):
            self._append(frame)
        return first

    @property
    def has_claimed(self) -> bool:
        """Whether it has noted any claim."""
        return bool(self._words[_TURNS] or struct.unpack_from("=Q", self._memory, self._starts[0])[0])

    def begun(self, deliveries: Sequence[tuple[int, Delivery]]) -> None:
        """Note of some claimed before, each with its number, that they count as begun until they are settled. What must
        not run twice shall not go back from a process that died between its end and its settlement.
        """
        seqs = [seq for seq, _ in deliveries]
        for frame in _frames([marked(delivery) for _, delivery in deliveries], 0, seqs):
            self._append(frame)

    def _append(self, frame: bytes) -> bool:
        """Write it, then count it in: a child that dies in between has not noted it. False when there is no room."""
        end = self._at + len(frame)
        if end > self._start - 8 + self._half:
            return False  # more than there are places for: the leases see to it
        self._view[self._at : end] = frame
        self._at = end
        struct.pack_into("=Q", self._memory, self._start - 8, end - self._start)
        return True

    def _turn(self) -> None:
        """Begin the other half with what is still held."""
        other = 1 - self._words[_LIVE]
        self._at = self._start = self._starts[other] + 8
        struct.pack_into("=Q", self._memory, self._start - 8, 0)
        held = list(self.held())
        for frame in _frames([delivery for _, delivery in held], 0, [seq for seq, _ in held]):
            self._append(frame)
        self._full = max(_FULL, 4 * (self._at - self._start))
        self._words[_LIVE] = other
        self._words[_TURNS] += 1

    def holdings(self) -> list[Holding]:
        """All that the child holds, newest first, and some that it holds no more: the broker knows which."""
        return list(self._look()[0].values())

    def running(self) -> list[Holding]:
        """Those of the holdings whose runs have begun and not ended."""
        held, running = self._look()
        return [holding for seq, holding in held.items() if seq in running]

    def _look(self) -> tuple[dict[int, Holding], set[int]]:
        """What is held, by its numbers, newest first; and the numbers of what runs."""
        for _ in range(5):  # a living child may turn to the other half meanwhile
            turns = self._words[_TURNS]
            start = self._starts[self._words[_LIVE]] + 8
            (used,) = struct.unpack_from("=Q", self._memory, start - 8)
            log = bytes(self._view[start : start + used])
            running = {seq for seq in self.cells if seq}
            if self._words[_TURNS] == turns:
                break
        held: dict[int, Holding] = {}
        for seq, queue, id, number in reversed(list(_entries(log))):
            begun = seq in running or number >= _BEGUN
            held.setdefault(seq, Holding(queue, id, number % _BEGUN, begun))  # the newest word counts
        return held, running


def marked(delivery: Delivery) -> Delivery:
    """As it is noted when it counts as begun."""
    return delivery._replace(number=delivery.number + _BEGUN)


def _frames(deliveries: Sequence[Delivery], first: int, seqs: Sequence[int] = ()) -> Iterator[bytes]:
    """A claim as bytes; in several frames if an id has the character that stands between ids."""
    count = len(deliveries)
    if not count:
        return
    ids = _BETWEEN.join(map(_ID, deliveries))
    queues = list(map(_QUEUE, deliveries))
    queue = queues[0]
    one = queues.count(queue) == count
    between = queue if one else _BETWEEN.join(queues)
    if count > 1 and (ids.count(_BETWEEN) != count - 1 or between.count(_BETWEEN) != (0 if one else count - 1)):
        for at, delivery in enumerate(deliveries):
            yield from _frames([delivery], seqs[at] if seqs else first + at)
        return
    each = list(map(_NUMBER, deliveries))
    same = each.count(each[0]) == count  # as in nearly all claims, and then it is packed in no time
    numbers = struct.pack("=Q", each[0]) * count if same else array("Q", each).tobytes()
    ids_bytes, queues_bytes = ids.encode("utf-8", "surrogatepass"), between.encode("utf-8", "surrogatepass")
    head = _CLAIM.pack(0 if seqs else first, count, len(queues_bytes), len(ids_bytes))
    yield b"".join((head, queues_bytes, ids_bytes, numbers, array("Q", seqs).tobytes()))


def _entries(log: bytes) -> Iterator[tuple[int, str, str, int]]:
    """Number, queue, id and delivery number of all that was noted, oldest first."""
    at = 0
    while at + _CLAIM.size <= len(log):
        first, count, queues_size, ids_size = _CLAIM.unpack_from(log, at)
        ids_at = at + _CLAIM.size + queues_size
        numbers_at = ids_at + ids_size
        at = numbers_at + 8 * count * (1 if first else 2)
        if not count or at > len(log):
            return  # it was overwritten while being read
        queues = log[ids_at - queues_size : ids_at].decode("utf-8", "surrogatepass")
        ids = log[ids_at:numbers_at].decode("utf-8", "surrogatepass")
        numbers = array("Q", log[numbers_at : numbers_at + 8 * count])
        seqs = range(first, first + count) if first else array("Q", log[numbers_at + 8 * count : at])
        names = queues.split(_BETWEEN) if count > 1 and _BETWEEN in queues else [queues] * count
        yield from zip(seqs, names, ids.split(_BETWEEN) if count > 1 else [ids], numbers, strict=False)
