"""The command line in this process and in processes of its own, and an app for it to work on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.servers import wait_until

#: Seconds a process may take to do what it should, on a busy machine.
LIMIT = 25.0
ROOT = Path(__file__).parents[2]

#: An app whose tasks tell by files what happens. `{name}` is its module.
APP = '''
import os, time
from pathlib import Path
from taskforge import Retry, Taskforge

HERE = Path(__file__).parent
app = Taskforge("shop")

@app.around_worker
def note_process(app):
    with (HERE / "pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    yield

@app.task(name="shop.add")
def add(a: object, b: object = 1) -> object:
    return a + b

@app.task(name="shop.fail", retry=Retry(attempts=1))
def fail() -> None:
    raise ValueError("no such item")

@app.task(name="shop.write", queue="files")
def write(name: str) -> int:
    (HERE / name).touch()
    return os.getpid()

@app.task(name="shop.hold")
def hold(name: str = "go", stubborn: bool = False) -> str:
    """Until the file `name` exists; a stubborn one outlives every request to stop."""
    from taskforge import current_job

    with (HERE / "held").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    deadline = time.monotonic() + 60
    while not (HERE / name).exists() and time.monotonic() < deadline:
        if not stubborn:
            current_job().raise_if_stopped()
        time.sleep(0.01)
    return "held"

@app.task(name="shop.aadd")
async def aadd(a: int) -> int:
    return a + 1

@app.task(name="shop.close_files")
def close_files() -> None:
    """In its first run only: jobs that ran beside a poisonous one three times would be dead with it."""
    if not (HERE / "closed").exists():
        (HERE / "closed").touch()
        os.closerange(3, 256)
'''


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@dataclass
class Process:
    """A command in a process of its own."""

    popen: subprocess.Popen[str]
    log: Path

    @property
    def said(self) -> str:
        """Everything it printed so far."""
        return self.log.read_text()

    def until(self, text: str) -> None:
        """Wait until it has printed this."""
        wait_until(lambda: text in self.said or self._ended(text), LIMIT, f"{text!r} in {self.log}")

    def send(self, signum: int) -> None:
        """Send it a signal."""
        self.popen.send_signal(signum)

    def end(self, within: float = LIMIT) -> int:
        """Its exit code, once it has ended by itself."""
        return self.popen.wait(within)

    def _ended(self, text: str) -> bool:
        if self.popen.poll() is not None and text not in self.said:
            raise AssertionError(f"it ended with {self.popen.returncode} before it said {text!r}:\n{self.said}")
        return False


@contextmanager
def process(folder: Path, *arguments: str, env: Mapping[str, str] = MappingProxyType({})) -> Iterator[Process]:
    """`taskforge …` in this folder; killed at the end, with everything it started, if it still runs."""
    number = len(list(folder.glob("log-*")))
    log = folder / f"log-{number}"
    with log.open("w") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", "taskforge", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Process(popen, log)
    finally:
        for pid in [*pids(folder), popen.pid]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        popen.wait(LIMIT)


def on_a_terminal(*arguments: str) -> bytes:
    """What `taskforge …`, in the working directory, writes to a terminal."""
    ours, its = os.openpty()
    command = [sys.executable, "-m", "taskforge", *arguments]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as popen:
        os.close(its)
        said = b""
        with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):  # EIO is a terminal's end of file
            while part := terminal.read(65_536):
                said += part
        popen.wait(LIMIT)
    return said


def pids(folder: Path, name: str = "pids") -> list[int]:
    """The worker processes that told of themselves, in the order of their starts."""
    file = folder / name
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
