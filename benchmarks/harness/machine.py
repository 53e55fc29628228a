"""What the figures were measured on: the machine without its name, and every version that matters."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from benchmarks.harness import environments

OURS = ("taskforge", "redis", "hiredis", "msgpack", "uvloop")


def facts() -> dict[str, str]:
    """The machine and the versions of what ran on it, ready to print."""
    found = {
        "Processor": f"{_processor()}, {os.cpu_count()} cores seen",
        "Memory": _memory(),
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "Redis": _said("redis-server", "--version") or _said("valkey-server", "--version"),
        "Node": _said("node", "--version"),
        "Libraries": ", ".join(_versions(OURS)),
    }
    return {name: text for name, text in found.items() if text}


def peer_versions() -> dict[str, str]:
    """What each peer's environment holds of what its requirements name."""
    return {name: ", ".join(_of_peer(name)) for name in environments.names()}


def _of_peer(peer: str) -> list[str]:
    source = environments.PEERS / peer
    if environments.is_node(peer):
        wanted = json.loads((source / "package.json").read_text())["dependencies"]
        return [f"{name} {version}" for name, version in wanted.items()]
    lines = (source / "requirements.txt").read_text().splitlines()
    return [line.replace("==", " ") for line in lines if line and not line.startswith("#")]


def _versions(names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return ""


def _said(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20)
    words = [word for word in done.stdout.split() if word.lstrip("v=")[:1].isdigit()]
    return words[0].removeprefix("v=").removeprefix("v") if words else done.stdout.strip()
