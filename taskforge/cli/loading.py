"""From `module[:app]` to the app."""

from __future__ import annotations

import importlib
import os
import sys

from taskforge.app import Taskforge
from taskforge.errors import AppError


def load_app(path: str) -> Taskforge:
    """Import the module and find the app in it: the one named, or the only one.

    The working directory is looked in first. Raises AppError when the module does not import or the app is not certain.
    """
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise AppError(f"{path!r} names no module; -A takes module[:app], as in -A photos.tasks:app")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise _failed(module_name, error) from error
        raise AppError(
            f"there is no module {error.name!r} here ({os.getcwd()}) or installed; check -A {path}"
        ) from None
    except SystemExit as error:
        raise AppError(
            f"importing {module_name!r} ended the program (exit code {error.code}); "
            "put what it runs under `if __name__ == '__main__':`"
        ) from None
    except Exception as error:
        raise _failed(module_name, error) from error
    found = {key: value for key, value in vars(module).items() if isinstance(value, Taskforge)}
    if name:
        if name not in found:
            raise AppError(f"{module_name!r} has no app named {name!r}; it has: {', '.join(found) or 'none'}")
        return found[name]
    apps = {id(value): key for key, value in found.items()}
    if len(apps) == 1:
        return next(iter(found.values()))
    if not apps:
        raise AppError(f'there is no app in {module_name!r}; make one: app = Taskforge("photos")')
    choices = " or ".join(f"-A {module_name}:{key}" for key in sorted(apps.values()))
    raise AppError(f"{module_name!r} has {len(apps)} apps; say which: {choices}")


def _failed(module_name: str, error: Exception) -> AppError:
    return AppError(f"importing {module_name!r} failed: {type(error).__name__}: {error}")
