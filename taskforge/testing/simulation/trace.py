"""What happened in a simulation, line by line in plain words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Line:
    """One event. `hidden` when it turned out that nothing came of it."""

    at: float
    who: str
    what: str
    hidden: bool = False


class Trace:
    """Lines with the time (seconds) and who did it. `now` tells the time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.lines: list[Line] = []
        self._now = now
        self._closed = False

    def say(self, who: str, what: str) -> Line:
        """Add a line."""
        line = Line(self._now(), who, what)
        if not self._closed:
            self.lines.append(line)
        return line

    def close(self) -> None:
        """Nothing that counts happens any more."""
        self._closed = True

    def __str__(self) -> str:
        shown = [line for line in self.lines if not line.hidden]
        width = max((len(line.who) for line in shown), default=0)
        return "\n".join(f"{line.at:9.3f} s  {line.who:{width}}  {line.what}" for line in shown)
