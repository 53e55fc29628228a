"""The standard types that msgpack does not know and that hold no other value: each as a code and a few bytes.

The bytes are text where there is a customary text, so that a program in another language can read them. The codes are
part of the format: they may be added to, never changed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from msgpack import ExtType

from taskforge.codec.refusals import Refusal, unknown_type

#: What msgpack writes by itself, smallest and largest.
MIN_INT, MAX_INT = -(2**63), 2**64 - 1

#: timedelta's own three numbers.
_SPAN = struct.Struct(">iii")


@dataclass(frozen=True, slots=True)
class Leaf:
    """How one type travels. `write` gets an instance of `kind` or a subclass; `read` may raise anything on garbage."""

    code: int
    kind: type
    write: Callable[[Any], bytes]
    read: Callable[[bytes], object]


def _write_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_datetime(value: datetime) -> bytes:
    return _marked(datetime.isoformat(datetime.replace(value, tzinfo=_shown(value))), value)


def _read_datetime(data: bytes) -> datetime:
    text, zone, fold = _unmarked(data)
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=zone or value.tzinfo, fold=fold) if zone or fold else value


def _write_time(value: time) -> bytes:
    return _marked(time.isoformat(time.replace(value, tzinfo=_shown(value))), value)


def _read_time(data: bytes) -> time:
    text, zone, fold = _unmarked(data)
    value = time.fromisoformat(text)
    return value.replace(tzinfo=zone or value.tzinfo, fold=fold) if zone or fold else value


def _marked(text: str, value: datetime | time) -> bytes:
    """ISO 8601. A named zone stands behind it in brackets as in RFC 9557, but replaces the offset: wall time is kept.

    A semicolon at the end is fold=1: of the two equal wall times when clocks go back, the second.
    """
    zone = f"[{value.tzinfo.key}]" if isinstance(value.tzinfo, ZoneInfo) else ""
    return f"{text}{zone}{';' if value.fold else ''}".encode()


def _unmarked(data: bytes) -> tuple[str, ZoneInfo | None, int]:
    text = data.decode()
    fold = text.endswith(";")
    text, _, zone = text.removesuffix(";").partition("[")
    return text, ZoneInfo(zone.removesuffix("]")) if zone else None, int(fold)


def _shown(value: datetime | time) -> timezone | None:
    """The time zone that the ISO text itself carries: a fixed offset."""
    zone = value.tzinfo
    if zone is None or type(zone) is timezone:
        return zone
    if isinstance(zone, ZoneInfo) and zone.key is not None:
        return None
    kind = f"{type(zone).__module__}.{type(zone).__qualname__}"
    raise Refusal(
        f"has a time zone of type {kind}, which cannot travel in a job: use zoneinfo.ZoneInfo(key) or datetime.timezone"
    )


def _write_span(value: timedelta) -> bytes:
    return _SPAN.pack(value.days, value.seconds, value.microseconds)


def _read_span(data: bytes) -> timedelta:
    days, seconds, microseconds = _SPAN.unpack(data)
    return timedelta(days, seconds, microseconds)


_ALL = (
    Leaf(1, int, _write_int, _read_int),
    Leaf(2, datetime, _write_datetime, _read_datetime),
    Leaf(3, date, lambda value: date.isoformat(value).encode(), lambda data: date.fromisoformat(data.decode())),
    Leaf(4, time, _write_time, _read_time),
    Leaf(5, timedelta, _write_span, _read_span),
    Leaf(6, Decimal, lambda value: Decimal.__str__(value).encode(), lambda data: Decimal(data.decode())),
    Leaf(7, UUID, lambda value: value.bytes, lambda data: UUID(bytes=data)),
    # fsencode, not UTF-8: a file name need not be text.
    Leaf(8, Path, os.fsencode, lambda data: Path(os.fsdecode(data))),
)

#: exact type → its leaf. Int is met here only beyond 64 bits. What Path() makes is of a subclass of the system's own.
LEAVES: Mapping[type, Leaf] = {leaf.kind: leaf for leaf in _ALL} | {
    kind: leaf for leaf in _ALL if leaf.kind is Path for kind in (type(Path()), type(PurePath()))
}
#: code → how to read it.
READERS: Mapping[int, Callable[[bytes], object]] = {leaf.code: leaf.read for leaf in _ALL}


def _through(kind: type) -> Callable[[Any], object]:
    leaf = LEAVES[kind]
    return lambda value: leaf.read(leaf.write(value))


#: class → how an instance of a subclass becomes one of the class itself. Datetime comes before date, its base.
_BASES: Mapping[type, Callable[[Any], object]] = {
    str: str.__str__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    int: int.__int__,
    **{kind: _through(kind) for kind in (datetime, date, time, timedelta, Decimal, UUID)},
}


def as_base(value: object) -> object:
    """A value of a type that msgpack and the leaves do not know, for msgpack to write, or a Refusal.

    An instance of a subclass (a str marked as safe HTML, numpy.float64, a test's fake datetime) travels as one of the
    class itself if the two are equal; else something would be lost unseen. Containers are refused: a defaultdict that
    arrived as a dict would fail late.
    """
    for base, plainly in _BASES.items():
        if isinstance(value, base):
            plain = plainly(value)
            same = plain == value or plain != plain  # NaN equals nothing
            if not same:
                break
            if base not in LEAVES or (isinstance(plain, int) and MIN_INT <= plain <= MAX_INT):
                return plain
            return ExtType(LEAVES[base].code, LEAVES[base].write(plain))
    raise unknown_type(value)
