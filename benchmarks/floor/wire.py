"""A bare socket to Redis: hiredis packs and parses; nothing reconnects, nothing times out."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import hiredis

LUA = Path(__file__).with_name("lua")


class Wire:
    """One connection, used by one thread."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        self._buffer = bytearray(1 << 18)

    def send(self, *commands: tuple[Any, ...]) -> None:
        """Write commands without reading their answers."""
        self.sock.sendall(b"".join(map(hiredis.pack_command, commands)))

    def read(self) -> Any:
        """The next answer."""
        reply, buffer = self._reader.gets(), self._buffer
        while reply is False:
            n = self.sock.recv_into(buffer)
            if not n:
                raise ConnectionError("Redis closed the connection")
            self._reader.feed(buffer, 0, n)  # type: ignore[arg-type]  # it takes any buffer
            reply = self._reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def call(self, *command: Any) -> Any:
        """One command, one answer."""
        self.sock.sendall(hiredis.pack_command(command))
        return self.read()

    def load(self, name: str) -> str:
        """The SHA of a script of the floor."""
        sha: bytes = self.call("SCRIPT", "LOAD", (LUA / f"{name}.lua").read_text())
        return sha.decode()
