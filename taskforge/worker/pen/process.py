"""One child, as its pen sees it: started, spoken to, asked to stop, killed, and buried."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

from taskforge.errors import AppError, PayloadError, ProcessDied
from taskforge.outcome import Failed
from taskforge.run import Run
from taskforge.sizes import told
from taskforge.worker.pen.forms import outcome_from_plain
from taskforge.worker.pen.home import PROGRAM, Home, environment
from taskforge.worker.pen.limits import peak_of
from taskforge.worker.pen.pipe import Message, Pipe

#: How long (seconds) a child that has let go of its socket may take to die by itself: it writes a core, perhaps.
LAST_BREATH = 2.0
#: Between two looks whether it has (seconds).
LOOK = 0.002


class StartFailed(Exception):
    """A child did not come to be; the error says why."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Child:
    """A program of its own in a session, and so a process group, of its own. Made in the thread that must outlive it.

    Never raises when it is made: a child that could not be started says so when somebody waits for it.
    """

    def __init__(self, home: Home) -> None:
        self.born = self.idle_since = time.monotonic()
        self.ready = False
        #: Its runs so far, and the memory limit they have in common.
        self.jobs = 0
        self.memory: int | None = None
        #: What it holds when idle, and the most it held by then (bytes).
        self.needs = self.first_peak = 0
        #: It was killed for holding more than its limit (bytes).
        self.exceeded = 0
        #: When it is to be killed (monotonic seconds).
        self.kill_at = float("inf")
        self.run: Run | None = None
        self._lock = threading.Lock()
        self._number = 0
        self._cause: BaseException | None = None
        self._ended: tuple[int | None, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._cause = error
            return
        self._pipe = Pipe(ours)
        try:
            self._pipe.send(["home", home])
            self._process = _start(theirs)
        except (OSError, ValueError, MemoryError) as error:
            self._cause = error
            ours.close()
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process id, and its group's; 0 for one that was not started."""
        return self._process.pid if self._process else 0

    def wait_ready(self, limit: float) -> None:
        """Until it has imported the app. Raises StartFailed, after `limit` seconds at the latest."""
        if self.ready:
            return
        if self._cause is not None:
            raise StartFailed(AppError(f"a process for isolated runs cannot be started: {self._cause}"))
        self._pipe.sock.settimeout(limit)
        try:
            message = self._pipe.receive()
            self._pipe.sock.settimeout(None)
        except TimeoutError:
            raise StartFailed(
                AppError(f"a process for isolated runs was not ready after {limit:g} s: does importing the app end?")
            ) from None
        except (EOFError, OSError, PayloadError):
            raise StartFailed(ProcessDied(f"a process for isolated runs ended at its start: {self.bury()}")) from None
        match message:
            case ["ready", int(needs), int(first_peak)]:
                self.needs, self.first_peak, self.ready = needs, first_peak, True
            case ["failed", plain]:
                failed = outcome_from_plain(plain)
                raise StartFailed(failed.error if isinstance(failed, Failed) else AppError("it failed to start"))
            case _:
                raise StartFailed(AppError(f"a process for isolated runs said {message[0]!r}"))

    def begin(self, run: Run, module: str, memory: int | None) -> int:
        """Have it run this; the number by which it will speak of it. Raises OSError when it is dead already."""
        with self._lock:
            self.run, self._number = run, self._number + 1
            self.jobs += 1
        # Not under the lock: a child that stands still does not read, and must be killed all the same.
        self._pipe.send(["run", self._number, run.task, module, memory, *run.delivery])
        return self._number

    def end(self) -> None:
        """The run has ended: nobody asks it to stop from here on."""
        with self._lock:
            self.run = None

    def receive(self) -> Message:
        """What it says next. Raises EOFError, OSError or PayloadError when it will say nothing more."""
        return self._pipe.receive()

    def ask(self, run: Run, patience: float) -> None:
        """Ask it to stop this run; it is to be killed when that has not ended after so many seconds."""
        with self._lock:
            if self.run is not run or run.cause is None or self.kill_at < float("inf") or self._ended is not None:
                return
            self.kill_at = time.monotonic() + patience
            self._pipe.try_send(["stop", self._number, str(run.cause)])
            with suppress(OSError):  # dead already: whoever waits for it will see
                os.kill(self.pid, signal.SIGTERM)

    def dismiss(self, patience: float) -> None:
        """It may go: it leaves what is wrapped around workers, and ends; else it is to be killed after `patience`."""
        self.kill_at = time.monotonic() + patience
        if self._process is None or self._ended is not None:
            return
        self._pipe.try_send(["enough"])

    def is_alive(self) -> bool:
        """Whether it still listens."""
        return self._process is not None and not self._has_died()

    def kill(self) -> None:
        """End it, and what it has started in its group. Whoever waits for its word learns so."""
        with self._lock:
            self._kill()

    def bury(self) -> str:
        """Wait for its death, kill what it leaves in its group, let go of everything; how it died, in words."""
        if self._process is None:
            return "it was never started"
        deadline = time.monotonic() + LAST_BREATH
        while not self._has_died() and time.monotonic() < deadline:
            time.sleep(LOOK)
        with self._lock:
            if self._ended is None:
                self._kill()  # while the group's id is still its own
                self._ended = _wait(self.pid)
                self._process.returncode = self._ended[0] or 0  # so that Popen knows that it is over
                self._pipe.close()
            code, most = self._ended
        return f"{_cause_of(code)}, {self._peak(most)}"

    def bury_if_dead(self) -> bool:
        """Bury it if it has died; whether it is gone."""
        if self._process is None:
            return True
        if not self._has_died():
            return False
        self.bury()
        return True

    def _kill(self) -> None:
        if self._process is not None and self._ended is None:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def _has_died(self) -> bool:
        if self._ended is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has waited for it
            return True

    def _peak(self, most: int) -> str:
        """A process's highest begins with that of the one which started it: what is not above it may be anything."""
        if not most:
            return "peak memory unknown"
        return f"peak memory {told(most)}" if most > self.first_peak > 0 else f"peak memory below {told(most)}"


def _start(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Its stdout is this process's stderr: what a task prints must not end up in what this one writes."""
    descriptor = theirs.fileno()
    return subprocess.Popen(
        [sys.executable, "-P", "-m", PROGRAM, str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=[descriptor],
        start_new_session=True,
        env=environment(),
    )


def _wait(pid: int) -> tuple[int | None, int]:
    """Wait for its death: its exit code as subprocess tells it, and its highest memory (bytes); None if unknown."""
    try:
        _, status, usage = os.wait4(pid, 0)
    except ChildProcessError:
        return None, 0
    return os.waitstatus_to_exitcode(status), peak_of(usage)


def _cause_of(code: int | None) -> str:
    if code is None:
        return "exit code unknown"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
