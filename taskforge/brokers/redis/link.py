"""One connection of redis-py, with everything said that redis-py has a default for, and typed as far as we use it."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError
from redis.retry import Retry

from taskforge.brokers.redis.scripts import Value
from taskforge.errors import SettingsError

#: What the system does with a connection that is silent (seconds, seconds, times): one that nobody reads from, or
#: whose other end went without a word, is found dead within half a minute.
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
#: The timeout (seconds) that a connection is made with, until it is bound by that of its caller.
_UNBOUND = 5.0

Command: TypeAlias = tuple[Value, ...]
Reply: TypeAlias = "bytes | int | list[Reply] | None"


class Link(Protocol):
    """What we use of redis-py's Connection; the same from 6.4 to 8. Its client layer above costs 16 µs a call."""

    #: redis-py has no public way to the socket, and waiting for two things at once needs its descriptor.
    _sock: socket.socket | None
    socket_timeout: float | None
    socket_connect_timeout: float | None

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def pack_command(self, *command: Value | float) -> Sequence[bytes]: ...
    def pack_commands(self, commands: Sequence[Command]) -> Sequence[bytes]: ...
    def send_packed_command(self, command: Sequence[bytes], check_health: bool = True) -> None: ...
    def read_response(self, disable_decoding: bool = False) -> Reply: ...
    def can_read(self, timeout: float = 0) -> bool: ...


def bound(link: Link, timeout: float) -> None:
    """Let no wait on this connection take longer than `timeout` seconds from now on."""
    if link.socket_timeout != timeout:
        link.socket_timeout = link.socket_connect_timeout = timeout
        if link._sock is not None:
            link._sock.settimeout(timeout)


class Dialler(Protocol):
    """Makes connections to whatever a URL names."""

    #: Whether it finds the master by itself, wherever that has gone.
    follows: bool

    def connect(self, timeout: float) -> Link:
        """A new connection, connected. No wait, now or later, is longer than `timeout` seconds.

        Raises the errors of redis-py and of the operating system.
        """
        ...

    def distrust(self) -> None:
        """The last connection failed: what it spoke to may be gone, or the master no more."""
        ...

    def describe(self) -> str:
        """Where the connections go, without any password."""
        ...


class Links:
    """Makes connections to the server of one URL."""

    follows = False

    def __init__(self, url: str) -> None:
        try:
            self._options: dict[str, object] = dict(parse_url(url))  # type: ignore[no-untyped-call]
            kind = cast("type[AbstractConnection]", self._options.pop("connection_class", Connection))
            self._make = cast("Callable[..., Link]", kind)
            self._tls = issubclass(kind, SSLConnection)
            self._options |= _said()
            if not issubclass(kind, UnixDomainSocketConnection):
                self._options |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
            path = urlsplit(url).path.strip("/")
            if path and not path.isdecimal() and "path" not in self._options:
                raise ValueError(f"its database must be a number, not {path!r}")
            self._make(**self._options)
        except (TypeError, ValueError, RedisError) as error:
            raise SettingsError(f"broker: the URL is not one of Redis: {error}") from error

    def connect(self, timeout: float, host: str = "", port: int = 0) -> Link:
        """A new connection, connected; to another host and port than the URL's, if these are given."""
        place = {"host": host, "port": port} if host else {}
        link = self._make(**self._options | place)
        bound(link, timeout)
        link.connect()
        return link

    def distrust(self) -> None:
        """Nothing to do: there is one server only."""

    def describe(self) -> str:
        """The server, without any password."""
        options = self._options
        if "path" in options:
            return f"unix://{options['path']}"
        scheme = "rediss" if self._tls else "redis"
        return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"


def _said() -> dict[str, object]:
    # CLIENT SETINFO costs two round trips and some proxies refuse it; redis-py 7.2 renamed the way to leave it out.
    known = inspect.signature(AbstractConnection.__init__).parameters
    names = ["driver_info"] if "driver_info" in known else ["lib_name", "lib_version"]
    return {
        "socket_timeout": _UNBOUND,
        "socket_connect_timeout": _UNBOUND,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "retry_on_error": [],
        "health_check_interval": 0,
        "protocol": 2,
        "decode_responses": False,
        "encoding": "utf-8",
        **dict.fromkeys(names),
    }
