"""An app whose tasks run in processes of their own: importable, as a child needs it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from taskforge import Discard, Fail, Fixed, Isolate, Retry, RetryLater, Run, Snooze, Taskforge, current_job

#: Long enough a grace that what is asked to stop does so in time on any machine.
app = Taskforge("penned", broker=os.environ.get("PENNED_BROKER", "memory://"), lease=10, stop_grace=20)
entered: list[str] = []


@app.around_worker
@contextmanager
def resource(_app: Taskforge) -> Iterator[None]:
    entered.append("worker")
    yield
    if note := os.environ.get("PENNED_NOTE"):
        Path(note).write_text("left")


@app.around_job
@asynccontextmanager
async def span(_run: object):  # type: ignore[no-untyped-def]
    entered.append("job")
    yield


@app.signals.job_started.connect
def note_start(_app: Taskforge, run: Run) -> None:
    entered.append(f"{run.task} started")


@app.task(isolate=True)
def setting(name: str) -> object:
    return getattr(app.settings, name)


@app.task(isolate=True)
def where() -> list[object]:
    return [os.getpid(), os.getppid(), list(entered)]


@app.task(isolate=True)
def inside(*, note: str = "") -> dict[str, object]:
    job = current_job()
    job.progress(1, 2, note)
    job.wait_stop(0.1)  # that is sent, and the next one not at once
    job.progress(2, 2, note)
    later = job.enqueue_on_success(add, 1, 2)
    deadline = job.deadline
    assert deadline is not None
    return {"id": job.id, "attempt": job.attempt, "headers": dict(job.headers), "later": later.id}


@app.task(isolate=True)
def add(a: int, b: int) -> int:
    return a + b


@app.task(isolate=Isolate(reuse=1))
def once() -> int:
    return os.getpid()


class Custom(OSError):
    """An error that the worker's process need not know."""


def by_error(attempt: int, error: BaseException) -> float | None:
    return error.args[0] if isinstance(error, Custom) else None


@app.task(isolate=True)
def fail(message: str) -> None:
    raise Custom(message)


@app.task(isolate=True, retry=Retry(backoff=by_error))
def fail_with_own_backoff(wait: float | None) -> None:
    raise Custom(wait)


@app.task(isolate=True)
def choose(how: str) -> None:
    raise {"later": RetryLater(7), "snooze": Snooze(8), "fail": Fail("no"), "discard": Discard("nothing to do")}[how]


@app.task(isolate=True)
def too_large() -> bytes:
    return bytes(app.settings.result_limit + 1)


@app.task(isolate=True)
def die(how: str) -> None:
    match how:
        case "exit 0":
            os._exit(0)
        case "exit 3":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "mute":
            for each in descriptors():
                if "socket" in each:
                    os.close(int(each.split()[0]))


@app.task(isolate=Isolate(memory="512MB"))
def eat(mebibytes: int) -> int:
    return len(bytearray(mebibytes << 20))


@app.task(isolate=Isolate(memory="512MB"))
def eat_shared(mebibytes: int) -> None:
    """Memory that no limit of the kernel's counts."""
    import mmap

    whole = mmap.mmap(-1, mebibytes << 20)
    for place in range(0, mebibytes << 20, 4096):
        whole[place] = 1
    time.sleep(3600)


@app.task(isolate=True)
def sleep(seconds: float = 3600) -> str:
    current_job().progress(1)
    time.sleep(seconds)
    return "slept"


@app.task(isolate=True)
def stubborn() -> None:
    current_job().progress(1)
    while True:
        try:
            time.sleep(3600)
        except Exception:
            continue


@app.task(isolate=True)
def parent_of(folder: str) -> None:
    """Starts a process of its own that would live on."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    Path(folder, "pids").write_text(f"{os.getpid()} {child.pid}")
    current_job().progress(1)
    while True:
        try:
            time.sleep(3600)
        except Exception:
            continue


@app.task(isolate=True)
def tidy(file: str) -> None:
    """Says whether it was interrupted, rather than killed."""
    current_job().progress(1)
    try:
        time.sleep(3600)
    finally:
        Path(file).write_text("tidied")


@app.task(isolate=True)
def hold(folder: str) -> None:
    """Keeps the interpreter's lock for an hour."""
    Path(folder, "pids").write_text(str(os.getpid()))
    current_job().progress(1)
    time.sleep(0.5)  # until that is told
    ctypes.PyDLL(None).sleep(3600)


@app.task(isolate=True)
def enqueue() -> str:
    return add.enqueue(1, 2).id


@app.task(isolate=True)
def descriptors() -> list[str]:
    found = []
    for each in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            found.append(f"{each} {os.readlink(f'/proc/self/fd/{each}').partition(':')[0]}")
        except FileNotFoundError:
            continue
    return found


@app.task(retry=Retry(backoff=Fixed(1)))
async def lonely(seconds: float = 0) -> list[object]:
    import asyncio

    current_job().progress(1)
    await asyncio.sleep(seconds)
    return [os.getpid(), os.getppid()]
