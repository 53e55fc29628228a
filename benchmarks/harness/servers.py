"""The private Redis servers of a run, each on a loopback port of its own, and the slow way to one of them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.programs import end_group, start

#: Seconds a server may take until it accepts connections.
START_WITHIN = 15.0
#: What the proxy adds to a round trip (milliseconds).
ADDED_MS = 1.0
PLAIN = ("--save", "", "--appendonly", "no")
AOF = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")


class Missing(Exception):
    """This machine has not what it takes; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program finds Redis: `port` for what is measured, `direct` for looking at the server itself."""

    port: int
    direct: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Servers:
    """Starts each kind of server at its first use; all of them end with the `with`. `program` instead of PATH's."""

    def __init__(self, program: str | None = None) -> None:
        self._program = program or shutil.which("redis-server") or shutil.which("valkey-server")
        self._stack = ExitStack()
        self._places: dict[str, Place] = {}

    def __enter__(self) -> Servers:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tf-bench-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def place(self, kind: str) -> Place:
        """The server of this kind, empty. Raises Missing."""
        if kind not in self._places:
            self._places[kind] = self._start(kind)
        place = self._places[kind]
        with socket.create_connection(("127.0.0.1", place.direct), 5) as server:
            server.settimeout(30)
            server.sendall(b"FLUSHALL SYNC\r\nCONFIG RESETSTAT\r\n")
            answer = b""
            while answer.count(b"\r\n") < 2:
                answer += server.recv(4096)
            if answer != b"+OK\r\n+OK\r\n":
                raise RuntimeError(f"Redis did not empty itself: {answer!r}")
        return place

    def _start(self, kind: str) -> Place:
        if kind == "plain":
            return self._redis(PLAIN)
        if kind == "aof":
            return self._redis(AOF)
        if kind == "slow":
            return self._proxy(self.place("aof").direct)
        raise ValueError(f"there is no server {kind!r}")

    def _redis(self, options: tuple[str, ...]) -> Place:
        if self._program is None:
            raise Missing("no redis-server or valkey-server on PATH: install one of them")
        port = free_port()
        folder = self._folder / str(port)
        folder.mkdir()
        self._spawn([self._program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options], port)
        return Place(port, port)

    def _proxy(self, target: int) -> Place:
        port = free_port()
        program = build_proxy(self._folder)
        self._spawn([str(program), str(port), str(target), str(int(ADDED_MS * 500))], port)
        return Place(port, target)

    def _spawn(self, command: list[str], port: int) -> None:
        with (self._folder / f"{port}.log").open("wb") as log:
            process = start(command, log, log)
        self._stack.callback(end_group, process)
        wait_until(lambda: process.poll() is not None or _accepts(port), START_WITHIN, f"{command[0]} answering")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {(self._folder / f'{port}.log').read_text()[-1000:]}")


def build_proxy(folder: Path) -> Path:
    """The compiled proxy. Raises Missing where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Missing("no C compiler on PATH: the proxy that adds latency is in C, for Python and Node are too coarse")
    program = folder / "proxy"
    if not program.exists():
        source = Path(__file__).with_name("proxy.c")
        done = subprocess.run([compiler, "-O2", "-o", str(program), str(source)], capture_output=True, timeout=60)
        if done.returncode:
            raise Missing(f"the proxy that adds latency does not compile here: {done.stderr.decode()[-300:]}")
    return program


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], within: float, what: str) -> None:
    """Return as soon as `condition()` holds; TimeoutError when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:g} s")
        time.sleep(0.01)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True
