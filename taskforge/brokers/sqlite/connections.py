"""The connections to one database: lent for one transaction each, opened anew when the file or the process changed."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from taskforge.brokers.deadline import left
from taskforge.brokers.sqlite import layout, verbs
from taskforge.brokers.sqlite.insisting import insist
from taskforge.brokers.sqlite.troubles import explained, no_folder
from taskforge.brokers.sqlite.wal import use_wal
from taskforge.errors import BrokerUnavailable, BrokerUnsupported

log = logging.getLogger(__name__)

A = TypeVar("A")

#: 4 KiB pages: with 8 KiB an enqueue one by one was measured a quarter slower. Some builds overwrite with zeros what is
#: deleted, which costs writes and is no promise of ours. A negative cache size is in KiB.
_PRAGMAS = (
    "page_size = 4096",
    "secure_delete = off",
    "cache_size = -16384",
    "temp_store = memory",
    "foreign_keys = off",
)
#: How many idle connections are kept; more calls at once open more and close them again.
_KEPT_IDLE = 16
#: What a process inherited from its parent by a fork. Closing these would touch the parent's locks, so they are kept.
_abandoned: list[object] = []


class Opened(sqlite3.Connection):
    """A connection that remembers which file it was opened on, and how long (seconds) it waits for a lock."""

    file: tuple[int, int] = (0, 0)
    patience: float = 0.0


class Connections:
    """A pool for one file. Calls at the same time get a connection each, whatever their threads."""

    #: durability → SQLite's word for it.
    _synchronous: ClassVar[Mapping[str, str]] = {"default": "normal", "disk": "full"}

    def __init__(self, path: Path, durability: str, timeout: float) -> None:
        self.path, self.name = path, f"the database {path}"
        self._durability, self._timeout = durability, timeout
        self._watching: Opened | None = None
        self._path = str(path)
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Opened] = []
        self._file: tuple[int, int] | None = None
        # Threads of one process queue here: SQLite's own way of waiting is to sleep and look again.
        self._writing = threading.Lock()
        self._opening = threading.Lock()
        self._looking = threading.Lock()
        self._checkpointing = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that no other writer interrupts; committed at the end, undone by an error."""
        self.settle_in()
        self._begin_writing()
        try:
            with self._transaction("begin immediate") as db:
                yield db
        finally:
            self._writing.release()

    def alone(self, work: Callable[[sqlite3.Connection], A]) -> A | None:
        """What `work` does with a connection, on which each statement is a transaction unless it begins one itself.

        None when the database's rules, or a script of verbs.sql, did not allow it: then nothing has happened.
        """
        self.settle_in()
        self._begin_writing()
        try:
            db = self._take()
            try:
                answer = self._insist(db, partial(work, db))
            except sqlite3.IntegrityError:
                self._undo(db)
                answer = None
            except sqlite3.Error as error:
                self._discard(db)
                raise explained(self.name, error) from error
            except BaseException:
                self._undo(db)
                self._give_back(db)
                raise
            self._give_back(db)
            return answer
        finally:
            self._writing.release()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the database for the whole `with`."""
        self.settle_in()
        with self._transaction("begin") as db:
            yield db

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the file, as far as no reader is in the way."""
        self.settle_in()
        with self._checkpointing:
            db = self._take()
            try:
                db.execute("pragma wal_checkpoint(passive)")
            except sqlite3.Error as error:
                self._discard(db)
                raise explained(self.name, error) from error
            self._give_back(db)

    def changes(self) -> tuple[tuple[int, int], int]:
        """A value that differs after any commit of one of the lent connections, or of another process."""
        self.settle_in()
        with self._looking:
            self._notice_another_file()
            if self._watching is None or self._watching.file != self._file:
                self._watching = self._connect()
            try:
                return self._watching.file, int(self._watching.execute("pragma data_version").fetchone()[0])
            except sqlite3.Error as error:
                self._watching = None
                raise explained(self.name, error) from error

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self.settle_in()
        self._file = None
        while self._idle:
            self._idle.pop().close()
        if self._watching is not None:
            self._watching.close()
            self._watching = None

    def settle_in(self) -> None:
        """After a fork, begin anew and leave the parent's connections alone."""
        if os.getpid() != self._pid:
            _abandoned.extend((self._idle, self._watching))
            self._watching = None
            self._begin()

    def _undo(self, db: Opened) -> None:
        """End a transaction that was begun, and let nothing of the call's input stay for the next one."""
        db.rollback()
        verbs.run(db, "afresh", x=0)

    def _begin_writing(self) -> None:
        """Wait for this thread's turn."""
        patience = left(self._timeout)
        if not self._writing.acquire(timeout=patience):
            raise BrokerUnavailable(f"{self.name}: other calls of this process took over {patience:g} s")

    def _insist(self, db: Opened, attempt: Callable[[], A]) -> A:
        """Have this done as soon as no other process writes: `attempt` does nothing while one does."""
        self._be_patient(db, 0.0)
        return insist(attempt, left(self._timeout), partial(self._undo, db))

    def _be_patient(self, db: Opened, patience: float) -> None:
        """Have SQLite itself wait so long (seconds) for other processes."""
        if db.patience != patience:
            db.execute(f"pragma busy_timeout = {patience * 1000:.0f}")
            db.patience = patience

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        patience = left(self._timeout) if begin == "begin" else 0.0
        db = self._take(patience)
        try:
            if patience:
                self._be_patient(db, patience)
                db.execute(begin)
            else:
                self._insist(db, partial(db.execute, begin))
            yield db
            db.execute("commit")
        except sqlite3.Error as error:
            self._discard(db)
            raise explained(self.name, error) from error
        except BaseException:
            db.rollback()
            self._give_back(db)
            raise
        self._give_back(db)

    def _take(self, patience: float = 0.0) -> Opened:
        """A connection, if possible one that has this patience already: writers have none, readers have SQLite's."""
        self._notice_another_file()
        try:
            fits = (at for at, db in enumerate(self._idle) if db.patience == patience)
            return self._idle.pop(next(fits, -1))
        except IndexError:
            return self._connect()

    def _give_back(self, db: Opened) -> None:
        if db.file == self._file and len(self._idle) < _KEPT_IDLE:
            self._idle.append(db)
        else:
            db.close()

    def _discard(self, db: Opened) -> None:
        db.close()

    def _notice_another_file(self) -> None:
        """Let go of connections to a file that is no longer the one under this path."""
        if self._file is None or self._file == _identity(self._path):
            return
        log.warning(
            "%s was deleted or replaced while in use; its jobs went with it", self.name, extra={"path": str(self.path)}
        )
        self.close()

    def _connect(self) -> Opened:
        with self._opening:
            if not self.path.parent.is_dir():
                raise no_folder(self.path.parent)
            try:
                db = sqlite3.connect(
                    self.path, self._timeout, isolation_level=None, check_same_thread=False, factory=Opened,
                    cached_statements=256,
                )  # fmt: skip
            except sqlite3.Error as error:
                raise explained(self.name, error) from error
            try:
                self._configure(db)
                use_wal(db, self.name, self._timeout)
                layout.prepare(db, self.name)
                verbs.prepare(db)
                db.patience = self._timeout
                db.file = self._file = _identity(self._path) or (0, 0)
            except sqlite3.Error as error:
                db.close()
                raise explained(self.name, error) from error
            except BaseException:
                db.close()
                raise
            return db

    def _configure(self, db: sqlite3.Connection) -> None:
        synchronous = self._synchronous.get(self._durability)
        if synchronous is None:
            raise BrokerUnsupported(
                f"{self.name} cannot promise durability {self._durability!r}, only {' or '.join(self._synchronous)}; "
                "set `durability` to that, or use a redis:// broker"
            )
        for pragma in (*_PRAGMAS, f"synchronous = {synchronous}"):
            db.execute("pragma " + pragma)


def _before_fork() -> None:
    """Let no fork happen inside a write: the child would inherit its locks in SQLite's memory, held for ever."""
    _held.extend(lock for each in sorted(_all, key=id) for lock in (each._writing, each._checkpointing))
    for lock in _held:
        lock.acquire()


def _after_fork() -> None:
    while _held:
        _held.pop().release()


#: The pools of this process, and what a fork under way holds of them.
_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_held: list[threading.Lock] = []
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is under this path now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
