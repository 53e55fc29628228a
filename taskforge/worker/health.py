"""Answers over HTTP whether this process is alive and ready, and how many like it are wanted."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from taskforge.errors import BrokerError, SettingsError

logger = logging.getLogger("taskforge.worker")

#: All interfaces: who opens this port wants to be asked from outside the container. It only ever tells figures.
ANY_HOST = "0.0.0.0"
#: How long (seconds) a client may take over its request, and again over taking the answer.
PATIENCE = 2.0
#: How long (seconds) an answer that needs the broker may take; scalers give up after three.
LOAD_PATIENCE = 2.5
#: Bytes of a request, and connections at once; what is beyond is refused.
REQUEST_BYTES, CONNECTIONS = 4_096, 32
_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and the facts that say so (of JSON's types)."""

    ok: bool
    facts: Mapping[str, object] = field(default_factory=dict)


class HealthServer:
    """Serves /healthz, /readyz and /scale from one thread, until stopped.

    `alive` and `ready` must answer from memory, at once. `load` may ask the broker: it runs in a thread of its own, one
    at a time, so that a broker that is away keeps nobody from learning that this process is alive.

    Raises SettingsError when the port cannot be had. Port 0 takes a free one; `port` says which.
    """

    def __init__(
        self,
        port: int,
        host: str = ANY_HOST,
        *,
        alive: Callable[[], Health],
        ready: Callable[[], Health],
        load: Callable[[], Mapping[str, object]],
    ) -> None:
        self._checks = {"/healthz": alive, "/readyz": ready}
        self._load = load
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._connections = 0
        self._loading: asyncio.Future[Health] | None = None
        self._thread = threading.Thread(target=self._run, name="taskforge-health", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and let the port go."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
        self._socket.close()
        self._loop.close()

    def __enter__(self) -> HealthServer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._meet, sock=self._socket, limit=REQUEST_BYTES)
        async with server:
            await self._stopped.wait()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer."""
        self._connections += 1
        try:
            # What breaks off, dawdles or is too long gets no answer: no prober does that.
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if self._connections <= CONNECTIONS:
                    async with asyncio.timeout(PATIENCE):
                        request = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(request))
                    async with asyncio.timeout(PATIENCE):
                        await writer.drain()
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if not path.startswith("/"):
            return _response(400, {"error": "this is no HTTP request"})
        if method not in ("GET", "HEAD"):
            return _response(405, {"error": "only GET is answered"})
        if path == "/scale":
            health = await self._loaded()
        elif path in self._checks:
            health = _checked(path, self._checks[path])
        else:
            return _response(404, {"error": f"there is no {path[:100]} here: only /healthz, /readyz, /scale"})
        said = health.facts if path == "/scale" and health.ok else {"ok": health.ok, **health.facts}
        return _response(200 if health.ok else 503, said, whole=method == "GET")

    async def _loaded(self) -> Health:
        """The answer to the question that is under way, or to a new one."""
        if self._loading is None:
            self._loading = self._loop.create_future()
            try:
                threading.Thread(target=self._ask, args=[self._loading], name="taskforge-load", daemon=True).start()
            except RuntimeError as error:  # no thread is left to be had
                self._loading = None
                return Health(False, {"error": str(error)})
        try:
            return await asyncio.wait_for(asyncio.shield(self._loading), LOAD_PATIENCE)
        except TimeoutError:
            return Health(False, {"error": f"the broker has not answered within {LOAD_PATIENCE} s"})

    def _ask(self, answer: asyncio.Future[Health]) -> None:
        health = _checked("/scale", lambda: Health(True, self._load()))
        with suppress(RuntimeError):  # the loop is gone: nobody waits
            self._loop.call_soon_threadsafe(self._tell, answer, health)

    def _tell(self, answer: asyncio.Future[Health], health: Health) -> None:
        self._loading = None
        if not answer.done():
            answer.set_result(health)


def _listen(host: str, port: int) -> socket.socket:
    what = f"the health port {port} on {host} cannot be opened"
    if not 0 <= port <= 65_535:
        raise SettingsError(f"{what}: ports are numbers up to 65535; choose another with --health-port")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise SettingsError(f"{what}: {error.strerror}; choose another with --health-port") from error
    listener.setblocking(False)
    return listener


def _checked(path: str, check: Callable[[], Health]) -> Health:
    """What the check says. One that fails says that nothing is well."""
    try:
        return check()
    except BrokerError as error:
        return Health(False, {"error": str(error)})
    except Exception as error:
        logger.exception("health_not_told", extra={"path": path})
        return Health(False, {"error": f"{type(error).__name__}: {error}"})


def _response(status: int, said: Mapping[str, object], *, whole: bool = True) -> bytes:
    body = json.dumps(said, default=_as_text, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    head = (
        f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if whole else b"")


def _as_text(value: object) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
