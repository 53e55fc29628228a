"""The part of msgpack that taskforge uses, typed; the package carries no types of its own."""

from collections.abc import Callable
from typing import NamedTuple

class ExtType(NamedTuple):
    code: int
    data: bytes

class Packer:
    def __init__(
        self,
        *,
        default: Callable[[object], object] | None = None,
        strict_types: bool = False,
        use_bin_type: bool = True,
        buf_size: int | None = None,
    ) -> None: ...
    def pack(self, obj: object) -> bytes: ...

def packb(
    obj: object,
    *,
    default: Callable[[object], object] | None = None,
    strict_types: bool = False,
    use_bin_type: bool = True,
) -> bytes: ...
def unpackb(
    packed: bytes,
    *,
    ext_hook: Callable[[int, bytes], object] = ...,
    list_hook: Callable[[list[object]], object] | None = None,
    object_pairs_hook: Callable[[list[tuple[object, object]]], object] | None = None,
    strict_map_key: bool = True,
) -> object: ...
