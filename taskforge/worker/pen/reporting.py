"""Passes on how far a run in a child is, the latest word of each moment."""

from __future__ import annotations

import threading
from contextlib import suppress

from taskforge.run import Run, Said
from taskforge.worker.pen.pipe import Pipe

#: Between two reports (seconds): the worker passes on one a second.
PAUSE = 0.25


class Reporter:
    """A thread, started by the first progress: what a run says meanwhile is not sent, but for the latest."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._news, self._rest = pipe, threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._latest: tuple[Run, int] | None = None
        self._sent: Said | None = None

    def tell(self, run: Run, number: int) -> None:
        """This run has made progress."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._report, name="taskforge-report", daemon=True)
            self._thread.start()
        self._latest = run, number
        self._news.set()

    def finish(self, run: Run, number: int) -> None:
        """The run has ended: what it said last goes before its end."""
        self._latest = None
        self._send(run, number)

    def _report(self) -> None:
        while self._news.wait():
            self._news.clear()
            latest = self._latest
            if latest is not None:
                self._send(*latest)
            self._rest.wait(PAUSE)

    def _send(self, run: Run, number: int) -> None:
        progress = run.latest_progress
        if progress is not None and progress is not self._sent:
            self._sent = progress
            with suppress(OSError):  # the worker is gone, and this process with it
                self._pipe.send(["progress", number, *progress])
