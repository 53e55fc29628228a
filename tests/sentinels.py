"""A primary and its replicas under three sentinels, on ports of the loopback interface."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import redis

from tests.servers import Engine, start, stop, wait_until

NAME = "shop"
#: Seconds until all sentinels know each other and the replicas, and until a failover is over.
READY_WITHIN, FAILOVER_WITHIN = 30.0, 60.0
#: What a sentinel is told, beside the master's place. It may believe a server dead after half a second.
RULES = ("down-after-milliseconds {name} 500", "failover-timeout {name} 2000", "parallel-syncs {name} 1")


@dataclass
class Node:
    """One server or sentinel."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    password: str | None = None

    def client(self) -> redis.Redis:
        """A client of its own; close it after use."""
        return redis.Redis(port=self.port, password=self.password, socket_timeout=5, decode_responses=True)

    def kill(self) -> None:
        """kill -9."""
        stop(self.process)


@dataclass
class Watched:
    """What is running. `servers` in the order of their start: the first is the primary, until a failover."""

    engine: Engine
    servers: list[Node] = field(default_factory=list)
    sentinels: list[Node] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{node.port}' for node in self.sentinels)}/{NAME}"

    def master(self) -> Node:
        """The server that most sentinels name."""
        named = [port for node in self.sentinels if (port := _named(node))]
        return next(node for node in self.servers if node.port == max(named, key=named.count))

    def wait_for_new_master(self, old: Node) -> Node:
        """The server that has taken over: one that says so itself."""
        found: list[Node] = []

        def taken_over() -> bool:
            found[:] = [node for node in self.servers if node is not old and _role(node) == "master"]
            return bool(found)

        wait_until(taken_over, FAILOVER_WITHIN, "the failover")
        return found[0]


@contextmanager
def watched(engine: Engine, *options: str, replicas: int = 1, password: str | None = None) -> Iterator[Watched]:
    """A fresh primary, replicas and sentinels until the `with` ends. Options and password are the servers'."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder, ExitStack() as running:
        setting = Watched(engine)
        for index in range(1 + replicas):
            of = ("--replicaof", "127.0.0.1", str(setting.servers[0].port)) if index else ()
            node = _server(engine, Path(folder) / f"n{index}", password, (*options, *of))
            running.callback(node.kill)
            setting.servers.append(node)
            wait_until(partial(_role, node), READY_WITHIN, f"{engine.name} answering")
        primary = setting.servers[0]
        wait_until(lambda: _replicas_online(primary) == replicas, READY_WITHIN, "the replication")
        for index in range(3):
            node = _sentinel(engine, Path(folder) / f"s{index}", primary)
            running.callback(node.kill)
            setting.sentinels.append(node)
        for node in setting.sentinels:
            wait_until(partial(_knows_all, node, replicas), READY_WITHIN, "the sentinels")
        yield setting


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _server(engine: Engine, folder: Path, password: str | None, more: tuple[str, ...]) -> Node:
    folder.mkdir()
    port = free_port()
    secret = ("--requirepass", password, "--masterauth", password) if password else ()
    common = ("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
    return Node(port, folder, start(engine, folder, (*common, *secret, *more)), password)


def _sentinel(engine: Engine, folder: Path, master: Node) -> Node:
    folder.mkdir()
    port = free_port()
    rules = [f"monitor {NAME} 127.0.0.1 {master.port} 2", *(rule.format(name=NAME) for rule in RULES)]
    if master.password:
        rules.append(f"auth-pass {NAME} {master.password}")
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", *(f"sentinel {rule}" for rule in rules)]
    file = folder / "sentinel.conf"
    file.write_text("\n".join(lines) + "\n")
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([str(engine.binary), str(file), "--sentinel"], stdout=log, stderr=log)
    return Node(port, folder, process)


def _role(node: Node) -> str:
    with suppress(redis.RedisError, OSError), node.client() as client:
        return str(client.role()[0])
    return ""


def _replicas_online(node: Node) -> int:
    with node.client() as client:
        info = client.info("replication")
        return sum(info[f"slave{at}"]["state"] == "online" for at in range(info["connected_slaves"]))


def _named(node: Node) -> int:
    with suppress(redis.RedisError, OSError), node.client() as client:
        return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
    return 0


def _knows_all(node: Node, replicas: int) -> bool:
    with suppress(redis.RedisError, OSError), node.client() as client:
        fields = client.execute_command("SENTINEL", "MASTER", NAME)
        facts = dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields
        return (int(facts["num-slaves"]), int(facts["num-other-sentinels"])) == (replicas, 2)
    return False
