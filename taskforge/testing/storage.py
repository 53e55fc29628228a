"""A look into what our own brokers store, which no verb of theirs shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

from taskforge.brokers.protocol import SENDER_AGE, Broker

#: Rows of SQLite's tables that stay: one for the layout, one for each queue, the last sender of each queue.
_LAYOUT, _PER_QUEUE = "meta", ("queues", "senders")
#: Ends of the names of keys on Redis that stay: two of each queue, and the set of known queues.
_KEYS = (":meta", ":bell", ":queues")
_PAGE = 1_000


class Storage(Protocol):
    """What a broker stores for one app."""

    def held(self) -> list[str]:
        """Everything that is stored, in words that change when it does."""
        ...

    def surplus(self, queues: int) -> list[str]:
        """What is stored beyond the few things that stay when all jobs of so many queues have aged out."""
        ...

    def clear(self) -> None:
        """Remove everything, if it would outlive the broker object."""
        ...


def storage_of(broker: Broker, prefix: str) -> Storage:
    """The storage behind a broker; of a stranger's nothing is seen. `prefix` must be the app's alone."""
    if (connections := getattr(broker, "_connections", None)) is not None:
        return _Tables(cast("_Connections", connections))
    if (wire := getattr(broker, "_wire", None)) is not None:
        return _Keys(cast("_Wire", wire), prefix)
    return _Unseen()


class _Rows(Protocol):
    def execute(self, statement: str) -> Iterator[tuple[str | int, ...]]: ...


class _Connections(Protocol):
    def read(self) -> AbstractContextManager[_Rows]: ...


class _Wire(Protocol):
    def ask(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[object]: ...


class _Tables:
    """SQLite's: all apps of a file together, so the file should be the test's alone."""

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections

    def held(self) -> list[str]:
        return [f"{rows} rows of {table}" for table, rows in self._counts().items() if rows]

    def surplus(self, queues: int) -> list[str]:
        may_stay = {_LAYOUT: 1, **dict.fromkeys(_PER_QUEUE, queues)}
        over = {table: rows for table, rows in self._counts().items() if rows > may_stay.get(table, 0)}
        return [f"{rows} rows of {table}" for table, rows in over.items()]

    def clear(self) -> None:
        """Nothing to do: the file is whoever's who named it, and memory goes with its broker."""

    def _counts(self) -> dict[str, int]:
        with self._connections.read() as db:
            tables = [str(name) for (name,) in db.execute("select name from sqlite_schema where type = 'table'")]
            return {table: int(next(db.execute(f'select count(*) from "{table}"'))[0]) for table in tables}


class _Keys:
    """Redis's: those that begin with the app's prefix."""

    def __init__(self, wire: _Wire, prefix: str) -> None:
        self._wire, self._prefix = wire, prefix

    def held(self) -> list[str]:
        return sorted(key.decode() for key in self._names())

    def surplus(self, queues: int) -> list[str]:
        # What a test's clock cannot age, the server does: a key that goes by itself within a sender's age is as good
        # as gone.
        age = SENDER_AGE.total_seconds() * 1000
        lives = {key.decode(): cast("int", self._ask("PTTL", key)) for key in self._names()}
        lasting = [key for key, life in lives.items() if not 0 < life <= age]
        return [f"the key {key}" for key in lasting if not key.endswith(_KEYS)]

    def clear(self) -> None:
        names = self._names()
        for start in range(0, len(names), _PAGE):
            self._ask("UNLINK", *names[start : start + _PAGE])

    def _names(self) -> list[bytes]:
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            answer = self._ask("SCAN", cursor, "MATCH", f"{self._prefix}:*", "COUNT", _PAGE)
            cursor, page = cast("tuple[bytes, list[bytes]]", answer)
            found.update(page)
            if cursor == b"0":
                return sorted(found)

    def _ask(self, *command: str | bytes | int) -> object:
        return self._wire.ask([command])[0]


class _Unseen:
    """A stranger's."""

    def held(self) -> list[str]:
        return []

    def surplus(self, queues: int) -> list[str]:
        return []

    def clear(self) -> None:
        """Nothing is known to remove."""
