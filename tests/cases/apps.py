"""Apps under test, as separate processes would have them, and a watch over what their signals say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import pytest
from blinker import Signal

from taskforge import JobHandle, JobState, Taskforge
from taskforge.brokers.protocol import Broker, Demand
from taskforge.brokers.stamp import Sender
from taskforge.client import Client
from taskforge.job import Delivery
from tests.servers import wait_until

#: Seconds that something which should take milliseconds may take on a busy machine.
SOON = 10.0

B = TypeVar("B", bound=Broker)


class MakeApp(Protocol):
    def __call__(self, **given: object) -> Taskforge: ...


@pytest.fixture
def apps(broker_url: str) -> Iterator[MakeApp]:
    """Makes apps of one name on one broker: each is what one process of many would have."""
    made: list[Taskforge] = []

    def make(**given: object) -> Taskforge:
        given.setdefault("broker", broker_url)
        made.append(Taskforge("cases", **given))  # type: ignore[arg-type]  # settings, none of the named parameters
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(apps: MakeApp) -> Taskforge:
    return apps()


@pytest.fixture
def other(apps: MakeApp, app: Taskforge) -> Taskforge:
    """A second app on the same broker."""
    return apps()


def around_broker(app: Taskforge, wrap: Callable[[Broker], B]) -> B:
    """Put something between the app and its broker, before its first use."""
    wrapped = wrap(app.broker)
    app._client = Client(wrapped, app.settings)
    return wrapped


@dataclass(frozen=True)
class Event:
    """One signal, as it was sent."""

    name: str
    at: float
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """The job it was about."""
        subject = self.facts.get("run") or self.facts.get("delivery") or self.facts.get("job")
        return str(subject.id) if subject else ""


class Watch:
    """Keeps every signal of an app, and waits for them."""

    def __init__(self, app: Taskforge) -> None:
        self._events: list[Event] = []
        self._changed = threading.Condition()
        for name, signal in vars(app.signals).items():
            if isinstance(signal, Signal):
                signal.connect(partial(self._keep, name), weak=False)

    def _keep(self, name: str, _app: object, **facts: object) -> None:
        with self._changed:
            self._events.append(Event(name, time.monotonic(), facts))
            self._changed.notify_all()

    def of(self, name: str) -> list[Event]:
        """The events of this name so far."""
        with self._changed:
            return [event for event in self._events if event.name == name]

    def ids(self, name: str) -> list[str]:
        """The jobs that events of this name were about, in their order."""
        return [event.id for event in self.of(name)]

    def wait(self, name: str, count: int = 1, within: float = SOON) -> list[Event]:
        """The events of this name, once there are so many."""
        with self._changed:
            came = self._changed.wait_for(lambda: len([e for e in self._events if e.name == name]) >= count, within)
        told = ", ".join(f"{event.name} {event.id}" for event in self._events[-30:])
        assert came, f"{len(self.of(name))} of {count} {name} came within {within} s; the last ones were {told}"
        return self.of(name)


def wait_for_state(job: JobHandle[Any], state: JobState, within: float = SOON) -> None:
    wait_until(lambda: job.state() is state, within, f"{job} being {state}")


def wait_for(event: threading.Event, within: float = SOON) -> str:
    """Return "done" once the event is set."""
    assert event.wait(within), "what a run should have done did not happen in time"
    return "done"


def claim_and_die(app: Taskforge, queue: str = "default", want: int = 1) -> Sequence[Delivery]:
    """Claim as a worker does that is killed before it starts what it claimed."""
    demand = Demand((want,), ((queue, (0,)),))
    claimed: list[Delivery] = []

    def came() -> bool:
        claimed.extend(app.broker.exchange(demand, [], Sender().stamp()).deliveries)
        return len(claimed) >= want

    wait_until(came, SOON, f"{want} jobs to claim")
    return claimed
