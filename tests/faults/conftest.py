"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge import Taskforge
from tests.cases.places import broker_url, pytest_generate_tests, servers
from tests.faults import program
from tests.faults.crew import Crew
from tests.faults.ledger import FOLDER

__all__ = ["app", "broker_url", "crew", "pytest_generate_tests", "servers"]


@pytest.fixture
def crew(broker_url: str, tmp_path: Path) -> Iterator[Crew]:
    """Worker processes on an empty broker. All are gone when the test ends."""
    crew = Crew(broker_url, tmp_path)
    yield crew
    crew.close()


@pytest.fixture
def app(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> Iterator[Taskforge]:
    """Their app, here: to enqueue with and to look."""
    monkeypatch.setenv(FOLDER, str(crew.ledger.folder))
    before = program.app.settings
    program.app.configure(broker=crew.url)
    yield program.app
    program.app.close()
    program.app.configure(lease=before.lease, call_timeout=before.call_timeout)
