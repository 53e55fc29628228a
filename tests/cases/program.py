"""The app that worker processes of these tests run. Its runs write what they do into a folder, a file per process."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from functools import cache
from pathlib import Path

from taskforge import Fixed, Retry, Taskforge, current_job

app = Taskforge("cases")


@cache
def _book(_pid: int) -> int:
    folder = Path(os.environ["CASES_LEDGER"])
    return os.open(folder / str(os.getpid()), os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def write_down(what: str) -> None:
    """One line, written at once: it is there even if the process dies in the next moment."""
    os.write(_book(os.getpid()), f"{what} {current_job().id} {os.getpid()}\n".encode())


@app.task
def note() -> None:
    write_down("ran")


@app.task(timeout=60)
def hold(seconds: float) -> str:
    """Deaf to every request to stop."""
    write_down("began")
    threading.Event().wait(seconds)
    write_down("ended")
    return "held"


@app.task
def hang_at_first() -> str:
    """Hangs when it runs the first time. The next run is another process's."""
    marker = Path(os.environ["CASES_LEDGER"]).parent / f"marker-{current_job().id}"
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return "run 2"
    write_down("began")
    threading.Event().wait(60)
    return "run 1"


@app.task
def heed(seconds: float) -> str:
    """Ends when asked to."""
    write_down("began")
    current_job().wait_stop(seconds)
    current_job().raise_if_stopped()
    write_down("ended")
    return "heeded"


@app.task
async def aheed(seconds: float) -> str:
    write_down("began")
    await asyncio.sleep(seconds)
    write_down("ended")
    return "heeded"


@app.task(timeout=0.5, retry=Retry(attempts=2, backoff=Fixed(0)))
def overstay(seconds: float) -> None:
    """Takes no notice of its timeout."""
    write_down(f"began-{time.time()}")
    threading.Event().wait(seconds)
    write_down(f"ended-{time.time()}")


@app.task(keep_result=False)
def quick() -> None:
    write_down("quick")


@app.task(keep_result=False)
def kill_at_first() -> None:
    """Kills its process without a word when it runs the first time."""
    marker = Path(os.environ["CASES_LEDGER"]).parent / f"marker-{current_job().id}"
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
