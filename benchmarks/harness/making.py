"""Makes the peers' environments: `python -m benchmarks.harness.making [NAME…]`, or `make bench-peers`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import environments

#: One environment may take this long (seconds).
LIMIT = 600


def main(names: Sequence[str]) -> int:
    """Each peer's, unless it was made from the same file; 1 when one could not be made, after making the others."""
    environments.ENVIRONMENTS.mkdir(exist_ok=True)
    failed = [name for name in names or environments.names() if not make(name)]
    return 1 if failed else 0


def make(name: str) -> bool:
    """One environment; False when it could not be made, after saying why."""
    folder = environments.ENVIRONMENTS / name
    recipe = environments.PEERS / name / ("package.json" if environments.is_node(name) else "requirements.txt")
    stamp = folder / "made-from"
    if stamp.exists() and stamp.read_text() == recipe.read_text():
        return True
    if environments.is_node(name) and not (shutil.which("node") and shutil.which("npm")):
        print(f"{name} is left out: no node and npm on PATH")
        return True
    print(f"Making the environment of {name}", flush=True)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        (_node if environments.is_node(name) else _python)(folder, recipe)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"{name} has no environment now: {error}\n{(getattr(error, 'stderr', None) or b'').decode()[-1000:]}")
        return False
    stamp.write_text(recipe.read_text())
    return True


def _python(folder: Path, recipe: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)])
    _run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(recipe)]
    )


def _node(folder: Path, recipe: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copy(recipe, folder)
    _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--prefix", str(folder)])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
