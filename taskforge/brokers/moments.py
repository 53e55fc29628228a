"""How moments and spans become the milliseconds that brokers hold, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The unit of all times in brokers.
MS = timedelta(milliseconds=1)


def span(length: timedelta) -> int:
    """A span in milliseconds."""
    return length // MS


def moment(at: datetime) -> int:
    """An aware moment as unix milliseconds."""
    return (at - _EPOCH) // MS


def stamped(ms: int) -> datetime:
    """Unix milliseconds as a moment in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def stamped_or_none(ms: int | None) -> datetime | None:
    """The same for a column that may be null."""
    return None if ms is None else stamped(ms)
