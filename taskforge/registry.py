"""The tasks of an app by name, and which queue a task's jobs go to."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping

from taskforge.checks import check_queue_name
from taskforge.errors import AppError, TaskAlreadyRegistered, UnknownTask
from taskforge.settings import nearest
from taskforge.task import AnyTask, module_name

DEFAULT_QUEUE = "default"


class Registry:
    """Tasks by name and alias."""

    def __init__(self) -> None:
        self._tasks: dict[str, AnyTask] = {}

    def add(self, task: AnyTask) -> None:
        """Register a task. Raises TaskAlreadyRegistered when another function has one of its names."""
        for name in (task.name, *task.aliases):
            other = self._tasks.get(name)
            if other is not None and not _same_function(other, task):
                raise TaskAlreadyRegistered(
                    f"two functions want the task name {name!r}: {_place(other)} and {_place(task)}; "
                    "give one of them another with @app.task(name=…)"
                )
        for name in (task.name, *task.aliases):
            self._tasks[name] = task

    def get(self, name: str) -> AnyTask | None:
        """The task of this name or alias."""
        return self._tasks.get(name)

    def __getitem__(self, name: str) -> AnyTask:
        task = self._tasks.get(name)
        if task is None:
            raise UnknownTask(f"no task is named {name!r}{nearest(name, list(self._tasks))}")
        return task

    def __iter__(self) -> Iterator[AnyTask]:
        return iter(dict.fromkeys(self._tasks.values()))

    def __len__(self) -> int:
        return len(set(self._tasks.values()))


class Routes:
    """Queue by task name: exact names first, then patterns (`photos.*`) in the order they were written."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        for pattern, queue in routes.items():
            try:
                check_queue_name(queue)
            except ValueError as error:
                raise AppError(f"routes[{pattern!r}]: the queue {error}") from None
        self._exact = {pattern: queue for pattern, queue in routes.items() if not _is_pattern(pattern)}
        self._patterns = [(pattern, queue) for pattern, queue in routes.items() if _is_pattern(pattern)]

    def queue_of(self, task_name: str) -> str | None:
        """The first matching route's queue."""
        if task_name in self._exact:
            return self._exact[task_name]
        return next((queue for pattern, queue in self._patterns if fnmatch.fnmatchcase(task_name, pattern)), None)

    @property
    def queues(self) -> Iterable[str]:
        """Every queue a route leads to."""
        return [*self._exact.values(), *(queue for _, queue in self._patterns)]


def _is_pattern(text: str) -> bool:
    return any(c in text for c in "*?[")


def _place(task: AnyTask) -> str:
    code = getattr(task.function, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{task.function.__module__}.{getattr(task.function, '__qualname__', '?')}{where}"


def _same_function(one: AnyTask, other: AnyTask) -> bool:
    """The same definition, perhaps imported twice: reloaded, or run as a script and imported by name."""
    a, b = getattr(one.function, "__code__", None), getattr(other.function, "__code__", None)
    if a is None or b is None:
        return one.function is other.function
    if (a.co_filename, a.co_qualname) != (b.co_filename, b.co_qualname):
        return False
    # Two definitions in one file are two functions, even if the second one hides the first.
    twice = one.function.__globals__ is other.function.__globals__ and a.co_firstlineno != b.co_firstlineno
    return not twice and module_name(one.function) == module_name(other.function)
