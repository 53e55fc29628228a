"""Executors that use no threads: each run is finished by whoever hands it out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from contextvars import copy_context
from typing import TypeVar

from taskforge.outcome import Failed, HandedBack, Outcome
from taskforge.run import Run
from taskforge.worker.executors import Done
from taskforge.worker.line import Line
from taskforge.worker.loops import new_event_loop
from taskforge.worker.runner import Runner

T = TypeVar("T")


class HereExecutor:
    """Plain functions, one after another in the calling thread."""

    def __init__(self, runner: Runner, loop: HereLoop, done: Done) -> None:
        self._runner, self._loop, self._done = runner, loop, done
        self.line = Line()

    def submit(self, runs: Sequence[Run], now: float) -> None:
        """Run these."""
        for run in runs:
            # In a context of its own, so that no run sees what another one left in a ContextVar.
            self._done(run, copy_context().run(self._runner.call, run, self._enter_async))

    def _enter_async(self, stack: ExitStack, manager: AbstractAsyncContextManager[object]) -> None:
        self._loop.wait_for(manager.__aenter__())
        stack.push(lambda kind, error, trace: self._loop.wait_for(manager.__aexit__(kind, error, trace)))


class HereLoop:
    """`async def` functions, one after another, on an event loop of the calling thread. Use it in a `with`."""

    def __init__(self, runner: Runner, done: Done) -> None:
        self._runner, self._done = runner, done
        self._loop = asyncio.Runner(loop_factory=new_event_loop)
        self.line = Line()

    def submit(self, runs: Sequence[Run], now: float) -> None:
        """Run these."""
        for run in runs:
            self._done(run, self._outcome(run))

    def wait_for(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run a coroutine to its end."""
        return self._loop.run(coroutine)

    def close(self) -> None:
        """End the loop, and what runs left on it."""
        self._loop.close()

    def _outcome(self, run: Run) -> Outcome:
        outcomes: list[Outcome] = []

        async def steps() -> None:
            outcomes.append(await self._runner.acall(run))
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # for the loop to see: this is how Ctrl-C reaches a coroutine

        try:
            self._loop.run(steps(), context=copy_context())
        except KeyboardInterrupt as error:
            return Failed(error)
        except asyncio.CancelledError:  # the task cancelled itself: what the runner makes of that stands
            pass
        return outcomes[0] if outcomes else HandedBack()


def interruption(outcome: Outcome) -> BaseException | None:
    """An error that is not the job's but the caller's: a person's Ctrl-C, a test framework's way to end a test."""
    if not isinstance(outcome, Failed):
        return None
    error = outcome.error
    return None if isinstance(error, Exception | SystemExit | GeneratorExit) else error
