"""A user's type checker sees a task's own parameters and result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_mypy_agrees_with_every_promise(tmp_path: Path) -> None:
    # Errors inside taskforge are the gate's business; here only what a user's file would show counts.
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    promises = Path(__file__).with_name("promises.py").relative_to(ROOT)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(promises)], cwd=ROOT, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stdout + done.stderr
