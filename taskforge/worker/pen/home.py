"""Where an app lives: what a child must import to have it, found in one process and used in another."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from types import ModuleType

from taskforge.app import Taskforge
from taskforge.desk import SubmissionDesk
from taskforge.errors import AppError
from taskforge.handle import JobHandle
from taskforge.task import AnyTask, Args, OptionValues, Target, module_name

#: The program of a child, and the variable by which it finds this package: it may be nowhere else on its path.
PROGRAM = "taskforge.worker.pen.child"
PATH = "PYTHONPATH"

#: What a child is told first; plain data.
Home = dict[str, object]


def home_of(app: Taskforge) -> Home | None:
    """What a child needs to have this app, as plain data; None where it is in no module's global variable.

    Others may have imported it: a module with tasks of it is preferred, and the script comes last.
    """
    tasks = {task.function.__module__ for task in app.tasks}
    for name in sorted(sys.modules, key=lambda name: (name == "__main__", name not in tasks)):
        if name.partition(".")[0] == "taskforge":
            continue
        module = sys.modules[name]
        # Not `vars`: some modules are objects of classes that answer anything.
        for key, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                return _told(app, name, key)
    return None


def _told(app: Taskforge, module: str, key: str) -> Home:
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    own = logging.getLogger("taskforge")
    return {
        "module": main_name() if module == "__main__" else module,
        "app": key,
        "settings": asdict(app.settings),
        "path": list(sys.path),
        "python_path": os.environ.get(PATH),
        # A script is imported from its file, by the name that its tasks have.
        "script": [main_name(), os.path.abspath(file)] if file and main_name() != "__main__" else None,
        "levels": [logging.getLogger().level, own.level] if logging.getLogger().handlers else None,
    }


def main_name() -> str:
    """The name that the program's main module would be imported by."""

    def function() -> None: ...

    function.__module__ = "__main__"
    return module_name(function)


def in_child() -> bool:
    """Whether this process is a child of a pen."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == PROGRAM


def environment() -> dict[str, str]:
    """The variables a child starts with: it finds what this process finds."""
    return {**os.environ, PATH: os.pathsep.join(sys.path)}


def move_in(home: Mapping[str, object]) -> tuple[Taskforge, Modules]:
    """In a child: import what the app needs, and give it the settings in force. Raises what importing raises."""
    match home:
        case {"module": str(module), "app": str(key), "path": [*path], "settings": dict(settings)}:
            pass
        case _:
            raise AppError(f"not where an app lives: {home!r}")
    sys.path[:] = [str(entry) for entry in path]
    match home.get("python_path"):
        case str(before):
            os.environ[PATH] = before
        case _:
            os.environ.pop(PATH, None)
    match home.get("script"):
        case [str(name), str(file)]:
            modules = Modules(name, file)
        case _:
            modules = Modules()
    app = getattr(modules.load(module), key, None)
    if not isinstance(app, Taskforge):
        raise AppError(f"importing {module!r} in a process of its own makes no app {key!r}")
    app.load()
    changed = {word: value for word, value in settings.items() if getattr(app.settings, word, None) != value}
    known = {word: value for word, value in changed.items() if word in app.settings.__dataclass_fields__}
    if known:
        app.configure(**known)
    if app.broker_url.startswith("memory://"):
        _keep_from_enqueuing(app)
    match home.get("levels"):
        case [int(level), int(own)]:
            _log(level, own)
    return app, modules


class Modules:
    """Imports modules by name, and by its file what the worker's process runs as a script."""

    def __init__(self, script: str = "", file: str = "") -> None:
        self._script, self._file = script, file

    def load(self, name: str) -> ModuleType:
        """The module of this name."""
        return importlib.import_module(name) if name != self._script else self._load_script()

    def find_task(self, app: Taskforge, name: str, module: str) -> AnyTask:
        """The task of this name, its module imported if need be. Raises AppError where that does not make it one."""
        task = app.tasks.get(name)
        if task is None:
            self.load(module)
            task = app.tasks.get(name)
        if task is None:
            raise AppError(
                f"importing {module!r} in a process of its own makes no task {name!r}: declare it where importing the "
                "module does, not within a function or under `if __name__ == '__main__':`"
            )
        return task

    def _load_script(self) -> ModuleType:
        """Under the name that its tasks have; what is under `if __name__ == "__main__":` is left out."""
        known = sys.modules.get(self._script)
        if known is not None:
            return known
        spec = importlib.util.spec_from_file_location(self._script, self._file)
        if spec is None or spec.loader is None:
            raise AppError(f"{self._file} cannot be imported in a process of its own")
        module = sys.modules[self._script] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def _log(level: int, own: int) -> None:
    """As the worker does: to stderr, from these levels on; unless the app has seen to it by itself."""
    logging.basicConfig(level=level, format="%(asctime)s %(process)d %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("taskforge").setLevel(own)


def _keep_from_enqueuing(app: Taskforge) -> None:
    """Its broker is in the worker's memory: what were enqueued here would go nowhere."""
    app.desk = _ClosedDesk(app)
    for task in app.tasks:
        task.desk = app.desk


class _ClosedDesk(SubmissionDesk):
    """Makes jobs, and sends none."""

    def submit(
        self, target: Target, call: OptionValues, arguments: list[Args] | object, stacklevel: int
    ) -> list[JobHandle[object]]:
        raise self._error(target)

    async def asubmit(
        self, target: Target, call: OptionValues, arguments: list[Args] | object
    ) -> list[JobHandle[object]]:
        raise self._error(target)

    def _error(self, target: Target) -> AppError:
        return AppError(
            f"{target.name} cannot be enqueued from an isolated run: a memory:// broker is in the worker's process; "
            "use enqueue_on_success, or a sqlite:/// or redis:// broker"
        )
