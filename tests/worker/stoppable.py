"""An app with a task of each kind that heeds a request to stop, and one that does not; run, it is its worker."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from taskforge import Retry, Taskforge, current_job
from taskforge.worker import Worker

app = Taskforge(
    "stoppable", broker=os.environ.get("STOPPABLE", "memory://"), lease=2, grace=0.5, stop_grace=0.4, attempts=1
)
ONCE = Retry(attempts=1)
#: No run of these tests goes on for longer (seconds), whatever happens.
LONG = 60.0


def note(folder: str, word: str) -> None:
    """Leave a word that the test sees."""
    Path(folder, word).touch()


def released(folder: str) -> bool:
    return Path(folder, "released").exists()


@app.task(retry=ONCE)
def thread_heeds(folder: str) -> None:
    note(folder, "inside")
    try:
        current_job().wait_stop(LONG)
        current_job().raise_if_stopped()
    finally:
        note(folder, "cleaned up")


@app.task(retry=ONCE)
def thread_ignores(folder: str) -> str:
    note(folder, "inside")
    while not released(folder):
        time.sleep(0.01)
    return "to its end"


@app.task(retry=ONCE, interrupt=True)
def interrupted_heeds(folder: str) -> None:
    note(folder, "inside")
    end = time.monotonic() + LONG
    try:
        while time.monotonic() < end:  # it never looks
            time.sleep(0.001)
    finally:
        note(folder, "cleaned up")


@app.task(retry=ONCE, interrupt=True)
def interrupted_ignores(folder: str) -> str:
    note(folder, "inside")
    while not released(folder):
        try:
            time.sleep(0.01)
        except Exception:
            note(folder, "swallowed")
    return "to its end"


@app.task(retry=ONCE)
async def async_heeds(folder: str) -> None:
    note(folder, "inside")
    try:
        await asyncio.sleep(LONG)
    finally:
        note(folder, "cleaned up")


@app.task(retry=ONCE)
async def async_ignores(folder: str) -> str:
    note(folder, "inside")
    while not released(folder):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            note(folder, "swallowed")
    return "to its end"


def main() -> None:
    """Be the worker: until it should end, then end in whatever way is left."""
    worker = Worker(app)
    worker.start()
    worker.wait()
    os._exit(1 if worker.stop(kill=True) else 0)


if __name__ == "__main__":
    main()
