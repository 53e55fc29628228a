"""The version of the tables in a file: made, accepted, migrated or refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from taskforge.brokers.sqlite.verbs import statements
from taskforge.errors import BrokerUnsupported

#: Marks a database file as ours ("TfJb"), so that another program's file is never written to.
APPLICATION_ID = 0x54664A62
EPOCH = 1
#: The scripts that lead from one level to the next; the first makes the tables of level 1.
LEVELS = tuple(Path(__file__).with_name(name) for name in ("schema.sql", "level2.sql"))

#: Columns of `jobs` that came to level 1 before it was released: files from before are completed.
_LATER = {"ahead": "integer not null default 0", "body": "blob"}


def prepare(db: sqlite3.Connection, name: str) -> None:
    """Bring the file to our level in one transaction, or refuse it."""
    db.execute("begin")  # to see one state of the file: another process may be making the tables at this moment
    level = _level(db, name)
    db.execute("commit")
    if level >= len(LEVELS):
        _complete(db)
        return
    db.execute("begin immediate")
    level = _level(db, name)  # again: another process may have been faster
    for script in LEVELS[level:]:
        for statement in statements(script.read_text(encoding="utf-8")):
            db.execute(statement)
    db.execute(f"pragma application_id = {APPLICATION_ID}")
    if level == 0:
        db.execute("insert into meta(epoch, level) values(?, ?)", (EPOCH, len(LEVELS)))
    else:
        db.execute("update meta set level = max(level, ?)", (len(LEVELS),))
    db.execute("commit")
    _complete(db)


def _complete(db: sqlite3.Connection) -> None:
    """Add the columns that the file was made without."""
    if not _missing(db):
        return
    db.execute("begin immediate")
    for column in _missing(db):  # again: another process may have been faster
        db.execute(f"alter table jobs add column {column} {_LATER[column]}")
    db.execute("commit")


def _missing(db: sqlite3.Connection) -> list[str]:
    there = {name for (name,) in db.execute("select name from pragma_table_info('jobs')")}
    return [column for column in _LATER if column not in there]


def _level(db: sqlite3.Connection, name: str) -> int:
    """The file's level, 0 for an empty one. Refuses what we cannot serve."""
    if db.execute("pragma application_id").fetchone()[0] != APPLICATION_ID:
        if db.execute("select exists(select 1 from sqlite_master)").fetchone()[0]:
            raise BrokerUnsupported(f"{name} holds another program's tables; give taskforge a file of its own")
        return 0
    epoch, level = db.execute("select epoch, level from meta").fetchone()
    if epoch != EPOCH or level > len(LEVELS) + 1:
        side = "newer" if (epoch, level) > (EPOCH, len(LEVELS)) else "older"
        raise BrokerUnsupported(
            f"{name} has layout {epoch}.{level}, written by a {side} taskforge; this one reads {EPOCH}.{len(LEVELS)}: "
            "install the taskforge that wrote it, or let its jobs finish there and name another file"
        )
    return int(level)
