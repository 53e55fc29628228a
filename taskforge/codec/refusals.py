"""Why a value cannot travel, and where in it the reason lies. Used only once packing has failed."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

#: Levels of containers that one value may have. Far above real data, far below where Python or msgpack give up.
MAX_DEPTH = 100


class Refusal(Exception):
    """A value cannot travel. The text continues a sentence whose subject is the value, and says what to do instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The part of a value that cannot travel: its path from the value (`['meta'][3]`, empty for itself), and why."""

    path: str
    why: str


#: The parts of a value with the path step to each, or None for one without parts. Raises when the value cannot travel.
PartsOf = Callable[[object], Iterable[tuple[str, object]] | None]


def find_fault(value: object, parts_of: PartsOf) -> Fault | None:
    """The first part of a value, depth first, that cannot travel; None if there is none."""
    # What the search is inside of, outermost first: the container, its remaining parts, the step that led to it.
    inside: list[tuple[object, Iterator[tuple[str, object]], str]] = []
    step, part = "", value
    while True:
        path = "".join(each[2] for each in inside) + step
        try:
            parts = parts_of(part)
        except Exception as error:
            return Fault(path, words(error))
        if parts is not None:
            if any(part is each[0] for each in inside):
                return Fault(path, "contains itself: pass data without cycles")
            if len(inside) == MAX_DEPTH:
                return Fault("", f"is nested deeper than {MAX_DEPTH} levels: pass it flatter, or as text")
            inside.append((part, iter(parts), step))
        following = None
        try:
            while inside and (following := next(inside[-1][1], None)) is None:
                inside.pop()
        except Exception as error:
            return Fault("".join(each[2] for each in inside), words(error))
        if not inside or following is None:
            return None
        step, part = following


def words(error: Exception) -> str:
    """An exception met while packing, as what is said of the value."""
    match error:
        case Refusal():
            return str(error)
        case UnicodeEncodeError():
            return (
                f"is a str with a lone surrogate at index {error.start}, which is no text: "
                "pass bytes, or a pathlib.Path for a file name"
            )
        case _:
            return f"could not be taken apart ({type(error).__name__}: {error}): pass plain data"


def unknown_type(value: object) -> Refusal:
    """For a value of a type that does not travel at all."""
    return Refusal(f"is {a_named(type(value))}, which cannot travel in a job: {_instead(value)}")


def a_named(kind: type) -> str:
    """A class with its article."""
    name = named(kind)
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def named(kind: type) -> str:
    """A class as messages name it: with its module, unless it is a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shown_key(key: object) -> str:
    """A key of a dict as a step of a path."""
    plain = type(key) in (str, int, float, bool, bytes, type(None))
    return f"[{reprlib.repr(key)}]" if plain else f"[<{named(type(key))}>]"


def _instead(value: object) -> str:
    for base in (dict, list, tuple, set, frozenset):
        if isinstance(value, base):
            return f"pass {base.__name__}(…) of it"
    if isinstance(value, io.IOBase):
        return "pass the path of the file, or its content as bytes"
    if isinstance(value, BaseException):
        return "pass its text"
    if isinstance(value, type) or callable(value):
        return "pass its name, and let the task look it up"
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, and what imitates them
        return "pass its .tolist()"
    if hasattr(value, "__iter__"):
        return "pass list(…) of it"
    return "pass what the task needs to get at it again (an id, a path, a key), or a dataclass of plain data"
