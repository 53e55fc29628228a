"""Tasks declared before there is an app, or without knowing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import taskforge
from taskforge import Taskforge


def test_a_task_without_an_app_belongs_to_the_newest(app: Taskforge) -> None:
    @taskforge.task(name="loose", priority=4)
    def loose() -> None: ...

    assert app.tasks["loose"] is loose
    assert loose.enqueue().info().priority == 4


def test_an_option_error_shows_at_once_even_without_an_app(app: Taskforge) -> None:
    with pytest.raises(taskforge.OptionError, match="priority"):
        taskforge.task(priorty=4)(lambda: None)  # type: ignore[call-overload]


def test_a_task_declared_before_there_is_an_app_is_taken_by_the_first_one() -> None:
    program = """
from taskforge import AppError, Taskforge, task

@task
def early() -> None: ...

@task(name="named")
def other() -> None: ...

try:
    early.enqueue()
except AppError as error:
    print(error)
app = Taskforge("late", broker="memory://")
print(early.enqueue().state(), app.tasks["named"] is other, len(Taskforge("second").tasks))
"""

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    before, after = said.stdout.splitlines()
    assert "make one" in before
    assert after == "ready True 0", said.stderr
