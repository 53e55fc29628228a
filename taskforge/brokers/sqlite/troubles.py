"""What SQLite's errors mean to a caller, and what to do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from taskforge.errors import BrokerError, BrokerRefused, BrokerUnavailable, BrokerUnsupported

#: SQLite's primary error code → our error, and what is the matter with the database.
_MEANING: Mapping[int, tuple[type[BrokerError], str]] = {
    sqlite3.SQLITE_BUSY: (
        BrokerUnavailable,
        "stayed locked by another program; close what holds it (a database browser, a backup) or raise `timeout`",
    ),
    sqlite3.SQLITE_FULL: (BrokerRefused, "cannot grow: the disk is full; free some space"),
    sqlite3.SQLITE_IOERR: (BrokerRefused, "cannot be read or written: check the disk, and that it is a local one"),
    sqlite3.SQLITE_READONLY: (BrokerRefused, "is not writable: check the permissions of the file and of its folder"),
    sqlite3.SQLITE_PERM: (BrokerRefused, "is not writable: check the permissions of the file and of its folder"),
    sqlite3.SQLITE_CANTOPEN: (BrokerRefused, "cannot be opened: name a file in a folder that you may write to"),
    sqlite3.SQLITE_PROTOCOL: (BrokerUnavailable, "is being opened by too many at once, or its locks are lost"),
    sqlite3.SQLITE_NOTADB: (BrokerUnsupported, "is no SQLite database; name another file, or move this one away"),
    sqlite3.SQLITE_CORRUPT: (BrokerUnsupported, "is damaged; put back a copy, or move it away to begin with a new one"),
}


def explained(name: str, error: sqlite3.Error) -> Exception:
    """The error for the caller; one that is none of the database's stays what it is."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED:
        return BrokerUnavailable(f"{name} was deleted or replaced during a call")
    meaning = _MEANING.get(primary(error))
    if meaning is None:
        return error
    kind, matter = meaning
    return kind(f"{name} {matter} ({error})")


def primary(error: sqlite3.Error) -> int:
    """SQLite's primary code of an error; 0 for one that Python made."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def no_folder(folder: Path) -> BrokerRefused:
    """What to say when the database's folder is missing: a mistyped path must not become an empty database."""
    return BrokerRefused(f"the folder {folder} does not exist; make it, or name another database")
