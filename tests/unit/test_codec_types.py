"""Which classes a payload may name: those that a task's annotations lead to."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar

import pytest
from pydantic import BaseModel

from taskforge.codec import Codec, Types
from taskforge.errors import EncodeError

if TYPE_CHECKING:
    from nowhere import Missing


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    LOW = 1


class Side(Enum):
    LEFT = 1


@dataclass
class Leaf:
    colour: Colour


@dataclass
class Tree:
    left: Tree | None
    leaf: Optional["Leaf"] = None  # noqa: UP037, UP045  # the old spelling is followed too


@dataclass
class Forest(Tree):
    spot: Spot | None = None


class Spot(NamedTuple):
    level: Level


class Row(TypedDict, total=False):
    leaf: Leaf


class Node(BaseModel):
    children: list[Node] = []
    side: Side | None = None


T = TypeVar("T", bound=Leaf)
Name = NewType("Name", Spot)


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Derived:
    seed: InitVar[int]
    total: int = field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        self.total = seed


class Unrelated:
    pass


def _found(function: Callable[..., object]) -> set[type]:
    kinds = (Colour, Level, Side, Leaf, Tree, Forest, Spot, Node, Box, Derived, Unrelated)
    types = Types.of(function)
    return {kind for kind in kinds if types.name_of(kind)}


def _annotated(**hints: object) -> Callable[..., object]:
    def task() -> None: ...

    task.__annotations__ = hints
    return task


@pytest.mark.parametrize(
    ("hint", "found"),
    [
        (Colour, {Colour}),
        ("Colour", {Colour}),
        (Leaf, {Leaf, Colour}),
        (Tree, {Tree, Leaf, Colour}),
        (Forest, {Forest, Tree, Leaf, Colour, Spot, Level}),
        (Node, {Node, Side}),
        (Row, {Leaf, Colour}),
        (Name, {Spot, Level}),
        (T, {Leaf, Colour}),
        (Box[Leaf], {Box, Leaf, Colour}),
        ("Box[Leaf]", {Box, Leaf, Colour}),
        (Leaf | None, {Leaf, Colour}),
        ("list[dict[str, tuple[Leaf, ...]]] | None", {Leaf, Colour}),
        (Optional[Colour], {Colour}),  # noqa: UP045
        (Annotated[Colour, ["not", "hashable"]], {Colour}),
        (Literal[Colour.RED, "x"], {Colour}),
        (Callable[[Colour], Awaitable[Spot]], {Colour, Spot, Level}),
        (Mapping[Colour, Iterable[Level]], {Colour, Level}),
        (type[Colour], {Colour}),
        (list["Colour"], {Colour}),
        (list["Missing"] | Colour, {Colour}),
        ("Missing", set()),
        ("Missing | Colour", set()),
        ("not an expression", set()),
        ("1 / 0", set()),
        (Unrelated, set()),
        (Any, set()),
        (None, set()),
        (5, set()),
        ([], set()),
        (datetime, set()),
    ],
    ids=str,
)
def test_annotations_are_followed(hint: object, found: set[type]) -> None:
    assert _found(_annotated(it=hint)) == found


def test_one_that_cannot_be_resolved_hides_no_other() -> None:
    def task(a: Missing, b: Colour, *c: Missing, **d: Level) -> list[Spot]: ...

    assert _found(task) == {Colour, Level, Spot}


def test_what_wraps_a_function_is_looked_through() -> None:
    def task(a: Colour) -> None: ...

    @functools.wraps(task)
    def wrapper(*args: object) -> None: ...

    assert _found(wrapper) == {Colour}
    assert _found(functools.partial(task)) == set()
    assert _found(print) == set()


def test_a_class_that_comes_later_than_the_task_is_found() -> None:
    def task(a: LaterThanTask) -> None: ...

    types = Types.of(task)
    types.name_of(Colour)  # looks, too early

    @dataclass
    class LaterThanTask:
        number: int

    task.__globals__["LaterThanTask"] = LaterThanTask
    try:
        name = types.name_of(LaterThanTask)
        assert name is not None
        assert types.class_of(name) is LaterThanTask
    finally:
        del task.__globals__["LaterThanTask"]


def test_a_name_leads_back_to_its_class_and_no_further() -> None:
    types = Types.of(_annotated(it=Leaf))

    assert types.name_of(Leaf) == f"{__name__}:Leaf"
    assert types.class_of(f"{__name__}:Leaf") is Leaf
    assert types.class_of(f"{__name__}:Tree") is None
    assert types.class_of("os:system") is None


def test_the_module_run_as_a_script_has_its_importable_name_on_both_sides() -> None:
    codec = Codec()
    in_script = Enum("Shape", {"ROUND": 1}, module="__main__")
    in_worker = Enum("Shape", {"ROUND": 1}, module="photos.tasks")

    data = codec.arguments("t", (in_script["ROUND"],), {}, Types.of(_annotated(it=in_script), module="photos.tasks"))
    back = codec.arguments("t", (in_worker["ROUND"],), {}, Types.of(_annotated(it=in_worker), module="photos.tasks"))

    assert codec.read_arguments(data, Types.of(_annotated(it=in_worker))) == ([in_worker["ROUND"]], {})
    script_types = Types.of(_annotated(it=in_script), module="photos.tasks")
    assert codec.read_arguments(back, script_types) == ([in_script["ROUND"]], {})


def test_without_types_no_class_may_be_written() -> None:
    assert Types.none().name_of(Leaf) is None
    assert Types.none(permissive=True).name_of(Leaf) == f"{__name__}:Leaf"
    assert Types.none(permissive=True).name_of(Unrelated) is None


def test_a_subclass_of_an_annotated_class_must_be_annotated_too() -> None:
    with pytest.raises(EncodeError, match=r"is a .*\.Forest, a class that the annotations of the task do not name"):
        Codec().arguments("t", (Forest(None),), {}, Types.of(_annotated(it=Tree)))
