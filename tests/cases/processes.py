"""Real worker processes, and the ledger that their runs write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taskforge import Taskforge
from tests.cases import program
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
#: Seconds a process may take to start and do its first job, or to end, on a busy machine.
PATIENCE = 20.0


@dataclass
class Workers:
    """Starts `taskforge worker` processes on one broker. `app` is the same app, here."""

    app: Taskforge
    url: str
    ledger: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *options: str, processes: int = 1, **settings: object) -> subprocess.Popen[bytes]:
        environ = {f"TASKFORGE_{name.upper()}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", "taskforge", "-A", "tests.cases.program", "worker"]
        with (self.ledger.parent / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *(["--alone"] if processes == 1 else ["--processes", str(processes)]), *options],
                cwd=ROOT,
                env={**os.environ, "TASKFORGE_BROKER": self.url, "CASES_LEDGER": str(self.ledger), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.started.append(process)
        return process

    def lines(self, what: str = "") -> list[list[str]]:
        """What runs wrote down that begins so: the word, the job's id, the process; by process."""
        found = [line for file in sorted(self.ledger.iterdir()) for line in file.read_text().splitlines()]
        return [line.split() for line in found if line.startswith(what)]

    def wait_for(self, what: str, count: int = 1, within: float = PATIENCE) -> list[list[str]]:
        wait_until(lambda: len(self.lines(what)) >= count, within, f"{count} runs having {what} ({self.log()})")
        return self.lines(what)

    def log(self) -> str:
        path = self.ledger.parent / "worker.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)


@pytest.fixture
def workers(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    monkeypatch.setenv("CASES_LEDGER", str(ledger))
    program._book.cache_clear()
    program.app.configure(broker=broker_url)
    made = Workers(program.app, broker_url, ledger)
    yield made
    made.close()
    program.app.close()
