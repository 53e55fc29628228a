"""What an app declares of its queues: the defaults of their jobs, and how much of its past each keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from taskforge.brokers.protocol import Retention
from taskforge.checks import Keep, checked_queue_name
from taskforge.errors import OptionError
from taskforge.options import check
from taskforge.settings import Settings


class Queues:
    """Options by queue. A queue that is not declared is as good: it has none."""

    def __init__(self) -> None:
        self._declared: dict[str, dict[str, object]] = {}

    def declare(self, name: str, options: Mapping[str, object]) -> None:
        """Set a queue's options. Raises OptionError for what does not fit, or contradicts an earlier declaration."""
        checked_queue_name(name)
        checked = check(options, "queue", f"queue {name!r}")
        if self._declared.get(name, checked) != checked:
            raise OptionError(f"queue {name!r} is declared twice, with different options")
        self._declared[name] = checked

    def __getitem__(self, name: str) -> Mapping[str, object]:
        return self._declared.get(name, {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def retention(self, name: str, settings: Settings, defaults: Mapping[str, object]) -> Retention:
        """How much of its past a queue keeps, whatever the ages of its jobs. `defaults` are the app's options."""
        keeps = (self[name].get("keep"), defaults.get("keep"))
        counts = (keep.count for keep in keeps if isinstance(keep, Keep) and keep.count is not None)
        count = next(counts, settings.finished_count)
        return Retention(count, settings.result_count, settings.result_bytes, settings.dead_count)
