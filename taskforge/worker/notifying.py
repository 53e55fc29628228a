"""Tells the service manager (systemd) how this process fares, in its notify protocol; and a file, for probes."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from taskforge.errors import SettingsError

logger = logging.getLogger("taskforge.worker")

#: The manager's variables: they are for this process, not for its children.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
#: How often (seconds) a liveness file is touched.
TOUCH_EVERY = 1.0


class Manager:
    """The service manager, where there is one; else nothing is told to anybody."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._ready = self._said_stopping = False
        self._next_ping = 0.0
        #: How often (seconds) it wants to hear from us, halved as it advises; None: not at all.
        self.pace: float | None = None
        usec = environ.get("WATCHDOG_USEC", "")
        if self._address and usec.isdigit() and environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self.pace = int(usec) / 2e6

    def ready(self) -> None:
        """The service is up."""
        if not self._ready:
            self._ready = True
            self._tell("READY=1")

    def reloading(self) -> None:
        """It is being renewed; `ready` says when that is over."""
        self._ready = False
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """It ends."""
        if not self._said_stopping:
            self._said_stopping = True
            self._tell("STOPPING=1")

    def ping(self, now: float) -> None:
        """All is well, at this moment (monotonic seconds)."""
        if self.pace is not None and now >= self._next_ping:
            self._next_ping = now + self.pace
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that does not listen takes its own measures.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
            speaker.setblocking(False)
            speaker.connect(address)
            speaker.send(message.encode())


class LivenessFile:
    """A file whose age tells probes whether this worker lives. Raises SettingsError when it cannot be written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._next = 0.0
        self._failed = False
        try:
            self._touch()
        except OSError as error:
            raise SettingsError(
                f"the liveness file {str(path)!r} cannot be written: {error.strerror}; choose another"
            ) from error

    def touch(self, now: float) -> None:
        """All is well, at this moment (monotonic seconds)."""
        if now < self._next:
            return
        self._next = now + TOUCH_EVERY
        try:
            self._touch()
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.error("liveness_file_not_touched", extra={"path": str(self.path), "error": str(error)})
            self._failed = True

    def _touch(self) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.utime(fd)
        finally:
            os.close(fd)


class Outside:
    """All who are told how this process fares: nobody, unless they were named."""

    def __init__(self, environ: Mapping[str, str] | None = None, liveness_file: str | None = None) -> None:
        self.manager = Manager(os.environ if environ is None else environ)
        self.file = LivenessFile(liveness_file) if liveness_file else None

    @property
    def pace(self) -> float:
        """How often (seconds) `well` is to be called at least."""
        return min(TOUCH_EVERY, self.manager.pace or TOUCH_EVERY)

    def well(self, now: float) -> None:
        """All is well, at this moment (monotonic seconds). Not to be called when it is not."""
        self.manager.ping(now)
        if self.file is not None:
            self.file.touch(now)
