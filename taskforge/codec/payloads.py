"""What is in a job's bytes: its body, its arguments, its result, and the small records beside it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msgpack import Packer

from taskforge.codec.refusals import MAX_DEPTH, find_fault, words
from taskforge.codec.types import Types
from taskforge.codec.wire import KEEP_ROOM, Writer, read
from taskforge.errors import DecodeError, EncodeError, PayloadTooLarge, UnknownVersion

log = logging.getLogger("taskforge.codec")

#: The format of everything here. Each piece but the arguments, which lie within a body, is an array of at most 15
#: elements that begins with it: the first two bytes are 0x9? and the version, in this and every later format. What is
#: only added (a further element, an extension that old readers do not get to see) does not change it.
VERSION = 1
#: Bodies alone have a second format: the same, with options that readers of the first do not know and must not miss.
LATEST_BODY = 2

_NO_TYPES = Types.none()
_TEXT = frozenset({str})
_NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


class Envelope(NamedTuple):
    """What a job's body holds: the task, its arguments (packed), and the options that differ from the defaults."""

    task: str
    arguments: bytes
    options: Mapping[str, object] = _NO_OPTIONS
    version: int = VERSION


class Codec:
    """Packs and reads what jobs are made of. May be used by any number of threads, and from within itself.

    Limits are bytes of one job's arguments and of one result.
    """

    def __init__(self, payload_limit: int = 256 * 1024, result_limit: int = 64 * 1024) -> None:
        self.payload_limit, self.result_limit = payload_limit, result_limit
        # Writers not in use. Taking one out and putting it back are atomic; a call from within a call takes another.
        self._idle: list[Writer] = []
        if Packer.__module__ == "msgpack.fallback":
            _warn_of_slow_msgpack()

    def arguments(
        self, task: str, args: Sequence[object], kwargs: Mapping[str, object], types: Types, names: Sequence[str] = ()
    ) -> bytes:
        """The arguments of a job, packed. `names` are the parameters that `args` are for, as far as they are known.

        Raises EncodeError, naming the argument and the place in it, and PayloadTooLarge.
        """
        try:
            data = self._write([list(args), dict(kwargs)], types, MAX_DEPTH + 2)
        except Exception as error:
            raise _refused(task, _labelled(args, kwargs, names), types, error) from error
        if len(data) > self.payload_limit:
            raise self._too_large(task, len(data), _labelled(args, kwargs, names), types)
        return data

    def read_arguments(self, data: bytes, types: Types) -> tuple[list[object], dict[str, object]]:
        """Positional and keyword arguments. Raises DecodeError."""
        # No `match` here: this is on every job's path, and it would take longer than the unpacking.
        both = _read(data, types, MAX_DEPTH + 2, "the arguments")
        if isinstance(both, list) and len(both) == 2:
            args, kwargs = both
            if isinstance(args, list) and isinstance(kwargs, dict) and _is_keyed_by_text(kwargs):
                return args, kwargs
        raise DecodeError("the arguments are not a list and a map of names")

    def result(self, task: str, value: object, types: Types) -> bytes | None:
        """What a task returned, packed; None for None. Raises EncodeError and PayloadTooLarge."""
        if value is None:
            return None
        try:
            data = self._write([VERSION, value], types, MAX_DEPTH + 1)
        except Exception as error:
            raise _refused(task, [("the result", "result", value)], types, error) from error
        if len(data) > self.result_limit:
            raise PayloadTooLarge(
                f"the result of {task} takes {len(data):,} bytes, over the limit of {self.result_limit:,}: "
                "store it elsewhere and return a path or a key to it, or raise result_limit"
            )
        return data

    def read_result(self, data: bytes | None, types: Types) -> object:
        """What the task returned. Raises DecodeError and UnknownVersion."""
        return None if data is None else _read_record(data, types, "the result")

    def body(self, envelope: Envelope) -> bytes:
        """A job's body. Raises EncodeError when an option cannot travel."""
        parts = [envelope.version, envelope.task, envelope.arguments]
        if envelope.options:
            parts.append(dict(envelope.options))
        try:
            return self._write(parts, _NO_TYPES, MAX_DEPTH + 2)
        except Exception as error:
            options = [(f"option {name!r}", name, value) for name, value in envelope.options.items()]
            raise _refused(envelope.task, options, _NO_TYPES, error) from error

    def read_body(self, body: bytes) -> Envelope:
        """What is in a body, the arguments left packed. Raises DecodeError and UnknownVersion."""
        if len(body) < 2 or body[0] & 0xF0 != 0x90 or body[1] != VERSION:
            _check_version(body, "the body", LATEST_BODY)
        parts = _read(body, _NO_TYPES, MAX_DEPTH + 2, "the body")
        if isinstance(parts, list) and len(parts) >= 3:
            task, arguments, options = parts[1], parts[2], parts[3] if len(parts) > 3 else {}
            texts = isinstance(task, str) and isinstance(arguments, bytes)
            if texts and isinstance(options, dict) and _is_keyed_by_text(options):
                return Envelope(task, arguments, options, body[1])
        raise DecodeError("the body is not a task, its arguments and its options")

    def kept(self, task: str, value: object) -> bytes:
        """What a run keeps for the next one, packed: plain data, within the limit of a result.

        Raises EncodeError and PayloadTooLarge.
        """
        try:
            data = self._write([VERSION, value], _NO_TYPES, MAX_DEPTH + 1)
        except Exception as error:
            raise _refused(task, [("the checkpoint", "checkpoint", value)], _NO_TYPES, error) from error
        if len(data) > self.result_limit:
            raise PayloadTooLarge(
                f"the checkpoint of {task} takes {len(data):,} bytes, over the limit of {self.result_limit:,}: "
                "store it elsewhere and keep a path or a key to it, or raise result_limit"
            )
        return data

    def plain(self, value: object) -> bytes:
        """A small record of our own (an error, a progress): types as in arguments but no classes, and no limit."""
        try:
            return self._write([VERSION, value], _NO_TYPES, MAX_DEPTH + 1)
        except Exception as error:
            raise _refused("a job", [("the record", "record", value)], _NO_TYPES, error) from error

    def read_plain(self, data: bytes) -> object:
        """The opposite of `plain`. Raises DecodeError and UnknownVersion."""
        return _read_record(data, _NO_TYPES, "the record")

    def _write(self, value: object, types: Types, depth: int) -> bytes:
        try:
            writer = self._idle.pop()
        except IndexError:
            writer = Writer(types)
        data = writer.pack(value, types, depth)  # a writer that failed, or that grew, is let go
        if len(data) <= KEEP_ROOM:
            self._idle.append(writer)
        return data

    def _too_large(self, task: str, size: int, parts: Iterator[_Labelled], types: Types) -> PayloadTooLarge:
        sizes = [(len(self._write(value, types, MAX_DEPTH + 1)), label) for label, _, value in parts]
        largest, label = max(sizes, default=(0, "none"))
        return PayloadTooLarge(
            f"the arguments of {task} take {size:,} bytes, over the limit of {self.payload_limit:,} "
            f"(the largest is {label}, {largest:,} bytes): "
            "store the data elsewhere and pass a path or a key to it, or raise payload_limit"
        )


#: A value with what messages call it, and the name that a path into it begins with.
_Labelled = tuple[str, str, object]


def _labelled(args: Sequence[object], kwargs: Mapping[str, object], names: Sequence[str]) -> Iterator[_Labelled]:
    for index, value in enumerate(args):
        if index < len(names):
            yield f"argument {names[index]!r}", names[index], value
        else:
            yield f"argument {index + 1}", f"args[{index}]", value
    for name, value in kwargs.items():
        yield f"argument {name!r}", name, value


def _refused(task: str, parts: Iterator[_Labelled] | list[_Labelled], types: Types, error: Exception) -> EncodeError:
    """What is wrong with these parts of a job, in the words of the first fault that is found."""
    writer = Writer(types)
    for label, name, value in parts:
        if fault := find_fault(value, writer.parts_of):
            where = f"{name}{fault.path}, in {label} of {task}," if fault.path else f"{label} of {task}"
            return EncodeError(f"{where} {fault.why}")
    return EncodeError(f"what {task} was given or returned {words(error)}")


def _check_version(data: bytes, what: str, latest: int = VERSION) -> None:
    """Read from the first two bytes alone: of a later format nothing else can be relied on."""
    if len(data) < 2 or data[0] & 0xF0 != 0x90 or not VERSION <= data[1] < 0x80:
        raise DecodeError(f"{what} ({len(data)} bytes) was not written by taskforge")
    if data[1] > latest:
        raise UnknownVersion(
            f"{what} was written in format {data[1]} by a newer taskforge, and this one reads format {latest}: "
            "update taskforge here too"
        )


def _read_record(data: bytes, types: Types, what: str) -> object:
    _check_version(data, what)
    parts = _read(data, types, MAX_DEPTH + 1, what)
    if isinstance(parts, list) and len(parts) >= 2:
        return parts[1]
    raise DecodeError(f"{what} is empty")


def _read(data: bytes, types: Types, depth: int, what: str) -> object:
    try:
        return read(data, types, depth)
    except DecodeError as error:
        raise DecodeError(f"{what} cannot be read: {error}") from error.__cause__


def _is_keyed_by_text(whole: dict[object, object]) -> bool:
    return not whole or _TEXT.issuperset(map(type, whole))


@functools.cache  # once per process
def _warn_of_slow_msgpack() -> None:
    log.warning("msgpack_is_slow", extra={"reason": "its C extension is missing: packing takes some 20 times longer"})
