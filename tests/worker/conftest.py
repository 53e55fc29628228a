"""Fixtures of the worker's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskforge import Taskforge


@pytest.fixture
def app() -> Iterator[Taskforge]:
    """An app in memory: these tests are about one worker's parts, not about brokers."""
    with Taskforge("parts", broker="memory://", lease=10) as app:
        yield app
