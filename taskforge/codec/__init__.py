"""Turns arguments, results and job bodies into bytes and back: msgpack, with types that it does not know added."""

from taskforge.codec.payloads import VERSION, Codec, Envelope
from taskforge.codec.types import Types

__all__ = ["VERSION", "Codec", "Envelope", "Types"]
