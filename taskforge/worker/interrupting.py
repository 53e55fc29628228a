"""Raises an exception in the thread of a run that was asked to stop, and never anywhere else."""

from __future__ import annotations

import ctypes
import threading
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from taskforge.errors import StopRequested
from taskforge.run import Run

#: Has the thread of this ident raise this class at its next step of Python code; NULL takes that back. PYFUNCTYPE keeps
#: the interpreter's lock meanwhile.
_raise_in = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)
_NULL = ctypes.py_object()


def interruptible(run: Run) -> AbstractContextManager[object]:
    """Around the function of a run, in its thread: a request to stop interrupts it, if its task asked for that."""
    return Interruptible(run) if run.options.interrupt else nullcontext()


class Interruptible:
    """StopRequested is raised inside, once, when the run is asked to stop; a call into C ends first.

    Why nothing else is ever struck: it is fired once at most, under a lock, and only before the end; the end takes back
    under the same lock what has not struck. What strikes on the way into the end was the one shot there is.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._thread = run, threading.get_ident()
        self._lock = threading.Lock()
        self._aimed = self._fired = False

    def __enter__(self) -> None:
        self._run.on_stop = self._fire
        self._aimed = True
        if self._run.cause is not None:  # it was asked before it could be told
            self._fire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end()
        except StopRequested:  # it struck in here: what the function returned, or raised, stands
            self._end()

    def _fire(self) -> None:
        with self._lock:
            if self._aimed and not self._fired:
                self._fired = True
                _raise_in(self._thread, StopRequested)

    def _end(self) -> None:
        with self._lock:
            self._aimed = False
            if self._fired:
                _raise_in(self._thread, _NULL)
