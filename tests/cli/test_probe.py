"""`taskforge probe`: by the file alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.harness import LIMIT, ROOT, Run

PROGRAM = """
import sys
from taskforge.cli import main
try:
    main()
finally:
    print(*[name for name in ("redis", "sqlite3", "asyncio", "shop", "taskforge.worker") if name in sys.modules])
"""


def touched(file: Path, ago: float) -> Path:
    file.touch()
    moment = time.time() - ago
    os.utime(file, (moment, moment))
    return file


@pytest.mark.parametrize(
    ("ago", "code", "says"),
    [(5, 0, "alive: "), (300, 1, "not alive: "), (-300, 1, "ahead of this clock; the limit is 30 s")],
    ids=["fresh", "old", "from the future"],
)
def test_a_worker_is_alive_that_touched_its_file_lately(
    run: Run, folder: Path, ago: float, code: int, says: str
) -> None:
    file = touched(folder / "alive", ago)

    said = run("probe", "--liveness-file", str(file), bare=True)

    assert said.code == code
    assert says in said.out
    assert str(file) in said.out


def test_the_limit_is_the_askers(run: Run, folder: Path) -> None:
    file = touched(folder / "alive", 300)

    said = run("probe", "--liveness-file", str(file), "--max-age", "3600", bare=True)

    assert said.code == 0


def test_a_file_that_is_not_there_is_no_life(run: Run) -> None:
    said = run("probe", "--liveness-file", "nowhere/alive", bare=True)

    assert (said.code, said.err) == (1, "")
    assert "nowhere/alive cannot be read (No such file or directory)" in said.out


@pytest.mark.parametrize(
    "wrong", [[], ["--liveness-file", "x", "--max-age", "0"], ["--liveness-file", "x", "--max-age", "a"]]
)
def test_wrong_usage_is_told_from_death(run: Run, wrong: list[str]) -> None:
    assert run("probe", *wrong, bare=True).code == 2


def test_it_loads_neither_a_broker_nor_the_app(folder: Path) -> None:
    file = touched(folder / "alive", 0)
    command = [sys.executable, "-c", PROGRAM, "probe", "--liveness-file", str(file)]

    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TASKFORGE_APP": "shop"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )

    assert (done.returncode, done.stdout.splitlines()[1:], done.stderr) == (0, [""], "")
