"""Real worker processes: started, found, killed and frozen."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.faults.ledger import FOLDER, Ledger, Line
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
#: Seconds that something may take which happens soon on an idle machine; this one may be very busy.
PATIENCE = 30.0
#: How often a worker is frozen anew if it was in the middle of a transaction.
FREEZES = 50


@dataclass
class Crew:
    """Starts `taskforge worker` on the broker at `url`. Everything else is kept in `folder`."""

    url: str
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for each in (self.ledger.folder, self.folder / "markers"):
            each.mkdir(parents=True, exist_ok=True)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger")

    @property
    def environment(self) -> dict[str, str]:
        """What processes of these tests need to know."""
        return {"TASKFORGE_BROKER": self.url, FOLDER: str(self.ledger.folder), "PYTHONPATH": str(ROOT)}

    def start(
        self,
        *options: str,
        processes: int | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
        **settings: object,
    ) -> subprocess.Popen[bytes]:
        """One worker process; or a parent with so many."""
        given = {f"TASKFORGE_{name.upper()}": str(value) for name, value in settings.items()}
        command = ("taskforge", "-A", "tests.faults.program", "worker", "--loglevel", "warning")
        who = ["--alone"] if processes is None else ["--processes", str(processes)]
        return self.run(*command, *who, *options, env={**given, **env})

    def run(
        self, module: str, *arguments: str, env: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        """Start any module of these tests, with the same environment and log."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={**os.environ, **self.environment, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def all(self, what: str, count: int = 1, within: float = PATIENCE) -> list[Line]:
        """All lines of the ledger that say so, as soon as there are `count`."""
        wait_until(lambda: self.ledger.count(what) >= count, within, f"{count} runs having {what} ({self.log()})")
        return list(self.ledger.lines(what))

    @contextmanager
    def frozen(self, worker: subprocess.Popen[bytes]) -> Iterator[None]:
        """A worker that was started here stands still until the `with` ends, and keeps no file locked meanwhile."""
        try:
            for _ in range(FREEZES):
                worker.send_signal(signal.SIGSTOP)
                os.waitpid(worker.pid, os.WUNTRACED)
                if not self._locked():
                    break
                worker.send_signal(signal.SIGCONT)
                time.sleep(0.01)
            yield
        finally:
            worker.send_signal(signal.SIGCONT)

    def _locked(self) -> bool:
        """Whether somebody is in the middle of a transaction, where jobs are in a file."""
        if not self.url.startswith("sqlite:"):
            return False
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)) as db:
            try:
                db.execute("begin immediate")
            except sqlite3.OperationalError:
                return True
            return False

    def log(self) -> str:
        """The end of what the processes said."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def close(self) -> None:
        """Kill everything that was started, and what that has started."""
        for process in self.started:
            for pid in [process.pid, *descendants(process.pid)] if process.poll() is None else []:
                kill(pid)
        for process in self.started:
            process.wait(PATIENCE)


def children(pid: int) -> list[int]:
    """The living children of a process."""
    return [child for child, parent in _parents() if parent == pid]


def descendants(pid: int) -> list[int]:
    """Its children and theirs."""
    found, known = [pid], list(_parents())
    for each in found:
        found.extend(child for child, parent in known if parent == each)
    return found[1:]


def living() -> set[int]:
    """Every process that has not ended."""
    return {child for child, _ in _parents()}


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process, which may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, how)


def _parents() -> Iterator[tuple[int, int]]:
    """Every process that is not a zombie, with its parent."""
    if not Path("/proc/self/stat").exists():
        told = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
        for line in told.splitlines():
            child, parent, state = line.split()[:3]
            if not state.startswith("Z"):
                yield int(child), int(parent)
        return
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    yield int(entry), int(parent)
