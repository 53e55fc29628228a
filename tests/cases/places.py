"""Where jobs wait in these tests: SQLite, and each Redis-like engine of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.servers import Server, engines, serve

SQLITE = "sqlite"

_engines = cache(engines)


class Servers:
    """One private server per engine, started when first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._stack = ExitStack()

    def empty(self, name: str) -> str:
        """The url of this engine's server, emptied."""
        if name not in self._running:
            [engine] = [engine for engine in _engines() if engine.name == name]
            self._running[name] = self._stack.enter_context(serve(engine))
        with self._running[name].client() as client:
            client.flushall()
        return self._running[name].url

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.close()


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of an empty broker; a test that takes it runs once on each."""
    if request.param == SQLITE:
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    servers: Servers = request.getfixturevalue("servers")
    return servers.empty(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """SQLite and every engine; with `--engine` only the places whose names start so.

    A module that says ONE_ENGINE is content with SQLite and the first engine: its subject is the worker, its tests take
    their time, and that the engines do the same is the conformance suite's business.
    """
    if "broker_url" not in metafunc.fixturenames:
        return
    wanted: list[str] = metafunc.config.getoption("--engine") or []
    names = [SQLITE, *(engine.name for engine in _engines())]
    if getattr(metafunc.module, "ONE_ENGINE", False) and not wanted:
        names = names[:2]
    chosen = [name for name in names if not wanted or name.startswith(tuple(wanted))]
    metafunc.parametrize("broker_url", chosen, indirect=True)
