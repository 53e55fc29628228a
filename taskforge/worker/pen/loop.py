"""The event loop of a child, for what is `async`: wrappers, and functions that are kept away from others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import TypeVar

from taskforge.outcome import Outcome
from taskforge.run import Run
from taskforge.worker.loops import new_event_loop
from taskforge.worker.runner import Runner

T = TypeVar("T")


class Loop:
    """In a thread of its own, started when first used; the main thread waits, and can be interrupted."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, stack: ExitStack, manager: AbstractAsyncContextManager[object]) -> None:
        """Enter an async wrapper; `stack` leaves it."""
        self.wait_for(manager.__aenter__())
        stack.push(lambda kind, error, trace: self.wait_for(manager.__aexit__(kind, error, trace)))

    def run(self, run: Run, runner: Runner) -> Outcome:
        """Run an `async def`; a request to stop cancels it."""

        async def stoppable() -> Outcome:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            assert task is not None

            def cancel() -> None:
                loop.call_soon_threadsafe(task.cancel)

            run.on_stop = cancel
            if run.should_stop:
                task.cancel()
            return await runner.acall(run)

        return self.wait_for(stoppable())

    def wait_for(self, coroutine: Coroutine[object, object, T]) -> T:
        """What this coroutine returns."""
        if self._loop is None:
            self._loop = new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="taskforge-loop", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
