"""Where functions run: threads for plain ones, one event loop for `async def`."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from taskforge.outcome import Outcome
from taskforge.run import Run
from taskforge.worker.line import Line
from taskforge.worker.loops import new_event_loop
from taskforge.worker.runner import Runner

logger = logging.getLogger("taskforge.worker")

T = TypeVar("T")
#: What an executor says when a run has ended.
Done = Callable[[Run, Outcome], None]


class ThreadExecutor:
    """A fixed number of threads. They are daemons: a task that never ends must not keep the process alive."""

    def __init__(self, threads: int, runner: Runner, loop: LoopExecutor, done: Done) -> None:
        self._runner, self._loop, self._done = runner, loop, done
        self.line = Line()
        #: A token wakes one thread to look at the line (True), or to end (False).
        self._bell: SimpleQueue[bool] = SimpleQueue()
        first = runner.reserve(threads)
        self._threads = [
            threading.Thread(target=self._work, args=(first + n,), name=f"taskforge-run-{n}", daemon=True)
            for n in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, runs: Sequence[Run], now: float) -> None:
        """Put these in line: each runs in the next free thread."""
        for run in runs:
            run.handed_out = now
        self.line.add(runs)
        self._wake_one()

    def stop(self, timeout: float) -> None:
        """Let the threads end; they finish what they run."""
        deadline = time.monotonic() + timeout
        for _ in self._threads:
            self._bell.put(False)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, cell: int) -> None:
        home, cells = os.getpid(), self._runner.cells
        while self._bell.get():
            while (run := self.line.next()) is not None:
                self._wake_one()
                run.cell = cell
                # In a context of its own, so that no run sees what another one left in a ContextVar.
                outcome = copy_context().run(self._runner.call, run, self._enter_async)
                if os.getpid() != home:
                    os._exit(0)  # a child that the task forked, and that came back from it: the run is its parent's
                cells[cell] = 0
                self._done(run, outcome)

    def _wake_one(self) -> None:
        """Have one more thread look, if there is something in line: each that starts a run wakes the next.

        Waking all at once would have most of them wait for the interpreter's lock, to find nothing left.
        """
        if self.line and self._bell.empty():
            self._bell.put(True)

    def _enter_async(self, stack: ExitStack, manager: AbstractAsyncContextManager[object]) -> None:
        """Enter an async wrapper around a plain function: on the loop, while this thread waits."""
        self._loop.wait_for(manager.__aenter__())
        stack.push(lambda kind, error, trace: self._loop.wait_for(manager.__aexit__(kind, error, trace)))


class LoopExecutor:
    """One event loop in a thread of its own; a task per run, at most `slots` of them side by side."""

    def __init__(self, slots: int, runner: Runner, done: Done, failed: Callable[[Exception], None]) -> None:
        self._runner, self._done, self._failed = runner, done, failed
        first = runner.reserve(slots)
        self._free = list(range(first, first + slots))
        self.line = Line()
        self._loop: asyncio.AbstractEventLoop
        self._finishing = False
        self._tasks: dict[asyncio.Task[Outcome], Run] = {}
        self._thread = threading.Thread(target=self._serve, name="taskforge-loop", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._loop = new_event_loop()
        self._thread.start()

    def submit(self, runs: Sequence[Run], now: float) -> None:
        """Put these in line: each runs as soon as a slot is free."""
        for run in runs:
            run.handed_out = now
        self.line.add(runs)
        self._loop.call_soon_threadsafe(self._begin)

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself."""
        return self._loop

    @property
    def ident(self) -> int | None:
        """Of its thread."""
        return self._thread.ident

    def __len__(self) -> int:
        """How many runs are on it."""
        return len(self._tasks)

    def ping(self, answer: Callable[[], None]) -> None:
        """Have this called when the loop turns next."""
        with suppress(RuntimeError, OSError):  # it is closed, or broken: nothing turns any more
            self._loop.call_soon_threadsafe(answer)

    def wait_for(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for it, from another thread; TimeoutError after `timeout` seconds."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def stop(self, timeout: float) -> None:
        """Cancel what still runs and end the loop."""
        with suppress(RuntimeError, OSError):  # it is closed already, or broken
            self._loop.call_soon_threadsafe(self._finish)
        self._thread.join(timeout)

    def _begin(self) -> None:
        """Fill the free slots from the line."""
        while not self._finishing and self._free and (run := self.line.next()) is not None:
            run.cell = self._free.pop()
            task = self._loop.create_task(self._runner.acall(run), name=run.id)
            self._tasks[task] = run
            task.add_done_callback(self._finished)
            run.on_stop = partial(self._cancel, task)
            if run.should_stop:
                task.cancel()

    def _finished(self, task: asyncio.Task[Outcome]) -> None:
        run = self._tasks.pop(task)
        self._runner.cells[run.cell] = 0
        self._free.append(run.cell)
        # A task that was cancelled before its first step never got to say how it ended.
        self._done(run, self._runner.stopped(run) if task.cancelled() else task.result())
        if self.line:
            self._begin()

    def _cancel(self, task: asyncio.Task[Outcome]) -> None:
        with suppress(RuntimeError, OSError):  # the loop is closed, or broken: there is nothing left to cancel
            self._loop.call_soon_threadsafe(task.cancel)

    def _finish(self) -> None:
        self._finishing = True
        for task in self._tasks:
            task.cancel()
        self._loop.stop()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._finishing:
                try:
                    self._loop.run_forever()
                except (SystemExit, KeyboardInterrupt):  # of some task: its own run is told, and the others go on
                    logger.exception("loop_interrupted")
            pending = asyncio.all_tasks(self._loop)
            for task in pending:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        except Exception as error:  # its own descriptors are gone, perhaps: no run on it can go on
            self._failed(error)
        finally:
            with suppress(OSError):
                self._loop.close()
