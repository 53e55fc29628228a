"""The peers' environments: where each lies, and how one of its programs is run."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.harness.servers import Missing

HERE = Path(__file__).parents[1]
PEERS, ENVIRONMENTS = HERE / "peers", HERE / ".env"


def names() -> list[str]:
    """Every peer there is a folder for."""
    return sorted(path.name for path in PEERS.iterdir() if (path / "requirements.txt").exists() or is_node(path.name))


def is_node(peer: str) -> bool:
    """Whether it runs on Node."""
    return (PEERS / peer / "package.json").exists()


def command(peer: str, program: str) -> list[str]:
    """The command of a peer's program. Raises Missing when its environment was not made."""
    if is_node(peer):
        node = shutil.which("node")
        if node is None:
            raise Missing("no node on PATH: install Node 20 or newer")
        if not (ENVIRONMENTS / peer / "node_modules").is_dir():
            raise Missing(f"{peer} has no environment: run `make bench-peers`")
        return [node, str(PEERS / peer / program)]
    python = ENVIRONMENTS / peer / "bin" / "python"
    if not python.exists():
        raise Missing(f"{peer} has no environment: run `make bench-peers`")
    return [str(python), str(PEERS / peer / program)]
