"""An app in a folder of its own, and the command line to work on it."""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge.app import Taskforge
from taskforge.cli import main
from taskforge.cli.loading import load_app
from tests.cli.harness import APP, Run, Said
from tests.servers import engines, serve

_numbers = itertools.count()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an empty folder, with a database named in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in os.environ if name.startswith("TASKFORGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TASKFORGE_BROKER", f"sqlite:///{tmp_path / 'jobs.db'}")
    return tmp_path


@pytest.fixture
def module(folder: Path) -> Iterator[str]:
    """The module of an app; a new name each time, for a module is imported once in a process."""
    name = f"shop_{next(_numbers)}"
    (folder / f"{name}.py").write_text(APP)
    yield name
    loaded = sys.modules.pop(name, None)
    if loaded is not None:
        loaded.app.close()


@pytest.fixture
def app(module: str) -> Taskforge:
    """The app of this module, as the command line finds it."""
    return load_app(module)


@pytest.fixture
def run(folder: Path, module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`taskforge …` in this process, with -A given unless `bare`."""

    def call(*arguments: str, bare: bool = False) -> Said:
        monkeypatch.setattr(sys, "argv", ["taskforge", *([] if bare else ["-A", module]), *arguments])
        capsys.readouterr()
        handlers = list(logging.root.handlers)
        with pytest.raises(SystemExit) as ended:
            main()
        logging.root.handlers[:] = handlers
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert '\n  File "' not in err or "AppError" not in err, err
        return Said(code, out, err)

    return call


@pytest.fixture
def a_redis_url() -> Iterator[str]:
    """A Redis of the first engine that this machine has."""
    with serve(engines()[0]) as server:
        yield server.url
