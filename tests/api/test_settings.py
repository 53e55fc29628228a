"""Settings: where they come from, and what is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

from taskforge import SettingsError
from taskforge.settings import Settings


def test_keywords_come_before_the_environment_and_that_before_defaults() -> None:
    loaded = Settings.load({"threads": 3}, {"TASKFORGE_THREADS": "5", "TASKFORGE_SLOTS": "7"})

    assert (loaded.threads, loaded.slots, loaded.attempts) == (3, 7, 4)


@pytest.mark.parametrize("given", [7, 7.0, "7", timedelta(seconds=7)])
def test_a_span_may_be_a_number_text_or_a_timedelta(given: object) -> None:
    assert Settings.load({"lease": given}, {}).lease == timedelta(seconds=7)


@pytest.mark.parametrize("given", [None, "none", "None"])
def test_no_timeout_can_be_said_in_code_and_in_text(given: object) -> None:
    assert Settings.load({"timeout": given}, {}).timeout is None


@pytest.mark.parametrize("lease", [None, "none", "soon", True, [], 0, -1, float("nan"), float("inf"), 1e30])
def test_a_lease_that_is_none_is_refused_by_name(lease: object) -> None:
    with pytest.raises(SettingsError, match="lease"):
        Settings.load({"lease": lease}, {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LEASE", "x"), ("ATTEMPTS", "0"), ("ATTEMPTS", "1.5"), ("PRIORITY", "101"), ("DURABILITY", "some")],
)
def test_an_unfit_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"(?i){variable}"):
        Settings.load({}, {f"TASKFORGE_{variable}": value})


def test_a_misspelt_keyword_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match="'result_limit'"):
        Settings.load({"result_limt": 1}, {})


def test_changed_keeps_the_rest_and_checks_the_same() -> None:
    settings = Settings(threads=3)

    assert settings.changed({"lease": 7}) == Settings(threads=3, lease=timedelta(seconds=7))
    with pytest.raises(SettingsError, match="lease"):
        settings.changed({"lease": 0})
    with pytest.raises(SettingsError, match="'lease'"):
        settings.changed({"leas": 1})


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().threads = 5  # type: ignore[misc]
