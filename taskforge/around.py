"""What users wrap around runs and worker processes: context managers, plain or async, in the order of registration."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import cast

from taskforge.errors import AppError

Manager = contextlib.AbstractContextManager[object] | contextlib.AbstractAsyncContextManager[object]
Factory = Callable[..., object]


class Arounds:
    """The wrappers of an app."""

    def __init__(self) -> None:
        self.job: list[Factory] = []
        self.worker: list[Factory] = []

    def add(self, kind: str, wrapper: Factory) -> Factory:
        """Register one; a generator function is made into a context manager first."""
        if not callable(wrapper):
            raise AppError(f"around_{kind} takes a function that returns a context manager, not {wrapper!r}")
        getattr(self, kind).append(_as_factory(wrapper))
        return wrapper


def _as_factory(wrapper: Factory) -> Factory:
    if inspect.isasyncgenfunction(wrapper):
        return contextlib.asynccontextmanager(cast("Callable[..., AsyncGenerator[object]]", wrapper))
    if inspect.isgeneratorfunction(wrapper):
        return contextlib.contextmanager(cast("Callable[..., Generator[object]]", wrapper))
    return wrapper
