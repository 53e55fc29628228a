"""What the worker's parts only log, though it should never happen, and silence for the rest of what they say."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

#: Logged when a part of taskforge itself stumbled; nothing that tasks do, and no fault of a network, leads to these.
NEVER = {"keeper_stumbled", "outcome_not_judged", "signal_receiver_failed", "backoff_failed", "exchanger_not_woken"}


class Mishaps(logging.Handler):
    """Listens to taskforge's log for the length of a `with`, in place of everybody else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self._logger = logging.getLogger("taskforge")

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg in NEVER:
            error = record.exc_info[1] if record.exc_info else None
            why = "".join(traceback.format_exception(error)) if error else ""
            self.found.append(f"{record.msg} was logged {why}".strip())

    def __enter__(self) -> Mishaps:
        logger = self._logger
        self._before = logger.level, logger.handlers, logger.propagate
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(logging.ERROR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        level, self._logger.handlers, self._logger.propagate = self._before
        self._logger.setLevel(level)
