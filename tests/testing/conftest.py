"""Fixtures of the tests of the test kit: an app to test, and pytest runs of somebody else's project."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskforge import Taskforge
from taskforge.testing import Kit, under_test

ROOT = Path(__file__).parents[2]
#: Seconds that one pytest run in a process of its own may take.
LIMIT = 60


@pytest.fixture
def app() -> Iterator[Taskforge]:
    """An app as a program has it, on a broker that no test may touch."""
    with Taskforge("photos", broker="sqlite:////nowhere/production.db") as app:
        yield app


@pytest.fixture
def kit(app: Taskforge) -> Iterator[Kit]:
    """The app under test, on memory:// and a fake clock."""
    with under_test(app) as kit:
        yield kit


@dataclass
class Project:
    """A folder with somebody's program and tests. The plugin is found there as in an installed taskforge."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        """A file of this name."""
        (self.folder / name).write_text(textwrap.dedent(text))

    def pytest(self, *arguments: str) -> tuple[int, str]:
        """Run its tests in a fresh process: the exit code and what was printed."""
        return self.run("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:valkey", *arguments)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run Python here."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("TASKFORGE_", "PYTEST"))
        }
        environment["PYTHONPATH"] = os.pathsep.join([str(self.folder / "installed"), str(ROOT)])
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        return done.returncode, done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with the settings that the docs advise. Its app is photos:app."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    installed = tmp_path / "installed" / "taskforge_here-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: taskforge-here\nVersion: 1\n")
    lines = [f"{name} = {module}" for name, module in declared.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    project = Project(tmp_path)
    project.write("pytest.ini", SETTINGS)
    project.write("photos.py", PHOTOS)
    return project


SETTINGS = """
[pytest]
pythonpath = .
taskforge_app = photos:app
filterwarnings = error
"""

PHOTOS = """
from taskforge import Fixed, Retry, Taskforge, current_job

app = Taskforge("photos", broker="sqlite:////nowhere/production.db")

@app.task(queue="photos", retry=Retry(attempts=3, backoff=Fixed(60)))
def thumbnail(path: str, size: int = 256) -> str:
    if current_job().attempt == 1:
        raise OSError("the disk is busy")
    current_job().enqueue_on_success(notify.using(delay=3600), path)
    return f"{path} at {size}"

@app.task
async def notify(path: str) -> None:
    print("done with", path)
"""
