"""The program of a child: imports the app, then runs what it is given, one run after the other."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, suppress
from contextvars import copy_context
from datetime import timedelta
from types import FrameType, TracebackType
from typing import cast

from taskforge.app import Taskforge
from taskforge.errors import AppError, DecodeError, PayloadError
from taskforge.failure import lineage
from taskforge.outcome import Failed, GivenUp, Outcome, Packed, Postponed, Succeeded
from taskforge.retry import MAX_DELAY
from taskforge.run import Run, StopCause
from taskforge.signals import Signals
from taskforge.worker.judging import FRAMES_ABOVE, own_backoff
from taskforge.worker.pen.forms import delivery_from_plain, outcome_to_plain
from taskforge.worker.pen.home import Modules, move_in
from taskforge.worker.pen.limits import lend_memory, needed, peak
from taskforge.worker.pen.loop import Loop
from taskforge.worker.pen.mourning import die_with_parent
from taskforge.worker.pen.pipe import Message, Pipe
from taskforge.worker.pen.reporting import Reporter
from taskforge.worker.runner import Runner

logger = logging.getLogger("taskforge.worker")


def main(arguments: Sequence[str]) -> int:
    """Serve the pen at the other end of the socket whose descriptor is given, until it says that it is enough."""
    pipe = Pipe(socket.socket(fileno=int(arguments[0])))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a thread of the worker has started this, whatever it blocks
    die_with_parent(pipe.sock)
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(line_buffering=True)
    loop = Loop()
    with ExitStack() as wrapped:
        try:
            match pipe.receive():
                case ["home", dict(home)]:
                    app, modules = move_in(home)
                case other:
                    raise DecodeError(f"not a first message: {other!r}")
            _enter_wrappers(app, wrapped, loop)
            inside = Inside(pipe, app, modules, loop)
        except BaseException as error:  # SystemExit too: a module that ends the program must not end this silently
            pipe.send(["failed", outcome_to_plain(Failed(error))])
            return 1
        with suppress(EOFError, ConnectionError):  # the worker is gone: there is nobody to tell
            pipe.send(["ready", needed(), peak()])
            inside.serve()
    logging.shutdown()
    return 0


def _enter_wrappers(app: Taskforge, wrapped: ExitStack, loop: Loop) -> None:
    """What is wrapped around workers, once for each child."""
    for factory in app.arounds.worker:
        manager = factory(app)
        if isinstance(manager, AbstractAsyncContextManager):
            loop.enter(wrapped, manager)
        else:
            wrapped.enter_context(cast("AbstractContextManager[object]", manager))


class Inside:
    """Runs jobs in the main thread, where a signal can interrupt them."""

    def __init__(self, pipe: Pipe, app: Taskforge, modules: Modules, loop: Loop) -> None:
        self.pipe, self.app, self.modules, self.loop = pipe, app, modules, loop
        app.signals.job_started = Signals().job_started  # the worker's process tells of it
        #: The last wrapper: between it and the function a request to stop may interrupt.
        app.arounds.job.append(lambda run: _Interruptible(self, run))
        self.runner, self.reporter = Runner(app), Reporter(pipe)
        self.run: Run | None = None
        self.number = 0
        #: Whether the main thread is in the function, and has not been interrupted yet.
        self.interruptible = False

    def serve(self) -> None:
        """Run what comes."""
        signal.signal(signal.SIGTERM, self._asked)
        while True:
            match self.pipe.receive():
                case ["run", int(number), str(task), str(module), (int() | None) as memory, *fields]:
                    self.pipe.send(self._run(number, task, module, memory, fields))
                    signal.signal(signal.SIGTERM, self._asked)  # that run may have set another handler
                case ["stop", *_]:
                    continue  # the run had ended
                case ["enough"]:
                    return
                case other:
                    raise DecodeError(f"not a message to a child: {other[0]!r}")

    def _run(self, number: int, task: str, module: str, memory: int | None, fields: Sequence[object]) -> Message:
        try:
            self.modules.find_task(self.app, task, module)
            run = self.runner.open(delivery_from_plain(fields))
            if not isinstance(run, Run):
                raise AppError(f"a process of its own cannot run it: {run!r}")
        except BaseException as error:  # a module that fails, or ends the program
            return ["ended", number, outcome_to_plain(Failed(error)), []]
        run.on_progress = lambda: self.reporter.tell(run, number)
        self.run, self.number = run, number
        if self.pipe.waiting():  # a request to stop that came before there was a run
            signal.raise_signal(signal.SIGTERM)
        try:
            with lend_memory(memory):
                outcome = self._call(run)
        finally:
            self.run = None
        try:
            told = outcome_to_plain(self._settled(run, outcome), FRAMES_ABOVE)
        except BaseException as error:  # a stranger's code runs in there, too
            told = outcome_to_plain(GivenUp(error))
        self.reporter.finish(run, number)
        sys.stdout.flush()
        return ["ended", number, told, [list(job) for job in run.then]]

    def _call(self, run: Run) -> Outcome:
        if run.on_loop:
            return self.loop.run(run, self.runner)
        return copy_context().run(self.runner.call, run, self.loop.enter)

    def _settled(self, run: Run, outcome: Outcome) -> Outcome:
        """What only this process can tell: the result as bytes, and what a backoff of the task's own says."""
        match outcome:
            case Succeeded(value):
                if value is None or run.options.keep_result is None:
                    return Packed(None)
                try:
                    return Packed(self.app.codec.result(run.task, value, run.task_object.types))
                except PayloadError as error:
                    return GivenUp(error, "result")
            case Failed(error, reason):
                reason = "memory" if isinstance(error, MemoryError) and reason == "error" else reason
                return self._retry(run, error, reason)
            case _:
                return outcome

    def _retry(self, run: Run, error: BaseException, reason: str) -> Outcome:
        backoff, rule = own_backoff(run), run.options.retry
        if backoff is None or run.attempt >= rule.attempts or not rule.covers(lineage(error)):
            return Failed(error, reason)
        try:
            delay = backoff(run.attempt, error)
            if delay is None:
                return GivenUp(error, reason)
            return Postponed(timedelta(seconds=min(max(0.0, float(delay)), MAX_DELAY)), True, error)
        except BaseException:  # SystemExit, too: a backoff may be any code
            logger.exception("backoff_failed", extra={"job": run.id, "task": run.task})
            return Failed(error, reason)

    def _asked(self, _signum: int, _frame: FrameType | None) -> None:
        """SIGTERM: the pen has said what for. Without such a word it is a stranger's, and means nothing here."""
        run = self.run
        if run is None or not self.pipe.waiting():
            return
        match self.pipe.receive():
            case ["stop", int(number), str(cause)] if number == self.number and run.cause is None:
                run.cause = StopCause(cause)
            case _:
                return
        with contextlib.suppress(RuntimeError):  # no memory for a thread
            # Not here: whoever is interrupted may hold the locks that this needs.
            threading.Thread(target=run.request_stop, args=(run.cause,), daemon=True).start()
        if self.interruptible:
            self.interruptible = False
            run.raise_if_stopped()


class _Interruptible:
    """Around the function of a plain run: a request to stop interrupts it."""

    def __init__(self, inside: Inside, run: Run) -> None:
        self._inside, self._run = inside, run

    def __enter__(self) -> None:
        if not self._run.on_loop:
            self._inside.interruptible = True
            if self._run.cause is not None:  # it came just before
                self._run.raise_if_stopped()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.interruptible = False


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code) if code else sys.exit(0)
