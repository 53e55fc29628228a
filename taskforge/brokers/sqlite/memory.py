"""The connection to a database in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from taskforge.brokers.sqlite import layout, verbs
from taskforge.brokers.sqlite.connections import Connections, Opened
from taskforge.errors import BrokerUnsupported


class MemoryConnections(Connections):
    """The one connection to a private in-memory database, under a lock."""

    _synchronous: ClassVar[Mapping[str, str]] = {"default": "off"}

    def __init__(self, durability: str, timeout: float) -> None:
        super().__init__(Path(), durability, timeout)
        self.name = "memory://"
        self._only: Opened | None = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        with self.write() as db:  # the one connection has one transaction at a time
            yield db

    def checkpoint(self) -> None:
        """Nothing to do: there is no log."""

    def close(self) -> None:
        """Keep the connection: the jobs live in it, and end with this object."""

    def settle_in(self) -> None:
        if os.getpid() != self._pid:
            raise BrokerUnsupported(
                "a memory:// broker lives in the process that made it and cannot be used in its forked child; "
                "name a sqlite:/// or redis:// broker"
            )

    def _take(self, patience: float = 0.0) -> Opened:
        if self._only is None:
            db = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False, factory=Opened, cached_statements=256
            )
            self._configure(db)
            layout.prepare(db, self.name)
            verbs.prepare(db)
            self._only = db
        return self._only

    def _give_back(self, db: Opened) -> None:
        pass

    def _discard(self, db: Opened) -> None:
        db.rollback()
