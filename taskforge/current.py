"""Tasks that are declared before, or without knowing, their app."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from taskforge.errors import AppError
from taskforge.handle import JobHandle
from taskforge.options import TaskOptions
from taskforge.task import AnyTask, Args, Decorator, OptionValues, Target, Task, make_task

P = ParamSpec("P")
R = TypeVar("R")


class Adopter(Protocol):
    """The app, as far as tasks without one need it."""

    def adopt(self, task: AnyTask) -> None:
        """Make this task one of the app's own."""
        ...


_newest: Adopter | None = None
_pending: list[AnyTask] = []


def newest() -> Adopter | None:
    """The app that was made last in this process."""
    return _newest


def set_newest(app: Adopter) -> None:
    """Called by each new app: it takes the tasks that were declared before there was one."""
    global _newest
    _newest = app
    for task in _pending:
        app.adopt(task)
    _pending.clear()


@overload
def task(function: Callable[P, Coroutine[object, object, R]], /) -> Task[P, R, Coroutine[object, object, R]]: ...


@overload
def task(function: Callable[P, R], /) -> Task[P, R, R]: ...


@overload
def task(*, name: str | None = None, aliases: Sequence[str] = (), **options: Unpack[TaskOptions]) -> Decorator: ...


def task(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    aliases: Sequence[str] = (),
    **options: object,
) -> object:
    """`app.task` for code that does not know its app: registers with the newest app, or with the first one made
    later.
    """
    if function is not None:
        return _register(function, name, aliases, options)
    return cast("Decorator", lambda function: _register(function, name, aliases, options))


def _register(
    function: Callable[P, R], name: str | None, aliases: Sequence[str], options: OptionValues
) -> Task[P, R, R]:
    made = make_task(function, name, aliases, options, _NoApp())
    if _newest is None:
        _pending.append(made)
    else:
        _newest.adopt(made)
    return made


class _NoApp:
    """Stands where a task's app will be."""

    def submit(
        self, target: Target, call: OptionValues, arguments: Sequence[Args], stacklevel: int
    ) -> list[JobHandle[object]]:
        raise self._error(target)

    async def asubmit(self, target: Target, call: OptionValues, arguments: Sequence[Args]) -> list[JobHandle[object]]:
        raise self._error(target)

    def _error(self, target: Target) -> AppError:
        return AppError(f'{target.name} has no app yet: make one before enqueuing, as in app = Taskforge("photos")')
