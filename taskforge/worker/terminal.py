"""What differs when a person has started this process in a terminal."""

from __future__ import annotations

import os
import signal
import sys


def on_a_terminal() -> bool:
    """Whether standard input is a terminal, and this process in its foreground."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def suspend() -> None:
    """Stop this process as a terminal would, until it is continued. In the main thread."""
    sys.stderr.flush()
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)
