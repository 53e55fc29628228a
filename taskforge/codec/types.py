"""Which classes a payload may name: those that the task's annotations lead to."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import SimpleNamespace
from typing import Any, ForwardRef, TypeVar

from taskforge.codec.classes import is_model, travels_by_name

#: What the module that was started is called, in the process itself and in children that multiprocessing spawns.
_MAIN = ("__main__", "__mp_main__")


class Types:
    """The classes that payloads of one task may name. Nothing is ever imported because a payload names it.

    A class is named `module:qualified name`. Annotations may name classes that do not exist yet when the task is
    declared; so they are read when a class is first asked for, and again whenever one is not found.
    """

    def __init__(self, function: Callable[..., object] | None, module: str | None, permissive: bool) -> None:
        self._function, self._module, self._permissive = function, module, permissive
        self._classes: Mapping[str, type] = {}
        self._names: Mapping[type, str] = {}

    @classmethod
    def of(cls, function: Callable[..., object], module: str | None = None) -> Types:
        """The dataclasses, Enums, named tuples and pydantic models that a function's parameters and result lead to.

        They are followed through generic types, unions, fields, and type aliases; an annotation that cannot be resolved
        is passed over. `module` is what the function's module is called where it is not run as a script.
        """
        return cls(function, module, permissive=False)

    @classmethod
    def none(cls, permissive: bool = False) -> Types:
        """No class may be named; with `permissive` any may be written, none read (the task is known by name only)."""
        return cls(None, None, permissive)

    def name_of(self, kind: type) -> str | None:
        """What a class is called in payloads; None when they may not name it."""
        if (name := self._names.get(kind)) is not None:
            return name
        if not travels_by_name(kind):
            return None
        if self._permissive:
            return self._name(kind)
        self._look()
        return self._names.get(kind)

    def class_of(self, name: str) -> type | None:
        """The class of a name met in a payload; None when it may not be named."""
        if name not in self._classes:
            self._look()
        return self._classes.get(name)

    def _look(self) -> None:
        if self._function is not None:
            kinds = [kind for kind in _reachable(inspect.unwrap(self._function)) if travels_by_name(kind)]
            self._classes = {self._name(kind): kind for kind in kinds}
            self._names = {kind: name for name, kind in self._classes.items()}

    def _name(self, kind: type) -> str:
        module = self._module if self._module and kind.__module__ in _MAIN else kind.__module__
        return f"{module}:{kind.__qualname__}"


def _reachable(function: Callable[..., object]) -> Iterator[type]:
    """Every class that a function's annotations lead to."""
    waiting = list(_hints(function, getattr(function, "__globals__", {}), {}))
    seen: dict[int, object] = {}  # by identity, for annotations need not be hashable; kept, so that no id is used twice
    while waiting:
        hint = waiting.pop()
        if id(hint) in seen:
            continue
        seen[id(hint)] = hint
        waiting += _parts(hint)
        if isinstance(hint, type) and typing.get_origin(hint) is None:
            yield hint
            waiting += _field_hints(hint)


def _parts(hint: object) -> list[object]:
    """What an annotation is made of: list[A] of list and A, A | B of A and B, an alias of its value."""
    if isinstance(hint, Enum):  # in Literal[Colour.RED]
        return [type(hint)]
    if isinstance(hint, list | tuple):  # the parameters in Callable[[A], B]
        return list(hint)
    if isinstance(hint, TypeVar):
        return [hint.__bound__, *hint.__constraints__]
    aliased = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)  # NewType; type X = …
    return [typing.get_origin(hint), aliased, *typing.get_args(hint)]


def _field_hints(kind: type) -> Iterator[object]:
    """The annotations of the fields of a class that holds any."""
    if is_model(kind):
        fields: Mapping[str, Any] = kind.__dict__.get("__pydantic_fields__") or getattr(kind, "model_fields", {})
        yield from (field.annotation for field in fields.values())
    elif typing.is_typeddict(kind) or (travels_by_name(kind) and not issubclass(kind, Enum)):
        for base in kind.__mro__:
            module = sys.modules.get(base.__module__)
            yield from _hints(base, vars(module) if module else {}, {**vars(base), base.__name__: base})


def _hints(owner: object, globals_: dict[str, Any], locals_: dict[str, Any]) -> Iterator[object]:
    """An object's own annotations, each resolved if it can be, else as it stands; what is still text is left out."""
    for hint in inspect.get_annotations(owner).values():  # type: ignore[arg-type]  # a class or a function
        try:
            # One by one: a name that exists only for type checkers must not hide the others.
            yield from typing.get_type_hints(SimpleNamespace(__annotations__={"it": hint}), globals_, locals_).values()
        except Exception:
            if not isinstance(hint, str | ForwardRef):
                yield hint
