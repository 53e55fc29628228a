"""Errors that stand beside a job though no settlement brought them."""

from __future__ import annotations

from collections.abc import Sequence

from taskforge.brokers.protocol import ERRORS_BYTES
from taskforge.brokers.sqlite.calls import Call

#: A note joins the errors before it, or takes their place when they become too many.
_MAKE_ROOM = (
    "delete from errors where seq = ?1 "
    f"and length(?2) + (select total(length(error)) from errors where seq = ?1) > {ERRORS_BYTES}"
)
_KEEP = "insert into errors(seq, error) values(?, ?)"


def keep_notes(call: Call, notes: Sequence[tuple[int, bytes]]) -> None:
    """Keep these, each among the errors of its job."""
    call.db.executemany(_MAKE_ROOM, notes)
    call.db.executemany(_KEEP, notes)
