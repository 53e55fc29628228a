"""One value as bytes and back: msgpack extended by tags for containers and classes, and by leaves for other types.

A container that msgpack lacks is an array whose first element is a tag: an extension without content. So a value of any
kind is one flat piece of msgpack, which the C packer and unpacker walk alone; they call back for what they do not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import chain
from typing import Any

from msgpack import ExtType, Packer, unpackb

from taskforge.codec.classes import member, member_text, put_together, take_apart, travels_by_name
from taskforge.codec.leaves import LEAVES, READERS, as_base
from taskforge.codec.refusals import Refusal, a_named, shown_key
from taskforge.codec.types import Types
from taskforge.errors import DecodeError

#: The code of an Enum's member: a leaf, but one that needs the task's types. Its content is `class=member`.
MEMBER = 9
#: The codes of the tags. After OBJECT come the class's name and then its fields, name and value by turns.
TUPLE, SET, FROZENSET, OBJECT = 16, 17, 18, 19
#: A packer begins with this much room (bytes) and keeps what it added; one that grew beyond KEEP_ROOM is let go.
ROOM, KEEP_ROOM = 4 * 1024, 1024 * 1024

#: The types that msgpack writes by itself, each exactly, and that have no parts.
_PLAIN = frozenset({type(None), bool, int, float, str, bytes, bytearray, memoryview})
#: Those that have parts.
_CONTAINERS = frozenset({list, dict})
_TAGS: dict[type, ExtType] = {
    kind: ExtType(code, b"") for kind, code in ((tuple, TUPLE), (set, SET), (frozenset, FROZENSET))
}
_OBJECT_TAG = ExtType(OBJECT, b"")
#: The bytes that open an array or a map. Elsewhere they may stand for something else.
_OPENERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: The bytes that open an extension, and those that open neither that nor a container.
_EXTENSIONS = frozenset([*range(0xC7, 0xCA), *range(0xD4, 0xD9)])
_UNREMARKABLE = bytes(set(range(256)) - set(_OPENERS) - _EXTENSIONS)


class Writer:
    """Packs values, one at a time: it must not be used by two callers at once, nor from within itself."""

    def __init__(self, types: Types) -> None:
        self._types, self._tagged = types, False
        self._packer = Packer(strict_types=True, default=self._lower, buf_size=ROOM)

    def pack(self, value: object, types: Types, depth: int) -> bytes:
        """The value as bytes; it may have `depth` levels of containers. Raises anything for what cannot travel.

        After a failure the writer must not be used again.
        """
        self._types, self._tagged = types, False
        data = self._packer.pack(value)
        # With tags, the bytes hold other containers than the value, so they are what is measured; mere data is not.
        if _may_be_deep(data, depth) and _is_deep(_shape(data) if self._tagged else value, depth):
            raise Refusal("is nested too deep")
        return data

    def parts_of(self, value: object) -> Iterable[tuple[str, object]] | None:
        """The parts of a value as they would be packed, and the path step to each. Raises what packing it raises."""
        kind = type(value)
        if isinstance(value, dict) and kind is dict:
            keys = ((f".keys()[{index}]", key) for index, key in enumerate(value))
            return chain(keys, ((shown_key(key), part) for key, part in value.items()))
        if isinstance(value, list) and kind is list:
            return ((f"[{index}]", part) for index, part in enumerate(value))
        lowered = value if kind in _PLAIN else self._lower(value)
        if not isinstance(lowered, list):
            self._packer.pack(lowered)
            return None
        if lowered[0] is _OBJECT_TAG:
            return ((f".{name}", part) for name, part in zip(lowered[2::2], lowered[3::2], strict=True))
        return ((f"[{index}]" if kind is tuple else "{…}", part) for index, part in enumerate(lowered[1:]))

    def _lower(self, value: object) -> object:
        """What msgpack shall write in place of a value that it does not know."""
        kind = type(value)
        if (leaf := LEAVES.get(kind)) is not None:
            return ExtType(leaf.code, leaf.write(value))
        if isinstance(value, tuple | set | frozenset) and (tag := _TAGS.get(kind)) is not None:
            self._tagged = True
            return [tag, *value]
        if (name := self._types.name_of(kind)) is None:
            if travels_by_name(kind):
                raise Refusal(
                    f"is {a_named(kind)}, a class that the annotations of the task do not name: "
                    "annotate the parameter (or the result) with it"
                )
            return as_base(value)
        if isinstance(value, Enum):
            return ExtType(MEMBER, f"{name}={member_text(value)}".encode())
        self._tagged = True
        return [_OBJECT_TAG, name, *chain.from_iterable(take_apart(value))]


def read(data: bytes, types: Types, depth: int) -> object:
    """The value that was packed. Raises DecodeError for anything else, whatever the bytes."""
    marks = data.translate(None, _UNREMARKABLE)
    try:
        if len(marks) <= depth and _EXTENSIONS.isdisjoint(marks):  # nearly all: no container of ours, and not deep
            return unpackb(data, strict_map_key=False)
        reader = _Reader(types)
        value = unpackb(data, ext_hook=reader.extension, list_hook=reader.array, strict_map_key=False)
        if reader.open_tags:
            raise DecodeError("a tag stands where no container begins")
        if _may_be_deep(data, depth) and _is_deep(_shape(data) if reader.tagged else value, depth):
            raise DecodeError(f"nested deeper than {depth} levels")
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(f"{type(error).__name__}: {error}") from error
    return value


class _Tag:
    """A tag as it is met in an array that is being read."""

    __slots__ = ("code",)
    __hash__ = None  # type: ignore[assignment]  # so that it cannot pass for a key

    def __init__(self, code: int) -> None:
        self.code = code


_TAG_MET = {code: _Tag(code) for code in (TUPLE, SET, FROZENSET, OBJECT)}


class _Reader:
    """What the unpacker calls back while it reads one value, innermost containers first."""

    __slots__ = ("_types", "open_tags", "tagged")

    def __init__(self, types: Types) -> None:
        self._types, self.open_tags, self.tagged = types, 0, False

    def extension(self, code: int, data: bytes) -> object:
        if (read_leaf := READERS.get(code)) is not None:
            return read_leaf(data)
        if code == MEMBER:
            return self._member(data)
        if code not in _TAG_MET or data:
            raise DecodeError(f"extension {code} of {len(data)} bytes is not known")
        self.open_tags, self.tagged = self.open_tags + 1, True
        return _TAG_MET[code]

    def array(self, items: list[object]) -> object:
        tag = items[0] if items else None
        if not isinstance(tag, _Tag):
            return items
        self.open_tags -= 1
        if tag.code == OBJECT:
            return self._object(items)
        del items[0]
        return tuple(items) if tag.code == TUPLE else set(items) if tag.code == SET else frozenset(items)

    def _member(self, data: bytes) -> Enum:
        name, _, text = data.decode().partition("=")
        kind = self._class(name)
        if not issubclass(kind, Enum):
            raise DecodeError(f"{name} is no Enum here")
        return member(kind, text)

    def _object(self, items: list[object]) -> object:
        _, name, *rest = items
        kind = self._class(name)
        fields = dict(zip(rest[::2], rest[1::2], strict=True))
        if issubclass(kind, Enum) or not all(isinstance(field, str) for field in fields):
            raise DecodeError(f"{name} is not made of fields here")
        try:
            return put_together(kind, fields)  # type: ignore[arg-type]  # the keys were checked just now
        except Exception as error:
            raise DecodeError(f"{name} does not accept its fields: {type(error).__name__}: {error}") from error

    def _class(self, name: object) -> type:
        kind = self._types.class_of(name) if isinstance(name, str) else None
        if kind is None:
            raise DecodeError(f"it names the class {name!r}, which no annotation of the task leads to in this program")
        return kind


def _may_be_deep(data: bytes, depth: int) -> bool:
    """Whether enough bytes could open a container. Two quick passes in C spare most values the exact look."""
    return len(data) > depth and len(data) - len(data.translate(None, _OPENERS)) > depth


def _shape(data: bytes) -> object:
    """The value as nested lists: its containers as they lie in the bytes, keys included, with no class called."""
    return unpackb(
        data,
        ext_hook=lambda code, content: None,
        object_pairs_hook=lambda pairs: list(chain.from_iterable(pairs)),
        strict_map_key=False,
    )


def _is_deep(value: object, depth: int) -> bool:
    """Whether lists and dicts are nested more than `depth` levels. Level by level, without recursion."""
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        if not level:
            return False
        inside = (whole.values() if type(whole) is dict else whole for whole in level)
        level = [part for parts in inside for part in parts if type(part) in _CONTAINERS]
    return bool(level)
