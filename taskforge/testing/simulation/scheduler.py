"""Who goes on next: actors that take turns on one thread, under a clock that only the scheduler moves."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

try:
    from greenlet import getcurrent, greenlet
except ImportError as error:  # pragma: no cover
    raise ImportError("the simulation needs the library greenlet: pip install 'taskforge[simulation]'") from error


#: A deadline (milliseconds) that never comes.
NEVER = 1 << 60


class Unplugged(BaseException):
    """Thrown into what is left of an actor when a simulation is over: no task, and no handler, is meant by it."""


class Violation(Exception):
    """A promise that was not kept."""


class Process:
    """What lives and dies together: a client, or a worker with its threads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive, self.buried = True, False
        #: About to end: what still runs in it counts no more, for it is gone before anybody could notice.
        self.ending = False
        #: Nothing of it goes on before this moment (milliseconds), and nothing it sends arrives before the other.
        self.frozen_until = self.cut_until = 0

    def __repr__(self) -> str:
        return self.name


class Actor:
    """One thread of a process. It runs until it waits for something; the scheduler decides when it goes on."""

    def __init__(self, process: Process, name: str, function: Callable[[], object]) -> None:
        self.process, self.name = process, name
        self.until: Callable[[], bool] | None = None
        self.deadline: int | None = 0
        self.error: BaseException | None = None
        self._function = function
        self._greenlet = greenlet(self._run)

    @property
    def over(self) -> bool:
        """Whether its function has come to its end."""
        return bool(self._greenlet.dead)

    def unwind(self) -> None:
        """Throw it out of everything it is in, however often it catches that. One that never began is left alone."""
        while self._greenlet:
            self._greenlet.throw(Unplugged())

    def go_on(self, answer: object = None, error: BaseException | None = None) -> None:
        """Let it run, with this for what it waited for."""
        if error is None:
            self._greenlet.switch(answer)
        else:
            self._greenlet.throw(error)

    def _run(self, *_: object) -> None:
        try:
            self._function()
        except Unplugged:
            pass
        except BaseException as error:
            self.error = error


class SimulatedClock:
    """Counts milliseconds. `jump` moves the wall clock alone, as an operator or a time server might."""

    def __init__(self) -> None:
        self.ms = 0
        self._wall = datetime(2030, 1, 1, tzinfo=UTC)
        self.sleep: Callable[[float, Callable[[], bool]], bool] = _nobody_sleeps

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self.ms / 1000

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """The calling actor sleeps until the event is set."""
        return self.sleep(timeout, event.is_set)

    def after(self, seconds: float) -> int:
        """The moment in so many seconds. Nothing takes no time: a loop that waits for zero seconds would never end."""
        return self.ms + max(1, math.ceil(round(seconds * 1000, 6)))

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.ms += ms
        self._wall += timedelta(milliseconds=ms)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall += timedelta(seconds=seconds)


class Scheduler:
    """Holds the actors; one of them runs at a time, the others wait."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self._home = getcurrent()
        self._over = False
        clock.sleep = self.sleep

    def spawn(self, process: Process, name: str, function: Callable[[], object]) -> Actor:
        """A new actor, which begins as soon as it is its turn."""
        actor = Actor(process, name, function)
        self.actors.append(actor)
        return actor

    # Called by the actor that runs.

    def sleep(self, seconds: float | None, until: Callable[[], bool] | None = None) -> bool:
        """Wait for so many seconds (None: without end), or until this becomes true; whether it is."""
        actor = self._running()
        actor.deadline, actor.until = NEVER if seconds is None else self.clock.after(seconds), until
        self._home.switch()
        return until is not None and until()

    def wait_for_answer(self) -> object:
        """Wait until somebody says `go_on`, with an answer or an error."""
        actor = self._running()
        actor.deadline = actor.until = None
        return self._home.switch()

    def _running(self) -> Actor:
        actor = self.current
        if actor is None or self._over or not actor.process.alive:
            raise Unplugged
        return actor

    # Called from outside of them.

    def ready(self) -> list[Actor]:
        """Those that could go on now."""
        now = self.clock.ms
        return [actor for actor in self.actors if self._can_go_on(actor, now)]

    def _can_go_on(self, actor: Actor, now: int) -> bool:
        if actor.deadline is None or actor.process.frozen_until > now:
            return False
        return actor.deadline <= now or (actor.until is not None and actor.until())

    def next_timer(self) -> int | None:
        """The next moment at which somebody goes on by himself."""
        times = [max(a.deadline, a.process.frozen_until) for a in self.actors if a.deadline is not None]
        return min((time for time in times if time < NEVER), default=None)

    def let(self, actor: Actor, answer: object = None, error: BaseException | None = None) -> None:
        """Let this one run until it waits again. Raises the Violation that ended it; any other end is one."""
        self.current = actor
        actor.deadline = None
        actor.go_on(answer, error)
        self.current = None
        if actor.over:
            self.actors = [each for each in self.actors if each is not actor]
            if actor.error is not None:
                raise actor.error if isinstance(actor.error, Violation) else died(actor) from actor.error

    def drop(self, process: Process) -> list[Actor]:
        """The process is gone, as by kill -9: nothing of it goes on, not even to clean up."""
        process.alive = False
        dropped = [actor for actor in self.actors if actor.process is process]
        self.actors = [actor for actor in self.actors if actor.process is not process]
        return dropped

    def end(self, leftovers: list[Actor]) -> None:
        """Unwind every stack that is left, so that nothing of this simulation outlives it."""
        self._over = True
        for actor in [*self.actors, *leftovers]:
            self.current = actor
            actor.unwind()
        self.current = None


def died(actor: Actor) -> Violation:
    error = actor.error
    return Violation(f"{actor.process.name}: {actor.name} died of {type(error).__name__}: {error}")


def _nobody_sleeps(seconds: float, until: Callable[[], bool]) -> bool:
    raise AssertionError("this clock has no scheduler")
