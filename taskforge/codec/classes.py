"""Classes whose instances travel by name and fields: how they are taken apart and put together again."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from typing import Any

from taskforge.codec.refusals import Refusal, named


def is_model(kind: type) -> bool:
    """Whether a class is a pydantic (v2) model. Does not import pydantic: while nothing has, there are no models."""
    pydantic = sys.modules.get("pydantic.main")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def is_named_tuple(kind: type) -> bool:
    """Whether a class was made by NamedTuple or namedtuple."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_asdict")


def travels_by_name(kind: type) -> bool:
    """Whether instances of a class can travel at all, as a name with fields (or, for an Enum, a member)."""
    return issubclass(kind, Enum) or is_dataclass(kind) or is_named_tuple(kind) or is_model(kind)


def take_apart(value: Any) -> Iterable[tuple[str, object]]:
    """The fields of a dataclass (those its constructor takes), named tuple or model."""
    kind = type(value)
    if is_named_tuple(kind):
        return zip(kind._fields, value, strict=True)
    if is_dataclass(kind):
        return [(field.name, getattr(value, field.name)) for field in fields(kind) if field.init]
    # round_trip leaves out computed fields, which the model would not accept back.
    whole: Mapping[str, object] = value.model_dump(mode="python", round_trip=True, by_alias=False)
    return whole.items()


def put_together(kind: Any, given: dict[str, object]) -> object:
    """The opposite of `take_apart`: calls the class, or validates the model. Raises whatever that raises."""
    if not is_model(kind):
        return kind(**given)
    if _takes_names():
        return kind.model_validate(given, by_alias=False, by_name=True)
    return kind.model_validate(given)


def member_text(value: Enum) -> str:
    """An Enum's member by name; a Flag, which may be a mixture without a name of its own, by number."""
    if isinstance(value, Flag):
        return str(int(value.value))
    name = value._name_
    if type(value).__members__.get(name) is not value:
        raise Refusal(f"is no declared member of {named(type(value))}: pass one that is, or its value")
    return name


def member(kind: type[Enum], text: str) -> Enum:
    """The opposite of `member_text`."""
    return kind(int(text)) if issubclass(kind, Flag) else kind[text]


def _takes_names() -> bool:
    """Since 2.11 pydantic validates fields by name whatever their aliases; before, a model needs populate_by_name."""
    major, minor, *_ = sys.modules["pydantic.version"].VERSION.split(".")
    return (int(major), int(minor)) >= (2, 11)
