"""What is wrapped around the life of a worker, entered and left."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from typing import cast

from taskforge.worker.executors import LoopExecutor


class Wrapped:
    """Async wrappers are entered, and left, on the worker's loop."""

    def __init__(self, loop: LoopExecutor) -> None:
        self._loop = loop
        self._stack = ExitStack()
        self._limit: float | None = None

    def enter(self, factories: Iterable[Callable[..., object]], app: object) -> None:
        """Enter the managers that these make for the app, in order. Raises what one of them raises."""
        for factory in factories:
            manager = factory(app)
            if isinstance(manager, AbstractAsyncContextManager):
                self._loop.wait_for(manager.__aenter__())
                self._stack.push(lambda *error, manager=manager: self._leave(manager.__aexit__(*error)))
            else:
                self._stack.enter_context(cast("AbstractContextManager[object]", manager))

    def close(self, limit: float | None = None) -> None:
        """Leave those that were entered, the last one first. An async one may take `limit` seconds: a loop that a run
        blocks would never leave it. Raises what they raise.
        """
        self._limit = limit
        self._stack.close()

    def _leave(self, leaving: Coroutine[object, object, bool | None]) -> bool | None:
        return self._loop.wait_for(leaving, self._limit)
