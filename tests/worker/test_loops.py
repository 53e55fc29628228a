"""Which event loop async tasks run on."""

from __future__ import annotations

import asyncio
import importlib
import sys

import pytest
import uvloop

from taskforge import Taskforge
from taskforge.worker import loops


def test_async_tasks_run_on_uvloop_where_it_is_installed(app: Taskforge) -> None:
    @app.task
    async def loop() -> str:
        return type(asyncio.get_running_loop()).__module__

    with app.worker():
        assert loop.enqueue().result(10) == uvloop.Loop.__module__


def test_without_uvloop_they_run_on_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "uvloop", None)  # as if it were not installed
        chosen = importlib.reload(loops).new_event_loop
    importlib.reload(loops)

    assert chosen is asyncio.new_event_loop
