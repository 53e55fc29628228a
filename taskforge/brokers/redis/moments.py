"""How moments and spans become the milliseconds that Redis holds, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
#: Longest span that is kept, about 1,000 years: later moments could not be told by a datetime any more.
_LONGEST = timedelta(days=365_000)


def span(length: timedelta) -> int:
    """A span in milliseconds."""
    return min(length, _LONGEST) // _MS


def moment(at: datetime) -> int:
    """An aware moment as unix milliseconds."""
    return (at - _EPOCH) // _MS


def stamped(ms: int) -> datetime:
    """Unix milliseconds as a moment in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)
