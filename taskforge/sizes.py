"""Sizes of memory: bytes, from a number or from text as people write it."""

from __future__ import annotations

import re

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?b?)\s*", re.IGNORECASE)


def size(given: object) -> int:
    """Bytes, from a whole number of them or text like "512MB", "1.5 GiB", "700k"; each unit is 1,024 of the lower one.

    Raises ValueError for anything else.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    match = _TEXT.fullmatch(given) if isinstance(given, str) else None
    unit = _UNITS.get(match[2].lower().replace("i", "")) if match else None
    if match is None or unit is None or not (found := int(float(match[1]) * unit)):
        raise ValueError(f'must be a number of bytes, or text like "512MB", not {given!r}')
    return found


def told(given: int) -> str:
    """A size in the largest unit that it fills."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if given >= unit:
            return f"{given / unit:.4g} {name}"
    return f"{given} bytes"
