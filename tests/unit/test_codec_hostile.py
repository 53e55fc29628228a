"""Whatever the bytes are, reading them ends in a value or in one of two errors, soon."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgpack import ExtType, packb

from taskforge.codec import Codec, Envelope, Types
from taskforge.errors import DecodeError, UnknownVersion


class Colour(Enum):
    RED = 1


@dataclass
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ArithmeticError("below zero")


def task(it: Positive, colour: Colour) -> None: ...


CODEC = Codec()
TYPES = Types.of(task)
POSITIVE = f"{__name__}:Positive"
NAME, TUPLE, OBJECT = POSITIVE.encode(), ExtType(16, b""), ExtType(19, b"")


def _body(*parts: object) -> bytes:
    return packb(list(parts))


def _nested_array(levels: int) -> bytes:
    return b"\x92\x01" + b"\x91" * levels + b"\x90"


READERS: list[Callable[[bytes], object]] = [
    CODEC.read_body,
    CODEC.read_plain,
    lambda data: CODEC.read_arguments(data, TYPES),
    lambda data: CODEC.read_result(data, TYPES),
]

HOSTILE = {
    "nothing": b"",
    "one byte": b"\x92",
    "no array": packb({"a": 1}),
    "an empty array": b"\x90",
    "text": b"hello, world",
    "json": b'{"task": "x"}',
    "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "version 0": _body(0, "t", b""),
    "negative version": _body(-1, "t", b""),
    "four gigabytes claimed": b"\x92\x01\xdd\xff\xff\xff\xff",
    "four gigabytes of map claimed": b"\x92\x01\xdf\xff\xff\xff\xff",
    "four gigabytes of text claimed": b"\x92\x01\xdb\xff\xff\xff\xff",
    "many arrays claimed": b"\x92\x01" + b"\xdd\x00\x03\xff\xff" * 50_000,
    "103 levels": _nested_array(103),
    "1,000 levels": _nested_array(1_000),
    "100,000 levels": _nested_array(100_000),
    "100,000 levels of maps": b"\x92\x01" + b"\x81\xa1a" * 100_000 + b"\xc0",
    "an unused byte": b"\x92\x01\xc1",
    "bytes left over": b"\x92\x01\xc0\xc0",
    "no UTF-8": b"\x92\x01\xa2\xff\xfe",
    "a list as a key": b"\x92\x01\x81\x90\x01",
    "an unknown extension": packb([1, ExtType(99, b"x")]),
    "a bad timestamp": b"\x92\x01\xc7\x03\xff\x01\x02\x03",
    "no datetime": packb([1, ExtType(2, b"yesterday")]),
    "a time zone out of its directory": packb([1, ExtType(2, b"2024-01-01T00:00:00[../../../etc/passwd]")]),
    "a time zone that is a directory": packb([1, ExtType(2, b"2024-01-01T00:00:00[America]")]),
    "a time zone that is unknown": packb([1, ExtType(2, b"2024-01-01T00:00:00[Moon/Tycho]")]),
    "a time zone with a null": packb([1, ExtType(2, b"2024-01-01T00:00:00[a\x00b]")]),
    "no date": packb([1, ExtType(3, b"\xff\xff")]),
    "no time": packb([1, ExtType(4, b"25:00")]),
    "half a timedelta": packb([1, ExtType(5, b"\x00" * 7)]),
    "a timedelta beyond all bounds": packb([1, ExtType(5, struct.pack(">iii", 2**31 - 1, 0, 0))]),
    "no decimal": packb([1, ExtType(6, b"1.2.3")]),
    "half a UUID": packb([1, ExtType(7, b"\x00" * 15)]),
    "a member of nothing": packb([1, ExtType(9, b"")]),
    "a member of a class unknown": packb([1, ExtType(9, b"os:system=x")]),
    "a member of a dataclass": packb([1, ExtType(9, NAME + b"=number")]),
    "a member unknown": packb([1, ExtType(9, f"{__name__}:Colour=MAUVE".encode())]),
    "a tag with content": packb([1, [ExtType(16, b"x"), 1]]),
    "a tag by itself": packb([1, TUPLE]),
    "a tag at the end": packb([1, [1, TUPLE]]),
    "a tag at the very beginning": packb([TUPLE, 1]),
    "a tag twice": packb([1, [TUPLE, TUPLE]]),
    "a tag as a key": b"\x92\x01\x81\xc7\x00\x10\x01",
    "a set of lists": packb([1, [ExtType(17, b""), []]]),
    "an object without a name": packb([1, [OBJECT]]),
    "an object named by a number": packb([1, [OBJECT, 5]]),
    "an object named by a list": packb([1, [OBJECT, []]]),
    "an object of a class unknown": packb([1, [OBJECT, "subprocess:Popen", "args", "id"]]),
    "an object of a class unknown here": packb([1, [OBJECT, "builtins:dict"]]),
    "an Enum made of fields": packb([1, [OBJECT, f"{__name__}:Colour", "value", "New", "names", "A"]]),
    "a field without value": packb([1, [OBJECT, POSITIVE, "number"]]),
    "a field named by a number": packb([1, [OBJECT, POSITIVE, 1, 1]]),
    "a field named by a list": packb([1, [OBJECT, POSITIVE, [], 1]]),
    "no field": packb([1, [OBJECT, POSITIVE]]),
    "a field too many": packb([1, [OBJECT, POSITIVE, "number", 1, "other", 2]]),
    "a field that the class does not accept": packb([1, [OBJECT, POSITIVE, "number", -1]]),
    "a tag for a field": packb([1, [OBJECT, POSITIVE, "number", TUPLE]]),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("read", READERS, ids=["body", "plain", "arguments", "result"])
@pytest.mark.timeout(5)
def test_bytes_that_are_no_payload_are_refused(read: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(DecodeError):
        read(data)


@given(st.binary(max_size=200))
@example(b"\x92\x01\x93")
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    for read in READERS:
        for each in (data, b"\x92\x01" + data):
            try:
                read(each)
            except (DecodeError, UnknownVersion):
                continue


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_that_were_changed_are_refused_or_read(data: st.DataObject) -> None:
    value = [Positive(1), Colour.RED, (1, {2, 3}), datetime(2024, 1, 1), Path("a"), {"a": [b"x" * 40]}]
    whole = bytearray(CODEC.arguments("t", value, {"k": value}, TYPES))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])

    for each in (bytes(whole), cut):
        try:
            CODEC.read_arguments(each, TYPES)
        except DecodeError:
            continue


@pytest.mark.parametrize(
    "parts",
    [
        (1,),
        (1, "t"),
        (1, 5, b""),
        (1, "t", "text"),
        (1, "t", b"", []),
        (1, "t", b"", {1: 2}),
        (1, "t", b"", None),
    ],
)
def test_a_body_of_other_parts_is_refused(parts: tuple[object, ...]) -> None:
    with pytest.raises(DecodeError):
        CODEC.read_body(_body(*parts))


@pytest.mark.parametrize("value", [[[], {}, 1], [[]], [{}, []], [[], {1: 2}], {"a": 1}, 5, None])
def test_arguments_of_another_shape_are_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        CODEC.read_arguments(packb(value), TYPES)


def test_what_a_later_release_adds_is_passed_over() -> None:
    body = _body(1, "t", b"args", {"timeout": 5}, "new", [1, 2])

    assert CODEC.read_body(body) == Envelope("t", b"args", {"timeout": 5})
    assert CODEC.read_plain(_body(1, "value", "new")) == "value"


@pytest.mark.parametrize("data", [_body(3, "t", b""), _body(127), _body(3, ExtType(120, b"?")), b"\x9f\x05\xc1\xc1"])
def test_a_later_format_is_known_as_such_whatever_follows(data: bytes) -> None:
    with pytest.raises(
        UnknownVersion, match=rf"the body was written in format {data[1]} by a newer taskforge, .* 2: upd"
    ):
        CODEC.read_body(data)
    with pytest.raises(UnknownVersion, match="the result was written in format"):
        CODEC.read_result(data, TYPES)
    with pytest.raises(UnknownVersion):
        CODEC.read_plain(data)


def test_a_body_of_the_second_format_is_read_and_keeps_its_format() -> None:
    body = _body(2, "t", b"args", {"isolate": {"memory": None, "reuse": 1}})

    envelope = CODEC.read_body(body)

    assert envelope == Envelope("t", b"args", {"isolate": {"memory": None, "reuse": 1}}, 2)
    assert CODEC.body(envelope) == body


def test_a_class_that_refuses_its_fields_is_named_with_its_error() -> None:
    with pytest.raises(DecodeError) as refused:
        CODEC.read_arguments(packb([[[OBJECT, POSITIVE, "number", -1]], {}]), TYPES)

    assert str(refused.value) == (
        f"the arguments cannot be read: {POSITIVE} does not accept its fields: ArithmeticError: below zero"
    )
    assert isinstance(refused.value.__cause__, ArithmeticError)
