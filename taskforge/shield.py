"""What must not be left halfway: a run that may be interrupted is not, while it speaks to the broker."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Protocol


class Interrupter(Protocol):
    """What may raise an exception in a thread at any step."""

    def hold(self) -> None:
        """Do not, from now on. Each is followed by one `let_go`."""
        ...

    def let_go(self, failing: bool) -> None:
        """It may again. Raises what was held back, unless the thread is `failing` anyway: then that comes later."""
        ...


class _Here(threading.local):
    interrupter: Interrupter | None = None


#: The calling thread's own.
here = _Here()


class Shield:
    """`with SHIELDED:` nothing is raised from outside. Costs next to nothing in a thread that is never interrupted."""

    def __enter__(self) -> None:
        if here.interrupter is not None:
            here.interrupter.hold()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if here.interrupter is not None:
            here.interrupter.let_go(error is not None)


SHIELDED = Shield()
