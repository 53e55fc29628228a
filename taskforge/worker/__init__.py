"""Where jobs run."""

from taskforge.worker.worker import Worker

__all__ = ["Worker"]
