"""The pen: child processes in which isolated runs run, one at a time each."""

from taskforge.worker.pen.pen import Pen

__all__ = ["Pen"]
