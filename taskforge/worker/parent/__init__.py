"""The parent of worker processes: keeps them alive, replaces, scales and stops them, and runs no jobs itself."""

from taskforge.worker.parent.parent import Parent
from taskforge.worker.parent.plan import Plan

__all__ = ["Parent", "Plan"]
