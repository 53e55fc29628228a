"""Task: the decorated function, and the ways to enqueue it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from taskforge.codec import Types
from taskforge.errors import ArgumentsError, OptionError, TaskError
from taskforge.handle import JobHandle
from taskforge.options import CallOptions, check
from taskforge.settings import listed

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
R_co = TypeVar("R_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)

OptionValues = Mapping[str, object]


class Args:
    """The arguments of one job of an `enqueue_many` that wants keywords: `Args("a.jpg", size=512)`."""

    __slots__ = ("args", "kwargs")

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.args, self.kwargs = args, kwargs


class Desk(Protocol):
    """Where a task hands in its jobs: the app, as far as a task knows it."""

    def submit(
        self, target: Target, call: OptionValues, arguments: Sequence[Args], stacklevel: int
    ) -> list[JobHandle[object]]:
        """Enqueue one job per Args."""
        ...

    async def asubmit(self, target: Target, call: OptionValues, arguments: Sequence[Args]) -> list[JobHandle[object]]:
        """Enqueue one job per Args without blocking the event loop."""
        ...


class Target(Protocol):
    """What a job can be made of: a task, or the mere name of one whose code is elsewhere."""

    name: str
    desk: Desk
    options: OptionValues
    names: tuple[str, ...]

    @property
    def types(self) -> Types:
        """The classes its payloads may name."""
        ...

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Raise ArgumentsError if it cannot be called like this."""
        ...


class NamedTask:
    """A task known by name only: its options and its signature are its worker's business."""

    names: tuple[str, ...] = ()
    types = Types.none(permissive=True)

    def __init__(self, name: str, desk: Desk) -> None:
        self.name, self.desk = name, desk
        self.options: OptionValues = {}

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Anything may fit: the worker will tell."""


class Call(Generic[P, R_co]):
    """A task with the options of one call: what `.using(…)` returns. May be kept and used again."""

    def __init__(self, target: Target, call_options: OptionValues) -> None:
        self.target, self.call_options = target, call_options

    def using(self, **options: Unpack[CallOptions]) -> Call[P, R_co]:
        """The same with further options, which win over those given before."""
        return Call(self.target, {**self.call_options, **self._checked(options)})

    def _checked(self, options: Mapping[str, object]) -> OptionValues:
        checked = check(options, "call", self.target.name)
        if isinstance(self.target, Task):
            _check_kind(self.target.is_async, checked, self.target.name)
        return checked

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """Hand the broker a job that calls the function with these arguments; returns once it is accepted.

        Raises ArgumentsError for arguments the function does not take, EncodeError or PayloadTooLarge for those that
        cannot travel, and EnqueueFailed (a BrokerUnavailable) or BrokerRefused, after `call_timeout` at the latest,
        when the broker does not accept it.
        """
        return self._enqueue([Args(*args, **kwargs)])[0]

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """The same as `enqueue`."""
        return self._enqueue([Args(*args, **kwargs)])[0]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """`enqueue` without blocking the event loop. Cancelled while it is sent, the job may still be enqueued."""
        return (await self._aenqueue([Args(*args, **kwargs)]))[0]

    def enqueue_many(self, arguments: Iterable[Sequence[object] | Args]) -> list[JobHandle[R_co]]:
        """One job per tuple of positional arguments, or Args; one round trip per batch, handles in order.

        Raises EnqueueFailed when a batch is not confirmed: it says which jobs are done, unknown and unsent. Arguments
        that do not fit refuse the whole call before anything is sent.
        """
        return self._enqueue(self._listed(arguments))

    async def aenqueue_many(self, arguments: Iterable[Sequence[object] | Args]) -> list[JobHandle[R_co]]:
        """`enqueue_many` without blocking the event loop."""
        return await self._aenqueue(self._listed(arguments))

    def _enqueue(self, arguments: Sequence[Args]) -> list[JobHandle[R_co]]:
        # Frames from here to the user's call: submit's own, this one, enqueue, the user's.
        return self.target.desk.submit(self.target, self.call_options, arguments, 4)  # type: ignore[return-value]  # the result type is the task's

    def _aenqueue(self, arguments: Sequence[Args]) -> Awaitable[list[JobHandle[R_co]]]:
        return self.target.desk.asubmit(self.target, self.call_options, arguments)  # type: ignore[return-value]  # the result type is the task's

    def _listed(self, arguments: Iterable[Sequence[object] | Args]) -> list[Args]:
        if "job_id" in self.call_options:
            raise OptionError(f"{self.target.name}: one job_id cannot name many jobs")
        return [each if isinstance(each, Args) else Args(*_tuple(each, self.target.name)) for each in arguments]


class Task(Call[P, R_co], Generic[P, R_co, C_co]):
    """A function registered under a name. Calling it calls the function; `enqueue` makes a worker call it.

    P are the function's parameters, R its result, C what calling it returns (R, or a coroutine of R).
    """

    def __init__(
        self, function: Callable[P, C_co], name: str, aliases: Sequence[str], options: OptionValues, desk: Desk
    ) -> None:
        super().__init__(self, {})
        self.function, self.name, self.aliases, self.options, self.desk = function, name, tuple(aliases), options, desk
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        _check_kind(self.is_async, options, f"task {name}")
        self.signature = inspect.signature(function)
        self.names = _positional(self.signature)
        self._plain = len(self.names) == len(self.signature.parameters)
        self._types: Types | None = None
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def types(self) -> Types:
        """The classes this task's payloads may name: those of its annotations, looked at when first asked for."""
        if self._types is None:
            self._types = Types.of(self.function, module=module_name(self.function))
        return self._types

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Raise ArgumentsError, naming the task and its parameters, if the function cannot be called like this."""
        if self._plain and not kwargs and len(args) == len(self.names):
            return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentsError(f"{self.name}{self.signature}: {error}") from None


AnyTask = Task[..., object, object]


class Decorator(Protocol):
    """What `@app.task(…)` returns; also right for `async def`, whose result is what the coroutine returns."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]], /
    ) -> Task[P, R, Coroutine[object, object, R]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...


def make_task(
    function: Callable[P, C], name: str | None, aliases: Sequence[str], options: OptionValues, desk: Desk
) -> Task[P, C, C]:
    """A task of this function. Raises TaskError for what cannot be one, OptionError for options that do not fit."""
    check_function(function)
    name = name or default_name(function)
    aliases = listed("aliases", aliases)
    return Task(function, name, aliases, check(options, "task", f"task {name}"), desk)


def _check_kind(is_async: bool, options: OptionValues, owner: str) -> None:
    """Raise OptionError for an option that only plain functions can have."""
    for word in ("isolate", "interrupt"):
        if is_async and options.get(word):
            raise OptionError(f"{owner}: {word} is for plain functions; an async def is cancelled where it awaits")


def check_function(function: object) -> None:
    """Raise TaskError for what cannot be a task."""
    if isinstance(function, Task):
        raise TaskError(f"{function.name} is a task already")
    if not callable(function) or isinstance(function, type):
        raise TaskError(f"a task must be a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskError(f"{default_name(function)} is a generator: a task returns one result")
    if isinstance(function, staticmethod | classmethod) or "." in _local_part(function):
        raise TaskError(
            f"{getattr(function, '__qualname__', function)} is a method: a worker would have no object to call it on; "
            "make it a function of the module"
        )


def default_name(function: Callable[..., object]) -> str:
    """module.function, with the module's real name when it is run as a script."""
    return f"{module_name(function)}.{getattr(function, '__name__', type(function).__name__)}"


def module_name(function: Callable[..., object]) -> str:
    """The name a worker would import the function's module by."""
    if function.__module__ != "__main__":
        return function.__module__
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name.removesuffix(".__main__"))
    file = getattr(main, "__file__", None)
    if not file:
        return "__main__"
    path = Path(file).resolve()
    parts = [path.stem]
    while (path.parent / "__init__.py").exists():
        path = path.parent
        parts.append(path.name)
    return ".".join(reversed(parts))


def _positional(signature: inspect.Signature) -> tuple[str, ...]:
    """The parameters that positional arguments fill, in order."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, parameter in signature.parameters.items() if parameter.kind in positional)


def _local_part(function: object) -> str:
    """The qualified name after the last function it is nested in: has a dot for a method."""
    return getattr(function, "__qualname__", "").rpartition("<locals>.")[2]


def _tuple(each: object, name: str) -> Sequence[object]:
    if isinstance(each, str | bytes) or not isinstance(each, Sequence):
        raise TypeError(
            f"{name}: enqueue_many takes tuples of arguments or Args(…), not {each!r}; did you mean ({each!r},)?"
        )
    return each
