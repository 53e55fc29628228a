"""Gives a database file its write-ahead log."""

from __future__ import annotations

import sqlite3
from functools import partial

from taskforge.brokers.sqlite.insisting import insist
from taskforge.errors import BrokerUnsupported

#: Pages of the write-ahead log after which a commit checkpoints by itself; workers do it earlier, off the hot path.
CHECKPOINT_PAGES = 10_000


def use_wal(db: sqlite3.Connection, name: str, patience: float) -> None:
    """Readers and a writer shall not wait for each other. Raises BrokerUnsupported where the file system cannot."""
    mode = insist(partial(_answer, db, "journal_mode"), patience)
    if mode != "wal":
        # While another process makes this very change SQLite does not wait, whatever its timeout.
        mode = insist(partial(_answer, db, "journal_mode = wal"), patience)
    if mode != "wal":
        raise BrokerUnsupported(f"{name} cannot have a write-ahead log there; put it onto a local disk")
    db.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")


def _answer(db: sqlite3.Connection, pragma: str) -> str:
    return str(db.execute("pragma " + pragma).fetchone()[0])
