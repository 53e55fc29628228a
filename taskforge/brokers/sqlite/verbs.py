"""The scripts that SQLite runs in a single step: made on a connection, given their input, run by name."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from taskforge.brokers import moments
from taskforge.brokers.protocol import BATCH, CLOCK_JUMP, CLOCK_NOISE, ERRORS_BYTES, SENDER_AGE

Value: TypeAlias = str | bytes | int | None

#: The most records that are removed for a bound in one call.
TRIM = 1_000
#: An exchange looks for aged-out records this often per queue (ms).
SWEEP_EVERY = 1_000
#: A body of up to so many bytes stands in its job's row, which is copied whenever the job moves on.
SMALL_BODY = 1_024
#: A queue that saw the time less than this ago (ms) does not write it down again.
SEEN_EVERY = moments.span(CLOCK_NOISE)
_NUMBERS = {
    "SMALL_BODY": SMALL_BODY,
    "SEEN_EVERY": SEEN_EVERY,
    "TRIM": TRIM,
    "SWEEP_EVERY": SWEEP_EVERY,
    "ERRORS_BYTES": ERRORS_BYTES,
    "CLOCK_JUMP": moments.span(CLOCK_JUMP),
    "SENDER_AGE": moments.span(SENDER_AGE),
}
#: What stands in for a `now` of None: the clock as it is once the database is locked, so that among processes it never
#: seems to go back.
_CLOCK = "coalesce(:now, cast(round((julianday('now') - 2440587.5) * 86400000) as integer))"


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _script() -> str:
    folder = Path(__file__).parent
    text = "".join((folder / name).read_text(encoding="utf-8") for name in ("inputs.sql", "ending.sql", "verbs.sql"))
    return re.sub(r"\b[A-Z_]{4,}\b", lambda word: str(_NUMBERS.get(word[0], word[0])), text)


def _calls(script: str) -> Iterator[tuple[str, str]]:
    """For each verb the INSERT that runs it, its values bound by the names of the view's columns."""
    for verb in re.findall(r"create temp trigger do_(\w+)", script):
        view = re.search(rf"create temp view {verb}\(([^)]*)\)", script)
        assert view is not None
        values = [_CLOCK if name == "now" else f":{name}" for name in re.split(r"[\s,]+", view[1].strip())]
        yield verb, f"insert into temp.{verb} values({', '.join(values)})"


_SCRIPT = _script()
_STATEMENTS = tuple(statements(_SCRIPT))
_CALLS = dict(_calls(_SCRIPT))


def prepare(db: sqlite3.Connection) -> None:
    """Make the scripts on this connection."""
    for statement in _STATEMENTS:
        db.execute(statement)


def run(db: sqlite3.Connection, verb: str, **values: Value) -> None:
    """Run one script. Its view says which values it takes."""
    db.execute(_CALLS[verb], values)


class Input:
    """Fills some columns of an input table, in one step whatever the number of rows.

    The table must be empty: rows that a broken-off call has left are a constraint's error.
    """

    #: A statement per number of rows would not stay prepared, so rows of nulls are added up to the next of these.
    _SIZES = (1, 2, 4, 8, 16, 32, 64, 128, BATCH)

    def __init__(self, table: str, *columns: str) -> None:
        self._width = len(columns)
        marks = ", ?" * len(columns)
        self._fills = {
            size: f"insert into temp.{table}(position, {', '.join(columns)}) values "
            + ", ".join(f"({position}{marks})" for position in range(size))
            for size in self._SIZES
        }

    def fill(self, db: sqlite3.Connection, values: Sequence[Value]) -> None:
        """Add these rows, whose values stand one after the other, at positions from 0. At most BATCH."""
        rows = len(values) // self._width
        if not rows:
            return
        size = next(size for size in self._SIZES if size >= rows)
        db.execute(self._fills[size], (*values, *(None,) * ((size - rows) * self._width)))
