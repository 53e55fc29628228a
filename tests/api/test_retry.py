"""When a failed job runs again: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge import Exponential, Fixed, Retry
from taskforge.failure import lineage
from taskforge.retry import MAX_DELAY, RetryRule

NOW = timedelta(0)


def next_delay(retry: Retry, attempt: int, error: BaseException | None = None, age: float = 0) -> float | None:
    error = error or OSError("no")
    own: Callable[[int, BaseException], float | None] | None = None if retry.travels else retry.backoff
    return RetryRule.of(retry).next_delay(attempt, lineage(error), error, timedelta(seconds=age), own)


def test_exponential_doubles_up_to_its_cap() -> None:
    backoff = Exponential(5, cap=30, jitter="none")

    assert [backoff(attempt) for attempt in (1, 2, 3, 4, 5, 1000)] == [5, 10, 20, 30, 30, 30]


@given(st.integers(1, 10_000), st.sampled_from(["full", "equal"]))
def test_jitter_stays_inside_its_bounds(attempt: int, jitter: Any) -> None:
    whole = Exponential(5, cap=600, jitter="none")(attempt)

    drawn = Exponential(5, cap=600, jitter=jitter)(attempt)

    assert (0 if jitter == "full" else whole / 2) <= drawn <= whole


def test_jitter_spreads() -> None:
    assert len({Exponential(5)(3) for _ in range(50)}) > 40


def test_attempts_count_all_runs_the_first_included() -> None:
    retry = Retry(attempts=3, backoff=Fixed(7))

    assert [next_delay(retry, attempt) for attempt in (1, 2, 3, 4)] == [7, 7, None, None]


@pytest.mark.parametrize(
    ("error", "again"),
    [(OSError(), True), (FileNotFoundError(), True), (ValueError(), False), (PermissionError(), False)],
)
def test_on_and_never_match_subclasses_and_never_wins(error: Exception, again: bool) -> None:
    retry = Retry(backoff=Fixed(1), on=(OSError,), never=(PermissionError,))

    assert (next_delay(retry, 1, error) is not None) is again


def test_by_default_every_exception_is_retried_and_what_ends_programs_is_not() -> None:
    assert next_delay(Retry(), 1, Exception()) is not None
    assert next_delay(Retry(), 1, KeyboardInterrupt()) is None


def test_a_retry_that_would_start_after_the_deadline_does_not() -> None:
    retry = Retry(attempts=100, backoff=Fixed(10), within=60)

    assert next_delay(retry, 1, age=50) == 10
    assert next_delay(retry, 1, age=50.1) is None


def test_a_callable_decides_by_attempt_and_error() -> None:
    retry = Retry(attempts=9, backoff=lambda attempt, error: 2.0 * attempt if isinstance(error, OSError) else None)

    assert next_delay(retry, 3) == 6
    assert next_delay(retry, 3, ValueError()) is None
    assert not retry.travels


@pytest.mark.parametrize(("said", "meant"), [(-5.0, 0.0), (1e12, MAX_DELAY)])
def test_what_a_callable_says_is_kept_within_bounds(said: float, meant: float) -> None:
    assert next_delay(Retry(backoff=lambda attempt, error: said), 1) == meant


def test_single_classes_do_without_a_tuple() -> None:
    assert next_delay(Retry(on=OSError, never=KeyError), 1) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": "3"},
        {"backoff": 5},
        {"on": ("OSError",)},
        {"never": int},
        {"within": -1},
        {"within": "1h"},
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    [word] = wrong

    with pytest.raises(ValueError, match=word):
        Retry(**wrong)


@pytest.mark.parametrize("wrong", [{"base": -1}, {"cap": "x"}, {"jitter": "half"}])
def test_an_exponential_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    [word] = wrong

    with pytest.raises(ValueError, match=word):
        Exponential(**wrong)


@given(
    st.integers(1, 1000),
    st.one_of(
        st.builds(Fixed, st.floats(0, 1000)),
        st.builds(Exponential, st.floats(0, 10), st.floats(0, 1000), st.sampled_from(["full", "equal", "none"])),
    ),
    st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_a_rule_travels_as_it_is(attempts: int, backoff: Any, within: float | None) -> None:
    rule = RetryRule.of(Retry(attempts, backoff, (OSError,), (KeyError,), within))

    assert RetryRule.from_plain(rule.plain()) == rule


@pytest.mark.parametrize(
    "data", [None, [], [1], [1, [5], [], []], ["1", [5], [], [], None], [1, [5, 6, "half"], [], [], None]]
)
def test_what_is_no_rule_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="not a retry rule"):
        RetryRule.from_plain(data)
