"""Tasks by name, and queues by route."""

from __future__ import annotations

import pytest

from taskforge import AppError, Taskforge
from taskforge.registry import Routes


def test_aliases_lead_to_their_task_and_count_once(app: Taskforge) -> None:
    task = app.task(name="new", aliases=["old", "older"])(lambda: None)

    assert app.tasks.get("old") is app.tasks["older"] is task
    assert (len(app.tasks), list(app.tasks)) == (1, [task])


def test_the_same_function_may_be_registered_again(app: Taskforge) -> None:
    def note() -> None: ...

    first, second = app.task(name="note")(note), app.task(name="note")(note)

    assert app.tasks["note"] is second is not first


def test_exact_routes_come_before_patterns_and_patterns_in_their_order() -> None:
    routes = Routes({"a.*": "first", "a.b.*": "second", "a.b.c": "exact", "[xy]": "either", "q?": "two"})

    found = {name: routes.queue_of(name) for name in ("a.b.c", "a.b.d", "x", "z", "qq", "q")}

    assert found == {"a.b.c": "exact", "a.b.d": "first", "x": "either", "z": None, "qq": "two", "q": None}
    assert sorted(routes.queues) == ["either", "exact", "first", "second", "two"]


def test_a_route_to_no_queue_is_refused() -> None:
    with pytest.raises(AppError, match=r"routes\['a'\]"):
        Routes({"a": ""})
