"""Fixtures for the whole test suite: a server per engine, a fresh place to keep jobs per test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.servers import Engine, Server, engines, serve

# Before anything imports it, so that a promise that is not kept shows the values it was about.
pytest.register_assert_rewrite("taskforge.testing.conformance")

_engines = cache(engines)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        action="append",
        metavar="NAME",
        help="run Redis tests on engines whose name starts so (redis, valkey, valkey-9.1); may be repeated",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" not in metafunc.fixturenames:
        return
    wanted: list[str] = metafunc.config.getoption("--engine") or [""]
    chosen = [engine for engine in _engines() if engine.name.startswith(tuple(wanted))]
    if not chosen and wanted != [""]:
        raise pytest.UsageError(f"--engine {wanted}: this machine has {[engine.name for engine in _engines()]}")
    metafunc.parametrize("engine", chosen, ids=[engine.name for engine in chosen], scope="session", indirect=True)


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each Redis-like server program of this machine in turn."""
    chosen: Engine = request.param
    return chosen


@pytest.fixture(scope="session")
def newest(pytestconfig: pytest.Config) -> Engine:
    """One engine, for tests that take their time and whose subject is not the engine: the last that is asked for."""
    wanted: list[str] = pytestconfig.getoption("--engine") or [""]
    return [engine for engine in _engines() if engine.name.startswith(tuple(wanted))][-1]


@pytest.fixture(scope="session")
def server(engine: Engine) -> Iterator[Server]:
    """One private server for all tests of an engine."""
    with serve(engine) as running:
        yield running


@pytest.fixture
def redis_url(server: Server) -> str:
    """The url of an empty Redis."""
    with server.client() as client:
        client.flushall()
    return server.url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The url of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'jobs.db'}"
