"""The app that the programs about starting give to `taskforge -A`: one task, which says when it ran."""

from __future__ import annotations

import os
import time
from pathlib import Path

from taskforge import Taskforge

app = Taskforge("started", broker=os.environ["BENCH_BROKER"])


@app.task(name="first")
def first(path: str) -> None:
    Path(path).write_text(str(time.monotonic()))
