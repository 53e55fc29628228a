"""What goes into a payload comes out of it: same values, same types."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgpack import fallback
from pydantic import BaseModel, ConfigDict, Field, computed_field

from taskforge.codec import Codec, Envelope, Types, wire


class Colour(Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796  # an alias is one of the cases
    PAIR = (1, 2)


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Mode(StrEnum):
    FAST = "fast"


class Right(Flag):
    READ = 1
    WRITE = 2


class Bit(IntFlag):
    ONE = 1
    TWO = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Crop:
    left: int
    name: str = "all"


@dataclass
class Photo:
    path: Path
    crops: list[Crop]
    colour: Colour | None = None
    at: dict[tuple[int, int], Point] = field(default_factory=dict)
    area: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.area = len(self.crops) * 10


class Lens(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    focal_length: int = Field(alias="focalLength")
    bought: date
    size: Size = Size.SMALL

    @computed_field
    @property
    def double(self) -> int:
        return self.focal_length * 2


class Camera(BaseModel):
    lenses: tuple[Lens, ...]
    crop: Crop | None = None
    ids: set[UUID] = set()


def everything(photo: Photo, lens: Camera, mode: Annotated[Mode | Right | Bit, "how"], point: Point) -> Size: ...


TYPES = Types.of(everything)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def codec() -> Codec:
    return Codec(payload_limit=10_000_000, result_limit=10_000_000)


@pytest.fixture
def carry(codec: Codec) -> Callable[[object], object]:
    """One value there and back, as an argument by name."""

    def carried(value: object) -> object:
        data = codec.arguments("photos.thumbnail", (), {"it": value}, TYPES)
        return codec.read_arguments(data, TYPES)[1]["it"]

    return carried


SINGLE = (
    None,
    True,
    0,
    -1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    -(10**400),
    1.5,
    -0.0,
    math.inf,
    "",
    "naïve ☃ \x00",
    b"",
    b"\xff\x00",
    datetime(2024, 10, 27, 2, 30, 0, 123, tzinfo=BERLIN),
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2024, 5, 1, tzinfo=UTC),
    datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30, seconds=-7, microseconds=-1))),
    datetime(2024, 5, 1, tzinfo=UTC, fold=1),
    datetime.min,
    datetime.max,
    datetime(2024, 5, 1, fold=1),
    date.min,
    date(2024, 2, 29),
    time(1, 2, 3, 4),
    time(2, 30, fold=1),
    time(2, 30, tzinfo=BERLIN),
    time(2, 30, tzinfo=timezone(timedelta(hours=1))),
    timedelta.min,
    timedelta.max,
    timedelta(microseconds=-1),
    Decimal("1.10"),
    Decimal("-0E-50"),
    Decimal("Infinity"),
    UUID(int=2**128 - 1),
    Path("/tmp/a b"),
    Path("."),
    Path("caf\udce9.jpg"),  # a file name that is no UTF-8, as os.listdir gives it
    Colour.PAIR,
    Colour.CRIMSON,
    Size.LARGE,
    Mode.FAST,
    Right.READ | Right.WRITE,
    Right(0),
    Bit.ONE | Bit.TWO,
)


@pytest.mark.parametrize("value", SINGLE, ids=repr)
def test_a_value_arrives_as_it_was(carry: Callable[[object], object], value: object) -> None:
    arrived = carry(value)

    assert arrived == value
    assert repr(arrived) == repr(value)
    assert type(arrived) is type(value)


WHOLE = (
    [],
    {},
    (),
    (1, (2, [3, ()])),
    {1: "int", "1": "str", (1, 2): "tuple", None: 0, 1.5: 0, b"b": 0, Crop(1): 0, date(2024, 1, 1): 0, Size.SMALL: 9},
    {1, "a", (2, 3)},
    frozenset({frozenset(), Crop(2)}),
    [Crop(1), Crop(2, "x")],
    Photo(Path("a.jpg"), [Crop(1)], Colour.RED, {(1, 2): Point(3)}),
    Point(1, 2),
    Camera(lenses=(Lens(focalLength=35, bought=date(2020, 1, 1)),), crop=Crop(4), ids={UUID(int=1)}),
)


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_a_container_arrives_as_it_was(carry: Callable[[object], object], value: object) -> None:
    arrived = carry(value)

    assert arrived == value
    assert type(arrived) is type(value)


def test_nan_arrives_as_nan(carry: Callable[[object], object]) -> None:
    arrived = carry([math.nan, Decimal("NaN"), Decimal("sNaN")])

    assert isinstance(arrived, list)
    assert [str(each) for each in arrived] == ["nan", "NaN", "sNaN"]


@pytest.mark.parametrize(
    ("given", "arrived"),
    [
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (PurePosixPath("/a"), Path("/a")),
        (type("Safe", (str,), {})("<b>"), "<b>"),
        (type("Count", (int,), {})(3), 3),
        (type("Count", (int,), {})(2**80), 2**80),
        (type("Number", (float,), {})(1.5), 1.5),
        (type("Raw", (bytes,), {})(b"x"), b"x"),
        (type("FakeDatetime", (datetime,), {})(2024, 1, 1, tzinfo=BERLIN), datetime(2024, 1, 1, tzinfo=BERLIN)),
        (type("FakeDate", (date,), {})(2024, 1, 1), date(2024, 1, 1)),
    ],
)
def test_what_equals_a_plain_value_arrives_as_that(
    carry: Callable[[object], object], given: object, arrived: object
) -> None:
    result = carry(given)

    assert result == arrived
    assert type(result) is type(arrived)


def test_a_dataclass_is_built_anew_from_its_init_fields(carry: Callable[[object], object]) -> None:
    photo = Photo(Path("a"), [Crop(1), Crop(2)])
    photo.area = 999

    arrived = carry(photo)

    assert isinstance(arrived, Photo)
    assert arrived.area == 20
    with pytest.raises(FrozenInstanceError):
        arrived.crops[0].left = 5  # type: ignore[misc]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(timezones=st.none() | st.timezones() | st.just(UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.sampled_from([*Colour, *Size, *Mode, *Right, *Bit]),
    st.builds(Crop, st.integers(), st.text()),
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.tuples(inner, inner),
        st.builds(Point, inner, inner),
        st.builds(Photo, st.just(Path("x")), st.lists(st.builds(Crop, st.integers()), max_size=2)),
    ),
    max_leaves=30,
)


def _with_types(value: object) -> object:
    """A value with the type of each part, for 1 == True == 1.0."""
    if isinstance(value, list | tuple):
        return type(value), [_with_types(each) for each in value]
    if isinstance(value, dict):
        return dict, [(_with_types(key), _with_types(each)) for key, each in value.items()]
    return type(value), value


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(), VALUES, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_arguments_arrive_as_they_were(args: list[object], kwargs: dict[str, object]) -> None:
    codec = Codec()

    arrived = codec.read_arguments(codec.arguments("t", args, kwargs, TYPES), TYPES)

    assert arrived == (args, kwargs)
    assert _with_types(arrived[0]) == _with_types(args)


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_any_result_arrives_as_it_was(value: object) -> None:
    codec = Codec()

    assert codec.read_result(codec.result("t", value, TYPES), TYPES) == value


def test_msgpack_without_its_extension_writes_and_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values: list[Any] = [*SINGLE, *WHOLE]
    fast = Codec().arguments("t", values, {}, TYPES)

    monkeypatch.setattr(wire, "Packer", fallback.Packer)
    monkeypatch.setattr(wire, "unpackb", fallback.unpackb)
    slow = Codec().arguments("t", values, {}, TYPES)

    assert slow == fast
    assert Codec().read_arguments(fast, TYPES)[0] == values


def test_a_body_is_an_envelope_and_back(codec: Codec) -> None:
    arguments = codec.arguments("photos.thumbnail", ("a.jpg", 256), {}, TYPES)
    plain = Envelope("photos.thumbnail", arguments)
    full = Envelope("photos.thumbnail", arguments, {"timeout": 30.0, "headers": {"tenant": "a"}})

    assert codec.read_body(codec.body(plain)) == plain
    assert codec.read_body(codec.body(full)) == full
    assert codec.body(plain) == b"\x93\x01\xb0photos.thumbnail" + b"\xc4" + bytes([len(arguments)]) + arguments


def test_a_none_is_no_result_and_other_empty_values_are(codec: Codec) -> None:
    assert codec.result("t", None, TYPES) is None
    assert codec.read_result(None, TYPES) is None
    assert codec.read_result(codec.result("t", [], TYPES), TYPES) == []
    assert codec.read_plain(codec.plain(None)) is None


def test_plain_records_carry_types_without_classes(codec: Codec) -> None:
    record = [1, datetime(2024, 1, 1, tzinfo=UTC), "ValueError", ("a", "b")]

    assert codec.read_plain(codec.plain(record)) == record


def test_many_threads_share_a_codec(codec: Codec) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        start.wait(timeout=10)
        values = [[number, (index, Crop(index))] for index in range(200)]
        return all(
            codec.read_arguments(codec.arguments("t", value, {}, TYPES), TYPES) == (value, {}) for value in values
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_a_codec_may_be_used_while_it_is_packing(codec: Codec) -> None:
    inner: list[bytes] = []

    @dataclass
    class Nosy:
        name: str

        def __getattribute__(self, name: str) -> Any:
            if name == "name":
                inner.append(codec.arguments("t", ("inner", (1,)), {}, TYPES))
            return object.__getattribute__(self, name)

    def task(it: Nosy) -> None: ...

    task.__annotations__["it"] = Nosy
    types = Types.of(task)
    before = codec.arguments("t", ("before", Nosy("a"), "after"), {}, types)

    assert codec.read_arguments(inner[0], TYPES) == (["inner", (1,)], {})
    args, _ = codec.read_arguments(before, types)
    assert [args[0], args[2]] == ["before", "after"]


def test_a_large_value_leaves_no_large_buffer_behind(codec: Codec) -> None:
    codec.arguments("t", ("x" * (wire.KEEP_ROOM + 1),), {}, TYPES)

    assert not codec._idle
