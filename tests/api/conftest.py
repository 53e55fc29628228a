"""Fixtures of the tests of what users write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskforge import Taskforge


@pytest.fixture
def app() -> Iterator[Taskforge]:
    """An app in memory: nothing here depends on where jobs wait."""
    with Taskforge("photos", broker="memory://") as app:
        yield app
