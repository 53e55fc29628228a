"""The brokers of chaos runs, with what may be done to them."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import redis

from taskforge.testing import Proxy
from tests.faults.crew import PATIENCE, descendants, kill
from tests.servers import Engine, start, stop, wait_until


class SqlitePlace:
    """Jobs in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "jobs.db"
        self.url = self.direct = f"sqlite:///{self.file}"

    def locked(self, seconds: float) -> None:
        """Another process has the file to itself; to SQLite a connection of its own is one."""
        with closing(sqlite3.connect(self.file, timeout=PATIENCE, isolation_level=None)) as db:
            db.execute("begin immediate")
            time.sleep(seconds)
            db.execute("rollback")

    def close(self) -> None:
        """Nothing to close."""


class RedisPlace:
    """A private server that writes everything down before it answers, behind a proxy."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder = folder
        self._engine = engine
        self._socket = folder / "s"
        self._process = self._start()
        self._proxy = Proxy(str(self._socket))
        self.url, self.direct = self._proxy.url, f"unix://{self._socket}"

    def cut(self, _seconds: float) -> None:
        self._proxy.cut()

    def refuse(self, seconds: float) -> None:
        self._proxy.refuse()
        self._for(seconds)

    def blackhole(self, seconds: float) -> None:
        self._proxy.blackhole()
        self._for(seconds)

    def blackhole_that_loses(self, seconds: float) -> None:
        self._proxy.blackhole()
        time.sleep(seconds)
        self._proxy.cut()
        self._proxy.restore()

    def latency(self, seconds: float) -> None:
        self._proxy.delay(0.2)
        self._for(seconds)

    def reply_cut(self, seconds: float) -> None:
        self._proxy.cut_reply_after(int(seconds * 1000) % 100)

    def scripts_forgotten(self, _seconds: float) -> None:
        self._ask("SCRIPT", "FLUSH")

    def clients_killed(self, _seconds: float) -> None:
        self._ask("CLIENT", "KILL", "TYPE", "normal")
        self._ask("CLIENT", "KILL", "TYPE", "pubsub")

    def paused(self, seconds: float) -> None:
        self._ask("CLIENT", "PAUSE", int(seconds * 1000))
        time.sleep(seconds)

    def asleep(self, seconds: float) -> None:
        self._ask("DEBUG", "SLEEP", min(seconds, 2.0))

    def read_only(self, seconds: float) -> None:
        self._ask("REPLICAOF", "127.0.0.1", "1")
        time.sleep(seconds)
        self._ask("REPLICAOF", "NO", "ONE")

    def memory_full(self, seconds: float) -> None:
        self._ask("CONFIG", "SET", "maxmemory", "1mb")
        time.sleep(seconds)
        self._ask("CONFIG", "SET", "maxmemory", "0")

    def restarted(self, _seconds: float) -> None:
        self._stop()
        self._process = self._start()

    def close(self) -> None:
        self._proxy.close()
        self._stop()

    def _stop(self) -> None:
        """By SIGKILL; with it the process that may be writing its file anew."""
        writers = descendants(self._process.pid)
        stop(self._process)
        for each in writers:
            kill(each)

    def _for(self, seconds: float) -> None:
        time.sleep(seconds)
        self._proxy.restore()

    def _ask(self, *command: object) -> object:
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            return client.execute_command(*command)

    def _start(self) -> subprocess.Popen[bytes]:
        process = start(
            self._engine,
            self._folder,
            ("--appendonly", "yes", "--enable-debug-command", "local", "--maxclients", "500"),
        )
        wait_until(self._answers, PATIENCE, "the server answering")
        return process

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self._ask("PING"))
        return False


Place = SqlitePlace | RedisPlace
