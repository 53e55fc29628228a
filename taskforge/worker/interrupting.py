"""Raises an exception in the thread of a run that was asked to stop, and never anywhere else."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType

from taskforge.errors import StopRequested
from taskforge.run import Run
from taskforge.shield import here

#: Has the thread of this ident raise this class at its next step of Python code; NULL takes that back. PYFUNCTYPE keeps
#: the interpreter's lock meanwhile.
_raise_in = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)
_NULL = ctypes.py_object()
#: Packages whose code holds what other threads need, too: a lock that is never let go would stop the whole process.
SPARED = frozenset(["taskforge", "logging", "threading", "queue", "concurrent", "importlib", "_frozen_importlib"])
#: A thread that is in there is looked at again after so many seconds, and ever later, up to the second number.
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.05


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
        self._outside: FrameType | None = None
        self._aimed = self._fired = self._wanted = False
        self._held = 0

    def __enter__(self) -> None:
        self._outside = sys._getframe(1)
        here.interrupter = self
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

    def hold(self) -> None:
        """Spare the thread: it speaks to the broker. In the thread itself."""
        with self._lock:
            self._held += 1

    def let_go(self, failing: bool) -> None:
        """It has spoken; strike it now if that was to be. In the thread itself."""
        with self._lock:
            self._held -= 1
            if self._held or failing or not self._wanted or self._fired or not self._aimed:
                return
            self._fired = True
        raise StopRequested

    def _fire(self) -> None:
        """Strike, or keep trying to. From any thread."""
        with self._lock:
            if not self._aimed or self._wanted:
                return
            self._wanted = True
        if not self._strike():
            threading.Thread(target=self._insist, name="taskforge-interrupting", daemon=True).start()

    def _insist(self) -> None:
        pause = FIRST_PAUSE
        while not self._strike():
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _strike(self) -> bool:
        """Whether there is nothing left to do."""
        with self._lock:
            if self._fired or not self._aimed:
                return True
            if self._held or self._is_spared():
                return False
            self._fired = True
            _raise_in(self._thread, StopRequested)
            return True

    def _is_spared(self) -> bool:
        frame = sys._current_frames().get(self._thread)
        while frame is not None and frame is not self._outside:
            if frame.f_globals.get("__name__", "").partition(".")[0] in SPARED:
                return True
            frame = frame.f_back
        return False

    def _end(self) -> None:
        with self._lock:
            self._aimed = False
            if self._fired:
                _raise_in(self._thread, _NULL)
        here.interrupter = None
        self._outside = None
