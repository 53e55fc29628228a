"""Where a user's files go when nobody said."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def state_folder() -> Path:
    """The user's state folder for taskforge: $XDG_STATE_HOME (XDG Base Directory Specification) or the platform's
    habit.
    """
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "taskforge"


def default_broker(app_name: str) -> str:
    """The URL of the SQLite file that every process of this user shares for this app; its folder is made."""
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = re.sub(r"[^A-Za-z0-9._-]", "_", app_name)
    return f"sqlite:///{(folder / file).absolute()}.db"
