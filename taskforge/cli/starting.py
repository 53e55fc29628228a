"""Starts a worker as it is wanted: a child, a process alone, or a parent; refuses what contradicts itself."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from taskforge.brokers.resend import reach
from taskforge.cli.common import Session, plain, span
from taskforge.cli.logs import log_to_stderr
from taskforge.measuring import measure, places_of
from taskforge.scaling import Goal
from taskforge.settings import nearest
from taskforge.worker import Worker
from taskforge.worker.health import Health, HealthServer
from taskforge.worker.notifying import Outside
from taskforge.worker.parent import Parent, Plan
from taskforge.worker.parent.reloading import Reloader
from taskforge.worker.serving import alive, cores, ready, serve
from taskforge.worker.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

#: Options of a worker from the environment: a child is told all that concerns it in its command.
OPTIONS = "TASKFORGE_WORKER_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of `taskforge worker`, as its help has them. None: not given."""

    queues: list[str]
    threads: int | None
    slots: int | None
    processes: int | None
    autoscale: tuple[int, int] | None
    alone: bool
    burst: bool
    max_jobs: int | None
    max_idle: float | None
    max_jobs_per_child: int | None
    max_memory_per_child: int | None
    grace: float | None
    stop_within: float | None
    deaf_after: float | None
    liveness_file: str | None
    health_port: int | None
    health_host: str
    reload: bool
    loglevel: str
    parent_pipe: int | None
    shared: int | None

    @property
    def settings(self) -> dict[str, object]:
        """Those that are settings of the app, for this worker."""
        given = {"grace": self.grace, "deaf_after": self.deaf_after}
        return {name: value for name, value in given.items() if value is not None}

    def check(self) -> None:
        """Refuse what contradicts itself."""
        for one, others in {
            "autoscale": ("processes", "alone", "burst", "max_jobs", "max_idle"),
            "alone": ("processes", "max_jobs_per_child", "max_memory_per_child", "reload"),
            "reload": ("burst", "max_jobs", "max_idle"),
        }.items():
            both = [other for other in others if getattr(self, one) and getattr(self, other)]
            if both:
                option, other = (f"--{name.replace('_', '-')}" for name in (one, both[0]))
                raise click.UsageError(f"{option} and {other} contradict each other: leave one out")

    def child(self, app_path: str) -> list[str]:
        """The command of a child."""
        given = [sys.executable, "-m", "taskforge", "-A", app_path, "worker", "-l", self.loglevel]
        given += ["-Q", ",".join(self.queues)] if self.queues else []
        for name in ("threads", "slots", "max_idle", "grace", "deaf_after"):
            value = getattr(self, name)
            given += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
        return [*given, "--burst"] if self.burst else given


def start(session: Session, wanted: Wanted) -> int:
    """The exit code, once it has ended."""
    log_to_stderr(getattr(logging, wanted.loglevel.upper()))
    app = session.app
    if wanted.settings:
        app.configure(**wanted.settings)
    if wanted.shared is not None:
        return _child(session, wanted, wanted.shared)
    wanted.check()
    _check_patience(session, wanted)
    names = wanted.queues or app.queue_names()
    for name in names:
        if name not in app.queue_names():
            hint = nearest(name, app.queue_names())
            click.echo(f"taskforge: no task or declaration of this app names the queue {name!r}{hint}", err=True)
    outside = Outside(os.environ, wanted.liveness_file)
    run = _alone if wanted.alone else _parent
    return run(session, wanted, names, outside)


def _child(session: Session, wanted: Wanted, fd: int) -> int:
    worker = _worker(session, wanted, Shared.attach(fd))
    return serve(worker, wanted.parent_pipe)


def _worker(session: Session, wanted: Wanted, shared: Shared | None = None) -> Worker:
    return Worker(
        session.app,
        queues=wanted.queues,
        threads=wanted.threads,
        slots=wanted.slots,
        burst=wanted.burst,
        max_jobs=wanted.max_jobs,
        max_idle=wanted.max_idle,
        shared=shared,
    )


def _alone(session: Session, wanted: Wanted, names: list[str], outside: Outside) -> int:
    app = session.app
    worker = _worker(session, wanted)
    goal = Goal(drain=app.settings.drain_time.total_seconds())
    with _health(session, wanted, names, goal, lambda: alive(worker), lambda: ready(worker)):
        reach(app.broker, app.settings.call_timeout.total_seconds())
        _banner(session, wanted, names, "1 (this one)")
        return serve(worker, outside=outside)


def _parent(session: Session, wanted: Wanted, names: list[str], outside: Outside) -> int:
    app, settings = session.app, session.app.settings
    threads = settings.threads if wanted.threads is None else wanted.threads
    slots = settings.slots if wanted.slots is None else wanted.slots
    low, high = wanted.autoscale or (0, 1_000)
    goal = Goal(low, high, settings.drain_time.total_seconds())
    plan = Plan(
        command=wanted.child(session.app_path or ""),
        processes=low if wanted.autoscale else wanted.processes or cores(),
        settings=settings,
        cells=threads + slots,
        queues=names,
        places=float(places_of(app, names, threads, threads + slots)),
        autoscale=goal if wanted.autoscale else None,
        jobs_per_child=wanted.max_jobs_per_child,
        memory_per_child=wanted.max_memory_per_child,
        max_jobs=wanted.max_jobs,
        finite=wanted.burst or wanted.max_jobs is not None or wanted.max_idle is not None,
        reload=wanted.reload,
        environ={name: value for name, value in os.environ.items() if not name.startswith(OPTIONS)},
    )
    reach(app.broker, settings.call_timeout.total_seconds())
    with ExitStack() as stack:
        parent = Parent(app, plan, outside, adopts=True)
        if wanted.reload:
            stack.enter_context(Reloader([Path.cwd()], parent.code_has_changed))
        stack.enter_context(_health(session, wanted, names, goal, parent.alive, parent.ready))
        _banner(session, wanted, names, f"{low} to {high}" if wanted.autoscale else str(plan.processes))
        app.close()
        return parent.run()


@contextmanager
def _health(
    session: Session,
    wanted: Wanted,
    names: list[str],
    goal: Goal,
    alive: Callable[[], Health],
    ready: Callable[[], Health],
) -> Iterator[None]:
    """Serve the health port while this lasts, if one is wanted."""
    if wanted.health_port is None:
        yield
        return

    def load() -> Mapping[str, object]:
        return cast("Mapping[str, object]", plain(measure(session.app, goal, names)))

    with HealthServer(wanted.health_port, wanted.health_host, alive=alive, ready=ready, load=load):
        yield


def _check_patience(session: Session, wanted: Wanted) -> None:
    """A grace that the service manager cuts short would turn every long run at shutdown into a crash."""
    settings = session.app.settings
    grace = settings.grace.total_seconds() + settings.stop_grace.total_seconds()
    if wanted.stop_within is not None and grace >= wanted.stop_within:
        raise click.UsageError(
            f"what runs at shutdown has {grace:g} s (grace and stop_grace), but is killed after {wanted.stop_within:g} "
            "(--stop-within): lower --grace, or have the service manager wait longer"
        )


def _banner(session: Session, wanted: Wanted, queues: list[str], processes: str) -> None:
    """What an operator wants to have seen before the first job runs."""
    app, settings = session.app, session.app.settings
    tasks = sorted(task.name for task in app.tasks)
    shown = ", ".join(tasks[:8]) + (f" and {len(tasks) - 8} more" if len(tasks) > 8 else "")
    age = span(settings.finished_age.total_seconds())
    lines = {
        "app": f"{app.name} ({session.app_path})",
        "broker": app.broker.describe(),
        "queues": ", ".join(queues),
        "tasks": shown or "none: is a module missing in include=[…]?",
        "processes": f"{processes}, each with {wanted.threads or settings.threads} threads "
        f"and {wanted.slots or settings.slots} async slots",
        "retries": f"{settings.attempts} attempts, unless a task says otherwise",
        "kept": f"finished jobs {age} (the last {settings.finished_count:,} of a queue), "
        f"results {span(settings.result_age.total_seconds())}, dead jobs {span(settings.dead_age.total_seconds())}",
    }
    click.echo("\n".join(f"{head:>10}  {text}" for head, text in lines.items()), err=True)
    click.echo(f"\nReady (pid {os.getpid()}). Ctrl-C once to drain, twice to hand back at once.", err=True)
