"""Sees to it that a child does not outlive its worker, and leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading

#: prctl's number for it, from linux/prctl.h.
_PR_SET_PDEATHSIG = 1
#: The watching thread calls next to nothing (bytes).
_SMALL_STACK = 256 * 1024


def die_with_parent(sock: socket.socket) -> None:
    """From now on: once the worker is gone, this process and all it has started in its group are killed.

    A thread sees the socket's end, and kills the group. It needs the interpreter's lock, which a run may hold for
    long: so the kernel sends SIGHUP as well, at which libc itself, without Python, sets the alarm; and in a second,
    SIGALRM ends what is left.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # A handler is called with the signal's number, and SIGHUP's is 1: alarm(1).
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal(int(signal.SIGHUP), ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGHUP))
    before = threading.stack_size(_SMALL_STACK)
    threading.Thread(target=_watch, args=(sock.fileno(),), name="taskforge-watch", daemon=True).start()
    threading.stack_size(before)


def _watch(descriptor: int) -> None:
    look = select.poll()
    look.register(descriptor, 0)  # nothing but the end of it: what is sent is read by another
    while not any(event & (select.POLLHUP | select.POLLERR) for _, event in look.poll()):
        continue
    os.killpg(0, signal.SIGKILL)
