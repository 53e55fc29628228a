"""Lists of ids as parameters. Not as JSON: SQLite's cuts a text at a NUL, and an id may be any text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: A statement per length would not stay prepared, so lists are filled up to the next of these.
_MARKS = {length: f"({','.join('?' * length)})" for length in (1, 8, 64, 256)}
_MOST = max(_MARKS)


def marks(ids: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Pieces of the list, each as `(?,…)` for an IN and the values for it, the last one repeated as filling."""
    for start in range(0, len(ids), _MOST):
        piece = list(ids[start : start + _MOST])
        length = next(length for length in _MARKS if length >= len(piece))
        yield _MARKS[length], piece + piece[-1:] * (length - len(piece))
