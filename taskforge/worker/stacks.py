"""What every thread and every coroutine does just now, with the job it runs."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Protocol, TypeAlias

from taskforge.run import Run
from taskforge.worker.runner import Runner

logger = logging.getLogger("taskforge.worker")

#: Frames told of one stack, the innermost; characters of a whole dump; jobs listed at a stack that many share.
DEPTH, SIZE, LISTED = 40, 64 * 1024, 5
#: How many things that await each other are followed.
AWAITING = 100

#: Where a coroutine stands: each function that it is in, and the line.
Place: TypeAlias = tuple[tuple[CodeType, int], ...]

_CALLS: tuple[CodeType, ...] = (Runner.call.__code__, Runner.acall.__code__)


class Running(Protocol):
    """What `dump` must know of a worker's slots."""

    def runs(self) -> list[Run]: ...


class OnLoop(Protocol):
    """What `dump` must know of a worker's loop executor."""

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None: ...


class Dumped(Protocol):
    """A worker, as far as its stacks go."""

    @property
    def slots(self) -> Running: ...

    @property
    def loop(self) -> OnLoop: ...


def dump(worker: Dumped) -> str:
    """Every thread's stack with the job that it runs, every coroutine's with its job; at most SIZE characters.

    Coroutines that stand at the same place are told once. From any thread; the others go on meanwhile.
    """
    told = [*_threads()]
    loop = worker.loop.event_loop
    if loop is not None:
        told += _coroutines(loop, {run.id: run for run in worker.slots.runs() if run.on_loop})
    text = "\n".join(told)
    return text if len(text) <= SIZE else f"{text[:SIZE]}\n… and {len(text) - SIZE} characters more\n"


def log_stacks(worker: Dumped, why: str) -> None:
    """Log them, as one event."""
    logger.warning("stacks_dumped", extra={"why": why, "stacks": dump(worker)})


def run_on(ident: int) -> Run | None:
    """The run whose code the thread with this ident is in just now."""
    frame = sys._current_frames().get(ident)
    return None if frame is None else _run_of(frame)


def stack_of(ident: int) -> str:
    """What the thread with this ident does just now, as a traceback is told; empty for none."""
    frame = sys._current_frames().get(ident)
    return "" if frame is None else _told(frame)


def _run_of(frame: FrameType | None) -> Run | None:
    while frame is not None:
        if frame.f_code in _CALLS:
            run = frame.f_locals.get("run")
            return run if isinstance(run, Run) else None
        frame = frame.f_back
    return None


def _threads() -> Iterable[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        run = _run_of(frame)
        yield f"thread {names.get(ident, ident)}{_job(run)}:\n{_told(frame)}"


def _coroutines(loop: asyncio.AbstractEventLoop, runs: dict[str, Run]) -> Iterable[str]:
    try:
        tasks = asyncio.all_tasks(loop)
    except RuntimeError as error:  # they came and went all the time
        return [f"coroutines: {error}\n"]
    places: dict[Place, list[str]] = defaultdict(list)
    for task in tasks:
        name = task.get_name()
        places[_awaiting(task)].append(f"{name} ({runs[name].task})" if name in runs else name)
    return [_shared(place, names) for place, names in sorted(places.items(), key=lambda each: -len(each[1]))]


def _shared(place: Place, names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    kind = "coroutine" if len(names) == 1 else f"{len(names)} coroutines"
    frames = [traceback.FrameSummary(code.co_filename, line, code.co_name) for code, line in place[-DEPTH:]]
    return f"{kind} {', '.join(names[:LISTED])}{more}:\n{''.join(traceback.format_list(frames))}"


def _awaiting(task: asyncio.Task[object]) -> Place:
    """Where it stands: from its own coroutine down to the one that waits. It may go on while it is looked at."""
    place: list[tuple[CodeType, int]] = []
    coroutine: object = task.get_coro()
    for _ in range(AWAITING):
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if not isinstance(frame, FrameType):
            break
        place.append((frame.f_code, frame.f_lineno or 0))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return tuple(place)


def _told(frame: FrameType) -> str:
    stack = traceback.extract_stack(frame, DEPTH)
    return "".join(traceback.format_list(stack))


def _job(run: Run | None) -> str:
    return "" if run is None else f" runs job {run.id} ({run.task})"
