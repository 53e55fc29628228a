"""What cannot travel is refused where it is enqueued or returned, with its place and what to do instead."""

from __future__ import annotations

import logging
import socket
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from pathlib import PureWindowsPath
from typing import NamedTuple

import pytest
from msgpack import fallback

from taskforge.codec import Codec, Envelope, Types, payloads
from taskforge.errors import DecodeError, EncodeError, PayloadTooLarge

NONE = Types.none()
TASK = "photos.thumbnail"


class Colour(Enum):
    RED = 1


class Point(NamedTuple):
    x: int


@dataclass
class Holder:
    inside: object


def holding(photo: Holder) -> None: ...


class Fixed(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)


class Rounded(float):
    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = float.__hash__


class Socket:
    """Stands for any object with a connection of its own."""

    __module__ = "net"


def _refusal(value: object, types: Types = NONE) -> str:
    with pytest.raises(EncodeError) as refused:
        Codec().arguments(TASK, (value,), {}, types, ("photo",))
    return str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            Socket(),
            "argument 'photo' of photos.thumbnail is a net.Socket, which cannot travel in a job: pass what the task "
            "needs to get at it again (an id, a path, a key), or a dataclass of plain data",
        ),
        (
            {"meta": [0, 1, 2, Socket()]},
            "photo['meta'][3], in argument 'photo' of photos.thumbnail, is a net.Socket, which cannot travel in a job: "
            "pass what the task needs to get at it again (an id, a path, a key), or a dataclass of plain data",
        ),
        (
            "a\ud800b",
            "argument 'photo' of photos.thumbnail is a str with a lone surrogate at index 1, which is no text: pass "
            "bytes, or a pathlib.Path for a file name",
        ),
        (
            Point(1),
            f"argument 'photo' of photos.thumbnail is a {__name__}.Point, a class that the annotations of the task do "
            "not name: annotate the parameter (or the result) with it",
        ),
    ],
)
def test_the_message_is_a_whole_sentence(value: object, message: str) -> None:
    assert _refusal(value) == message


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (1 + 2j, "is a complex, which"),
        (range(3), "is a range, which cannot travel in a job: pass list(…) of it"),
        ((each for each in "ab"), "is a generator, which cannot travel in a job: pass list(…) of it"),
        ({}.keys(), "pass list(…) of it"),
        (len, "pass its name, and let the task look it up"),
        (Colour, "is an enum.EnumType, which cannot travel in a job: pass its name"),
        (OSError("x"), "is an OSError, which cannot travel in a job: pass its text"),
        (defaultdict(list), "is a collections.defaultdict, which cannot travel in a job: pass dict(…) of it"),
        (OrderedDict(), "pass dict(…) of it"),
        (type("Rows", (list,), {})(), "pass list(…) of it"),
        (Rounded(1.5), "Rounded, which cannot travel"),
        (PureWindowsPath("C:/a"), "is a pathlib.PureWindowsPath, which"),
        (Colour.RED, "Colour, a class that the annotations of the task do not name"),
        (datetime(2024, 1, 1, tzinfo=Fixed()), "has a time zone of type " + __name__ + ".Fixed, which cannot travel"),
        ({Socket(): 1}, "photo.keys()[0], in argument 'photo'"),
        ({(1, Socket()): 1}, "photo.keys()[0][1], in argument 'photo'"),
        ({Decimal(1): Socket()}, "photo[<decimal.Decimal>], in argument 'photo'"),
        ([({Socket()},)], "photo[0][0]{…}, in argument 'photo'"),
    ],
)
def test_the_message_says_what_and_where(value: object, part: str) -> None:
    assert part in _refusal(value)


def test_an_open_file_should_be_passed_as_a_path() -> None:
    with open(__file__) as file:
        assert "_io.TextIOWrapper, which cannot travel in a job: pass the path of the file" in _refusal(file)


def test_a_socket_is_named() -> None:
    with socket.socket() as one:
        assert "is a socket.socket, which cannot travel" in _refusal(one)


def test_the_path_leads_through_fields_of_classes() -> None:
    assert "photo.inside['a'], in argument 'photo'" in _refusal(Holder({"a": Socket()}), Types.of(holding))


def test_arguments_without_a_known_name_are_numbered() -> None:
    with pytest.raises(EncodeError, match=r"^args\[1\]\[0\], in argument 2 of photos.thumbnail, is a "):
        Codec().arguments(TASK, (1, [Socket()]), {}, NONE, ("photo",))
    with pytest.raises(EncodeError, match=r"^argument 'size' of photos.thumbnail is a "):
        Codec().arguments(TASK, (1,), {"size": Socket()}, NONE, ("photo",))


def test_a_result_is_refused_as_a_result() -> None:
    with pytest.raises(EncodeError, match=r"^result\['a'\], in the result of photos.thumbnail, is a net.Socket, which"):
        Codec().result(TASK, {"a": Socket()}, NONE)


def test_an_option_and_a_record_are_refused_by_name() -> None:
    with pytest.raises(EncodeError, match=r"^headers\['x'\], in option 'headers' of photos.thumbnail, is a net.Socket"):
        Codec().body(Envelope(TASK, b"", {"headers": {"x": Socket()}}))
    with pytest.raises(EncodeError, match=r"^record\[0\], in the record of a job, is a net.Socket"):
        Codec().plain([Socket()])


def test_what_fails_while_it_is_taken_apart_is_refused_with_its_error() -> None:
    class Broken(Holder):
        def __getattribute__(self, name: str) -> object:
            if name == "inside":
                raise RuntimeError("not loaded")
            return super().__getattribute__(name)

    def task(photo: Holder) -> None: ...

    task.__annotations__["photo"] = Broken
    with pytest.raises(EncodeError) as refused:
        Codec().arguments(TASK, (Broken(1),), {}, Types.of(task), ("photo",))

    assert str(refused.value) == (
        "argument 'photo' of photos.thumbnail could not be taken apart (RuntimeError: not loaded): pass plain data"
    )
    assert isinstance(refused.value.__cause__, RuntimeError)


def _list_cycle() -> object:
    value: list[object] = [1]
    value.append({"again": value})
    return value


def _dataclass_cycle() -> object:
    value = Holder(None)
    value.inside = (value,)
    return value


@pytest.mark.parametrize(
    ("value", "path"), [(_list_cycle(), "photo[1]['again']"), (_dataclass_cycle(), "photo.inside[0]")]
)
def test_a_cycle_is_refused_where_it_closes(value: object, path: str) -> None:
    assert _refusal(value, Types.of(holding)) == (
        f"{path}, in argument 'photo' of photos.thumbnail, contains itself: pass data without cycles"
    )


def test_the_same_part_twice_is_no_cycle() -> None:
    shared = [1]
    codec = Codec()

    data = codec.arguments(TASK, ([shared, (shared, shared)],), {}, NONE)

    assert codec.read_arguments(data, NONE)[0] == [[[1], ([1], [1])]]


Wrap = Callable[[object], object]
WRAPS: list[Wrap] = [
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: (value,),
    Holder,
]


def _nested(wrap: Wrap, levels: int, core: object = 0) -> object:
    value = core
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_hundred_levels_travel_and_one_more_does_not(wrap: Wrap) -> None:
    codec, types = Codec(), Types.of(holding)
    deepest, deeper = _nested(wrap, 100), _nested(wrap, 101)

    assert codec.read_arguments(codec.arguments(TASK, (deepest,), {}, types), types) == ([deepest], {})
    assert codec.read_arguments(codec.arguments(TASK, (), {"a": deepest}, types), types) == ([], {"a": deepest})
    assert codec.read_result(codec.result(TASK, deepest, types), types) == deepest
    assert _refusal(deeper, types) == (
        "argument 'photo' of photos.thumbnail is nested deeper than 100 levels: pass it flatter, or as text"
    )
    with pytest.raises(EncodeError, match=r"^the result of photos.thumbnail is nested deeper than 100 levels"):
        codec.result(TASK, deeper, types)


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("levels", [500, 1_000, 20_000])
def test_far_too_deep_is_refused_in_the_same_words(wrap: Wrap, levels: int) -> None:
    value = _nested(wrap, levels)
    try:
        assert "is nested deeper than 100 levels" in _refusal(value, Types.of(holding))
    finally:
        _unwrap(value)


def _unwrap(value: object) -> None:
    """Take a deep value apart from outside: some types' own deallocation would recurse."""
    while isinstance(value, Holder):
        value.inside, value = None, value.inside


def test_deep_keys_are_refused() -> None:
    assert "is nested deeper than 100 levels" in _refusal({_nested(lambda value: (value,), 101): 1})


def test_wide_is_not_deep() -> None:
    codec = Codec()
    value = [[[index], {"a": "ж" * 3}] for index in range(500)]

    assert codec.read_arguments(codec.arguments(TASK, (value,), {}, NONE), NONE) == ([value], {})


def test_too_large_names_size_limit_and_remedy() -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        Codec(payload_limit=1_000).arguments(TASK, ("a.jpg", b"x" * 2_000), {"size": 3}, NONE, ("path", "image"))

    assert str(refused.value) == (
        "the arguments of photos.thumbnail take 2,018 bytes, over the limit of 1,000 (the largest is argument 'image', "
        "2,003 bytes): store the data elsewhere and pass a path or a key to it, or raise payload_limit"
    )


def test_a_result_too_large_names_size_limit_and_remedy() -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        Codec(result_limit=1_000).result(TASK, b"x" * 2_000, NONE)

    assert str(refused.value) == (
        "the result of photos.thumbnail takes 2,005 bytes, over the limit of 1,000: store it elsewhere and return a "
        "path or a key to it, or raise result_limit"
    )


def test_exactly_the_limit_fits() -> None:
    size = len(Codec().arguments(TASK, ("abc",), {}, NONE))

    assert Codec(payload_limit=size).arguments(TASK, ("abc",), {}, NONE)
    with pytest.raises(PayloadTooLarge):
        Codec(payload_limit=size - 1).arguments(TASK, ("abc",), {}, NONE)


def test_a_refusal_leaves_the_codec_usable() -> None:
    codec = Codec()
    with pytest.raises(EncodeError):
        codec.arguments(TASK, ([1, 2, Socket()],), {}, NONE)

    assert codec.read_arguments(codec.arguments(TASK, (1,), {}, NONE), NONE) == ([1], {})


def test_classes_unknown_to_the_sender_may_be_written_but_not_read() -> None:
    codec = Codec()

    data = codec.arguments(TASK, (Holder(1), Colour.RED), {}, Types.none(permissive=True))

    holder_only = Types.of(holding)
    with pytest.raises(DecodeError, match=r"names the class '.*:Colour', which no annotation of the task leads to"):
        codec.read_arguments(data, holder_only)
    with pytest.raises(DecodeError, match="names the class"):
        codec.read_arguments(data, Types.none(permissive=True))


@pytest.fixture
def _forgets_warnings() -> Iterator[None]:
    payloads._warn_of_slow_msgpack.cache_clear()
    yield
    payloads._warn_of_slow_msgpack.cache_clear()


@pytest.mark.usefixtures("_forgets_warnings")
def test_slow_msgpack_is_warned_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    Codec()
    assert not caplog.records

    monkeypatch.setattr(payloads, "Packer", fallback.Packer)
    Codec()
    Codec()

    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.WARNING, "msgpack_is_slow")]
