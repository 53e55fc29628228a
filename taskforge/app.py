"""Taskforge: the object that owns tasks, broker and signals."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar, Unpack, cast, overload

from taskforge.around import Arounds
from taskforge.brokers import open_broker
from taskforge.brokers.inspecting import Inspector
from taskforge.brokers.protocol import Broker, BrokerSettings
from taskforge.checks import check_job_id, checked_queue_name
from taskforge.client import Client, refuse_in_loop
from taskforge.clock import Clock, SystemClock
from taskforge.codec import Codec, Types
from taskforge.control import control
from taskforge.current import newest, set_newest
from taskforge.desk import SubmissionDesk
from taskforge.errors import AppError, OptionError, SettingsError, TaskError
from taskforge.handle import JobHandle
from taskforge.info import JobInfo, Reader, read_record
from taskforge.job import JobState, NewJob
from taskforge.locations import default_broker
from taskforge.options import WORDS, QueueOptions, TaskOptions, check
from taskforge.queues import Queues
from taskforge.registry import DEFAULT_QUEUE, Registry, Routes
from taskforge.settings import Settings, listed, nearest
from taskforge.signals import Signals
from taskforge.task import AnyTask, Args, Call, Decorator, NamedTask, OptionValues, Target, Task, make_task
from taskforge.workers import Desire, WorkerCard, read_cards

if TYPE_CHECKING:
    from taskforge.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")


class Taskforge:
    """An app: its tasks, the broker its jobs wait in, its signals.

    `include` names modules with tasks, imported when a worker starts. `routes` sends tasks to queues by name or
    pattern. Every other keyword is a setting (see Settings) or an option's default for all jobs (priority, delay,
    retry, timeout, keep, keep_result, expires, headers). A setting not given here is taken from TASKFORGE_<NAME>,
    then from its default.

    Nothing is connected until the first job is enqueued, read or claimed. Safe to use from any thread, and after a
    fork.
    """

    def __init__(
        self,
        name: str,
        *,
        include: Sequence[str] = (),
        routes: Mapping[str, str] | None = None,
        **given: object,
    ) -> None:
        if not isinstance(name, str) or not name or any(c in "{}" or ord(c) < 33 for c in name):
            raise AppError(f"an app's name must be text without spaces or braces, not {name!r}")
        self.name, self.include = name, listed("include", include)
        self.signals, self.arounds = Signals(), Arounds()
        self.tasks, self.routes = Registry(), Routes(routes or {})
        self.queues = Queues()
        self.desk = SubmissionDesk(self)
        self._client: Client | None = None
        self._opening = threading.Lock()
        #: What tells the time here. Brokers go by their own clock, unless a test puts another one in here.
        self.clock: Clock = SystemClock()
        #: Whether a worker of this app runs in this process.
        self.working = False
        self._set(Settings(), given, {})
        set_newest(self)

    def __repr__(self) -> str:
        return f"<Taskforge {self.name!r}>"

    # Declaring

    @overload
    def task(
        self, function: Callable[P, Coroutine[object, object, R]], /
    ) -> Task[P, R, Coroutine[object, object, R]]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, R]: ...

    @overload
    def task(
        self, /, *, name: str | None = None, aliases: Sequence[str] = (), **options: Unpack[TaskOptions]
    ) -> Decorator: ...

    def task(
        self,
        function: Callable[..., object] | None = None,
        /,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        **options: object,
    ) -> object:
        """Register a function as a task, by `@app.task` or `@app.task(queue="photos", timeout=30)`.

        Its name is module.function unless `name` says otherwise; `aliases` are further names that workers answer to,
        for renaming without losing jobs. Raises OptionError for an unknown or unfit option, TaskError for what
        cannot be a task, TaskAlreadyRegistered when another function has the name.
        """
        if function is not None:
            return self._register(function, name, aliases, options)
        return cast("Decorator", lambda function: self._register(function, name, aliases, options))

    def adopt(self, task: AnyTask) -> None:
        """Take over a task that was declared without an app."""
        self.tasks.add(task)
        task.desk = self.desk

    def queue(self, name: str, **options: Unpack[QueueOptions]) -> None:
        """Set the defaults of a queue's jobs, and what it keeps: `keep=Keep(count=100, age=3600)`.

        A queue needs no declaration. Declaring one twice with different options is refused.
        """
        self.queues.declare(name, options)
        self.desk.forget()

    def around_job(self, wrapper: Callable[..., object]) -> Callable[..., object]:
        """Wrap every run in this context manager, `wrapper(run)`; a generator function with one yield is made into one.

        Entered before the function is called, in the order of registration; sees the error after. Raising before
        fails the run. An async one wraps plain functions, too: it is entered on the worker's event loop.
        """
        return self.arounds.add("job", wrapper)

    def around_worker(self, wrapper: Callable[..., object]) -> Callable[..., object]:
        """Wrap the life of every worker process in this context manager, `wrapper(app)`. Failing to enter stops the
        worker.
        """
        return self.arounds.add("worker", wrapper)

    def configure(self, **given: object) -> None:
        """Change settings or option defaults after the fact, before the broker is first used; AppError after that."""
        if self._client is not None:
            raise AppError(f"{self!r} has used its broker already: call configure() before the first enqueue")
        self._set(self.settings, given, self._defaults)

    # Enqueuing

    def enqueue(self, name: str, /, *args: object, **kwargs: object) -> JobHandle[object]:
        """Enqueue a task by name, whether or not its code is here. Options: `app.by_name(name).using(…).enqueue(…)`."""
        return self.by_name(name)._enqueue([Args(*args, **kwargs)])[0]

    async def aenqueue(self, name: str, /, *args: object, **kwargs: object) -> JobHandle[object]:
        """`enqueue` without blocking the event loop."""
        return (await self.by_name(name)._aenqueue([Args(*args, **kwargs)]))[0]

    def by_name(self, name: str) -> Call[..., object]:
        """A task by name: the registered one, or, for code that is elsewhere, one whose options its worker fills in."""
        if not isinstance(name, str) or not name:
            raise TaskError(f"a task's name must be text, not {name!r}")
        return self.tasks.get(name) or Call(NamedTask(name, self.desk), {})

    def job(self, job_id: str, queue: str | None = None) -> JobHandle[object]:
        """A handle from an id; asks nobody yet. Without `queue` all known queues are looked through."""
        try:
            check_job_id(job_id)
        except ValueError as error:
            raise OptionError(f"a job's id {error}") from None
        if queue is not None:
            checked_queue_name(queue)
        return JobHandle(self.client, self.reader, job_id, queue)

    def new_jobs(self, call: Call[..., object], arguments: Sequence[Args]) -> list[NewJob]:
        """The jobs of a task, or task.using(…), with these arguments: checked and encoded, not sent."""
        return self.desk.new_jobs(call, arguments)

    # Looking

    def jobs(self, state: JobState, queue: str | None = None, *, offset: int = 0, limit: int = 100) -> list[JobInfo]:
        """The jobs in a state, of one queue or of each this app or the broker knows; at most `limit` (1,000) a queue.

        In the order they would run, fall due or lose their lease; the latest ended first. Raises WouldBlock inside a
        running event loop, where `ajobs` is the way.
        """
        refuse_in_loop("jobs()", "ajobs()")
        return self._jobs(state, queue, offset, limit)

    async def ajobs(
        self, state: JobState, queue: str | None = None, *, offset: int = 0, limit: int = 100
    ) -> list[JobInfo]:
        """`jobs` without blocking the event loop."""
        return await self.client.awaiting.threaded(partial(self._jobs, state, queue, offset, limit))

    def _jobs(self, state: JobState, queue: str | None, offset: int, limit: int) -> list[JobInfo]:
        read, inspector = self.client.read, self.inspector
        known = {*read(inspector.queues), *self.queue_names()} if queue is None else {checked_queue_name(queue)}
        pages = [read(partial(inspector.list, name, JobState(state), offset, limit)) for name in sorted(known)]
        return [read_record(self.reader, record) for page in pages for record in page]

    def workers(self) -> list[WorkerCard]:
        """What the living workers say of themselves, sorted by name. In a running event loop, use `aworkers`."""
        refuse_in_loop("workers()", "aworkers()")
        return self._workers()

    async def aworkers(self) -> list[WorkerCard]:
        """`workers` without blocking the event loop."""
        return await self.client.awaiting.threaded(self._workers)

    def control(self, what: Desire | str, names: Sequence[str] = ()) -> list[WorkerCard]:
        """Ask workers to drain, resume, shutdown, restart or dump: those of these names, groups or hosts, or, when none
        is named, all. The living ones asked.

        The broker keeps it for a day: a worker that is cut off learns of it when it is back. Drain and resume hold for
        workers that start later, too. Raises UnknownWorker. In a running event loop, use `acontrol`.
        """
        refuse_in_loop("control()", "acontrol()")
        return self._control(what, names)

    async def acontrol(self, what: Desire | str, names: Sequence[str] = ()) -> list[WorkerCard]:
        """`control` without blocking the event loop."""
        return await self.client.awaiting.threaded(partial(self._control, what, names))

    def _workers(self) -> list[WorkerCard]:
        return self.client.read(lambda: read_cards(self.codec, self.broker.register))

    def _control(self, what: Desire | str, names: Sequence[str]) -> list[WorkerCard]:
        known = [desire.value for desire in Desire]
        if what not in known:
            raise AppError(f"workers cannot be asked to {what!r}{nearest(str(what), known)}")
        wanted = listed("names", names)
        return self.client.read(lambda: control(self.codec, self.broker.register, Desire(what), wanted))

    @property
    def client(self) -> Client:
        """What speaks to the broker for this process."""
        if self._client is None:
            with self._opening:
                if self._client is None:
                    self._client = Client(open_broker(self.broker_url, self._broker_settings()), self.settings)
        return self._client

    @property
    def broker(self) -> Broker:
        """The broker, opened at its first use."""
        return self.client.broker

    @property
    def inspector(self) -> Inspector:
        """Reading and mending queues."""
        return self.client.broker.inspector

    @property
    def broker_url(self) -> str:
        """The URL in force; with none set, a SQLite file of this user."""
        return self.settings.broker or default_broker(self.name)

    @property
    def reader(self) -> Reader:
        """What it takes to read a job's bytes."""
        return Reader(self.codec, self.types_of, self.settings.result_age, self.settings.finished_age)

    def types_of(self, task_name: str) -> Types:
        """The classes a task's payloads may name; none for a task whose code is not here."""
        task = self.tasks.get(task_name)
        return Types.none() if task is None else task.types

    def queue_names(self) -> list[str]:
        """The queues this app knows of: of its tasks, declarations and routes, and the default."""
        found = {DEFAULT_QUEUE, *self.queues, *self.routes.queues}
        found.update(self.queue_of(task, {}) for task in self.tasks)
        return sorted(found)

    def queue_of(self, target: Target, call: OptionValues) -> str:
        """Call, task, first matching route, default."""
        chosen = call.get("queue") or target.options.get("queue") or self.routes.queue_of(target.name)
        return cast("str", chosen or DEFAULT_QUEUE)

    def levels(self, target: Target, queue: str, call: OptionValues) -> list[OptionValues]:
        """Where an option of a job is looked up, in order."""
        return [call, target.options, self.queues[queue], self._defaults]

    # Running

    def worker(
        self,
        *,
        queues: Sequence[str] = (),
        threads: int | None = None,
        slots: int | None = None,
        burst: bool = False,
        max_jobs: int | None = None,
        max_idle: float | None = None,
    ) -> Worker:
        """A worker inside this process, as `with app.worker():` or `async with`. See taskforge.worker.Worker."""
        # By name: a program that only enqueues never loads the worker.
        worker: type[Worker] = importlib.import_module("taskforge.worker").Worker
        return worker(
            self, queues=queues, threads=threads, slots=slots, burst=burst, max_jobs=max_jobs, max_idle=max_idle
        )

    def load(self) -> None:
        """Import the modules of `include`. Raises AppError naming the one that fails, with its error as the cause."""
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        for module in self.include:
            try:
                importlib.import_module(module)
            except SystemExit as error:
                raise AppError(f"include: importing {module!r} ended the program (exit code {error.code})") from None
            except Exception as error:
                raise AppError(f"include: importing {module!r} failed: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let the broker's connections go. Using the app again opens it anew. AppError while a worker of it runs."""
        if self.working:
            raise AppError(f"{self!r} has a worker in this process: stop that one before closing the app")
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Taskforge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The work behind

    def _set(self, base: Settings, given: Mapping[str, object], defaults: Mapping[str, object]) -> None:
        """Settings and option defaults, told apart by their names. A name that is both (priority, timeout) is a
        setting.
        """
        setting_names = Settings.__dataclass_fields__
        known = [*setting_names, *WORDS["app"]]
        for word in given:
            if word not in known:
                raise SettingsError(f"there is no setting or option {word!r}{nearest(word, known)}")
        options = {word: value for word, value in given.items() if word in WORDS["app"] and word not in setting_names}
        rest = {word: value for word, value in given.items() if word not in options}
        self.settings = base.changed(rest) if self.__dict__.get("settings") else Settings.load(rest)
        self._defaults = {**defaults, **check(options, "app", repr(self))}
        self.codec = Codec(payload_limit=self.settings.payload_limit, result_limit=self.settings.result_limit)
        self.desk.forget()

    def _register(
        self, function: Callable[P, R], name: str | None, aliases: Sequence[str], options: OptionValues
    ) -> Task[P, R, R]:
        task = make_task(function, name, aliases, options, self.desk)
        self.tasks.add(task)
        return task

    def _broker_settings(self) -> BrokerSettings:
        settings = self.settings
        return BrokerSettings(
            prefix=settings.prefix or f"tf:{self.name}",
            lease=settings.lease,
            durability=settings.durability,
            timeout=min(settings.call_timeout, timedelta(seconds=5)),
            retention=lambda queue: self.queues.retention(queue, self.settings, self._defaults),
            keep_expired=settings.finished_age,
            clock=None if isinstance(self.clock, SystemClock) else self.clock,
        )


def current_app() -> Taskforge:
    """The app that was made last in this process. Raises AppError when there is none."""
    app = newest()
    if not isinstance(app, Taskforge):
        raise AppError('there is no app yet: make one first, as in app = Taskforge("photos")')
    return app
