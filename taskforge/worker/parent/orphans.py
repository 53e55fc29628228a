"""What dead worker processes leave behind: their children become ours, are killed, and are reaped."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36


def adopt() -> bool:
    """Have orphans of our children become our children; False where the system has no such thing."""
    if os.getpid() == 1:
        return True
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def reap(ours: Collection[int]) -> None:
    """Let the system forget the dead that were adopted; those in `ours` are left to who has started them."""
    if not hasattr(os, "waitid"):
        return
    with suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid in ours:
                return  # its starter takes it soon; the rest is looked at then
            os.waitpid(found.si_pid, os.WNOHANG)


def sweep(session: int) -> bool:
    """Kill what is left of the session that a dead child led; True once nothing is.

    What has made itself a session of its own has left ours, and is nobody's business here.
    """
    left = False
    for pid in _members(session):
        left = True
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return not left


def _members(session: int) -> Iterator[int]:
    """The living processes of a session."""
    try:
        names = os.listdir("/proc")
    except OSError:  # no such file system: at least the group of the dead child can be reached
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signal.SIGKILL)
        return
    for name in names:
        if not name.isdigit() or int(name) == session:
            continue
        with suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
            state, _, _, its_session = file.read().rpartition(b")")[2].split()[:4]
            if int(its_session) == session and state not in (b"Z", b"X"):
                yield int(name)
