"""Runs a program of a contestant: in a session of its own, within a time limit, with nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
#: The tail of a failed program's output that is shown (characters).
SHOWN = 1_500
#: Runs a command and ends as it does. But when standard input ends, which is a pipe from here, this process was killed,
#: and the whole group goes with it.
LEASH = 'exec 3<&0; (cat <&3 >/dev/null; kill -9 0) & "$@" </dev/null 3<&-; exit $?'


class ProgramFailed(Exception):
    """It ended badly, too late, or without a report."""


def run(command: Sequence[str], spec: Mapping[str, object], limit: float) -> dict[str, float]:
    """The JSON object in the last line that the program prints. Its whole process group is dead afterwards."""
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        process = start([*command, json.dumps(spec)], out, err)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"not done within {limit:g} s: {_tail(err)}") from None
        finally:
            end_group(process)
        if code:
            raise ProgramFailed(f"exit code {code}: {_tail(err)}")
        return _report(out, err)


def start(command: Sequence[str], out: IO[Any], err: IO[Any]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, in an environment without settings of taskforge."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("TASKFORGE_")}
    return subprocess.Popen(
        ["sh", "-c", LEASH, "sh", *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
        start_new_session=True,
        env={**settings, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a session's process group, the children it left included."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    if process.stdin:
        process.stdin.close()


def ours(module: str) -> list[str]:
    """The command of a module of benchmarks.programs, in the interpreter that runs the benchmarks."""
    return [sys.executable, "-m", f"benchmarks.programs.{module}"]


def _report(out: IO[str], err: IO[str]) -> dict[str, float]:
    lines = _read(out).strip().splitlines()
    try:
        report: dict[str, float] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise ProgramFailed(f"it reported nothing: {lines[-1:]} {_tail(err)}") from None
    return report


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _tail(file: IO[str]) -> str:
    return _read(file).strip()[-SHOWN:]
