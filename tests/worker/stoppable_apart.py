"""The same for isolated tasks: an app of its own, for its workers start a process beside them."""

from __future__ import annotations

import os
import time

from taskforge import Retry, Taskforge
from tests.worker.stoppable import LONG, note

app = Taskforge(
    "stoppable", broker=os.environ.get("STOPPABLE", "memory://"), lease=2, grace=0.5, stop_grace=0.4, attempts=1
)
ONCE = Retry(attempts=1)


@app.task(retry=ONCE, isolate=True)
def isolated_heeds(folder: str) -> None:
    note(folder, "inside")
    try:
        time.sleep(LONG)  # it never looks
    finally:
        note(folder, "cleaned up")


@app.task(retry=ONCE, isolate=True)
def isolated_ignores(folder: str) -> None:
    note(folder, "inside")
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        try:
            time.sleep(LONG)
        except Exception:
            note(folder, "swallowed")
