"""The pytest plugin: fixtures for tests of programs that use taskforge."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator

import pytest

from taskforge.app import Taskforge
from taskforge.testing.kit import Kit, RunUntilIdle, under_test
from taskforge.worker import Worker

# Before anything imports it, so that a promise that is not kept shows the values it was about.
pytest.register_assert_rewrite("taskforge.testing.conformance")

APP, BROKER = "taskforge_app", "taskforge_broker"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings of the plugin."""
    parser.addini(APP, "the app under test, as module:name, for example photos.tasks:app")
    parser.addini(BROKER, "URL of the broker to test on; by default memory://", default="memory://")


@pytest.fixture
def taskforge_app_under_test(pytestconfig: pytest.Config) -> Taskforge:
    """The app as your program has it: the one that the ini option taskforge_app names. Override it to give another."""
    name = str(pytestconfig.getini(APP))
    if not name:
        pytest.fail(
            'taskforge does not know which app is under test: say taskforge_app = "photos.tasks:app" in the settings '
            "of pytest, or override the fixture taskforge_app_under_test in conftest.py",
            pytrace=False,
        )
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        pytest.fail(
            f"taskforge_app = {name!r} cannot be imported: {type(error).__name__}: {error}. "
            'It is module:name; a module beside pyproject.toml is found with pythonpath = "."',
            pytrace=False,
        )
    if not isinstance(found, Taskforge):
        pytest.fail(f"taskforge_app = {name!r} is {found!r}, not an app; write module:name", pytrace=False)
    return found


@pytest.fixture
def taskforge_broker_url(pytestconfig: pytest.Config) -> str:
    """Where the jobs of a test wait: what the ini option taskforge_broker says. Override it to give another URL."""
    return str(pytestconfig.getini(BROKER))


@pytest.fixture
def taskforge_kit(
    request: pytest.FixtureRequest, taskforge_app_under_test: Taskforge, taskforge_broker_url: str
) -> Iterator[Kit]:
    """Your app on a private broker, for the length of the test, with what a test does with it.

    Under a FakeClock that stands still; in real time, for a test that takes the fixture `worker`.
    """
    real_time = "worker" in request.fixturenames
    with under_test(taskforge_app_under_test, broker=taskforge_broker_url, real_time=real_time) as kit:
        yield kit


@pytest.fixture
def taskforge_app(taskforge_kit: Kit) -> Taskforge:
    """Your app on a private broker, for the length of the test."""
    return taskforge_kit.app


@pytest.fixture
def run_until_idle(taskforge_kit: Kit) -> RunUntilIdle:
    """Call it to run every job that waits, delayed and retried ones too, here and now."""
    return taskforge_kit.run_until_idle


@pytest.fixture
def worker(taskforge_kit: Kit) -> Iterator[Worker]:
    """A worker of your app with threads, as in production, running for the length of the test, in real time."""
    with taskforge_kit.app.worker() as running:
        yield running


@pytest.fixture
def no_leftovers(taskforge_kit: Kit) -> Iterator[None]:
    """Fails the test if anything stays in the broker once all its jobs have ended and aged out."""
    _ = taskforge_kit.clock  # says now that a test in real time cannot age anything
    yield
    taskforge_kit.assert_no_leftovers()
