"""Watches code, for children that are to be replaced when it changes."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, cast

from taskforge.errors import SettingsError

logger = logging.getLogger("taskforge.worker")


class _Watch(Protocol):
    def __call__(self, *paths: str, stop_event: threading.Event) -> Iterable[set[tuple[object, str]]]: ...


class Reloader:
    """Calls `changed` when a Python file below these folders changes, until stopped.

    Raises SettingsError when watchfiles, the library that it takes, is not installed.
    """

    def __init__(self, folders: Sequence[Path], changed: Callable[[], None]) -> None:
        try:
            self._watch = cast("_Watch", importlib.import_module("watchfiles").watch)
        except ImportError as error:
            raise SettingsError("--reload takes watchfiles: pip install 'taskforge[reload]'") from error
        self._folders, self._changed = [str(folder) for folder in folders], changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="taskforge-reloader", daemon=True)

    def __enter__(self) -> Reloader:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(1)  # it looks at the event now and then, and is nobody's loss

    def _run(self) -> None:
        for changes in self._watch(*self._folders, stop_event=self._stop):
            files = sorted({path for _, path in changes if path.endswith(".py")})
            if files:
                logger.info("code_changed", extra={"files": " ".join(files[:5])})
                self._changed()
