"""How much memory a child has, and may have."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What getrusage counts in: KiB, but bytes on macOS.
_UNIT = 1 if sys.platform == "darwin" else 1024


@contextmanager
def lend_memory(limit: int | None) -> Iterator[None]:
    """Let this process ask for no more than `limit` bytes: beyond it there is a MemoryError.

    RLIMIT_DATA counts what a process may write to for itself, its heap, its stacks, its private maps; RLIMIT_AS would
    count every library that is mapped and the room that threads and allocators only reserve.
    """
    if limit is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def peak() -> int:
    """The most memory (bytes) that this process, or the one it was started from, had resident at a time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def peak_of(usage: resource.struct_rusage) -> int:
    """The same of a process that has ended, from what waiting for it returned."""
    return usage.ru_maxrss * _UNIT


def needed() -> int:
    """What this process holds by now (bytes): a limit below it would leave no room for anything; 0 where unknown."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmData:", "VmRSS:"))]
    return max(sizes, default=0)


def resident(pid: int) -> int:
    """The memory (bytes) that a process has resident; 0 where that is not known."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
