"""Log lines for people: time, level, event and its facts."""

from __future__ import annotations

import logging

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}

#: Facts of several lines.
_BELOW = ("traceback", "stack", "stacks")


class Lines(logging.Formatter):
    """`12:00:01 4711 WARNING job_retried job=01j… task=photos.upload delay=5.0`, then what takes lines of its own: a
    traceback, or stacks.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(process)d %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        facts = {key: value for key, value in record.__dict__.items() if key not in _STANDARD and value is not None}
        below = [facts.pop(name) for name in _BELOW if name in facts]
        line, newline, trace = super().format(record).partition("\n")
        said = line + "".join(f" {key}={_fact(value)}" for key, value in facts.items()) + newline + trace
        return "\n".join([said, *map(str, below)]).rstrip()


def log_to_stderr(level: int) -> None:
    """Our own events from this level on, everybody else's from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING))
    logging.getLogger("taskforge").setLevel(level)


def _fact(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return repr(text) if " " in text or "\n" in text or not text else text
