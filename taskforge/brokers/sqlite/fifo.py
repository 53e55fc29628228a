"""Bells and ears between processes: FIFOs in a folder beside the database."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import select
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from taskforge.brokers.sqlite.bells import Ear
from taskforge.brokers.sqlite.polling import POLLS, Polling, readable, take
from taskforge.brokers.sqlite.troubles import no_folder

log = logging.getLogger(__name__)

#: A write of at most this many bytes to a FIFO is not torn (PIPE_BUF on Linux).
_WHOLE = 4096
#: An ear younger than this (seconds) is left alone by the sweep.
_YOUNG = 60.0


class FifoBells:
    """Bells between processes: a FIFO per queue in a folder beside the database.

    A waiting worker holds its FIFOs open, also while it is busy, so that a bell rung between its last look and its next
    wait is not lost. Of several that poll one FIFO, one reads the byte. A byte that nobody needed costs one empty look.
    """

    def __init__(self, folder: Path, changes: Callable[[], object]) -> None:
        self._folder, self._changes = folder, changes
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._paths: dict[str, str] = {}
        self._open: dict[str, int] = {}  # queue → its FIFO, once waited for
        self._pipe: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._polling: Polling | None = None  # used instead where no FIFO can be made

    def ring(self, queues: Iterable[str]) -> None:
        for queue in queues:
            try:
                fd = os.open(self._path(queue), os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue  # no such FIFO, or nobody has it open: nobody waits
            try:
                if not _unread(fd):
                    os.write(fd, b"!")
            except OSError:
                pass  # its last reader went away just now
            finally:
                os.close(fd)

    def arm(self, queues: Sequence[str]) -> bool:
        self._settle_in()
        if self._polling is not None:
            return False
        try:
            return sum(self._arm(queue) for queue in queues) > 0
        except OSError as error:
            log.warning("no FIFO can be made in %s (%s): who waits polls the database instead", self._folder, error)
            self._polling = Polling(self._changes)
            return True

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        until = time.monotonic() + timeout
        woken = self._wake_pipe()[0]
        if self._polling is not None:
            return self._polling.wait(woken, until)
        poll = select.poll()
        for fd in (woken, *(self._open[queue] for queue in queues)):
            poll.register(fd, select.POLLIN)
        while True:
            heard = [fd for fd, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)]
            if woken in heard and take(woken, 4096):
                return False
            if any(take(fd) for fd in heard if fd != woken) or time.monotonic() >= until:
                return True

    def wake(self) -> None:
        with suppress(BlockingIOError):  # full of wakes already
            os.write(self._wake_pipe()[1], b"!")

    def forget(self, queue: str) -> None:
        with suppress(OSError):
            os.unlink(self._path(queue))
        self._paths.pop(queue, None)

    def sweep(self) -> None:
        with suppress(OSError):
            for path in self._folder.glob("w*"):
                _remove_if_deaf(path)

    def tell(self, channel: str, ids: Sequence[str]) -> bool:
        if channel.startswith(POLLS):
            return True
        path = f"{self._folder}/{channel}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:
                with suppress(OSError):
                    os.unlink(path)  # left by a process that died
            return error.errno not in (errno.ENXIO, errno.ENOENT)
        try:
            for lines in _lines(ids):
                os.write(fd, lines)
        except OSError:
            pass  # full, or gone just now: its owner reads again
        finally:
            os.close(fd)
        return True

    def ear(self, channel: str = "") -> Ear:
        return FifoEar(self._folder, channel)

    def close(self) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])
            if self._pipe is not None:
                for fd in self._pipe:
                    os.close(fd)
                self._pipe = None

    def _path(self, queue: str) -> str:
        """A name that any queue's name can be turned into without asking the database."""
        path = self._paths.get(queue)
        if path is None:
            path = f"{self._folder}/q{blake2b(queue.encode(), digest_size=8).hexdigest()}"
            self._paths[queue] = path
        return path

    def _settle_in(self) -> None:
        if self._pid != os.getpid():
            self._begin()  # a fork: these files are the parent's, left open and unused

    def _wake_pipe(self) -> tuple[int, int]:
        self._settle_in()
        with self._lock:
            if self._pipe is None:
                self._pipe = os.pipe()
                for fd in self._pipe:
                    os.set_blocking(fd, False)
            return self._pipe

    def _arm(self, queue: str) -> bool:
        """Have the queue's FIFO open; True when it was not."""
        fd, path = self._open.get(queue), self._path(queue)
        if fd is not None:
            with suppress(OSError):
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    return False
            os.close(self._open.pop(queue))
        self._open[queue] = _open_fifo(path)
        return True


class FifoEar:
    """An ear for other processes: a FIFO of its own, in which each line is an id as a JSON string."""

    def __init__(self, folder: Path, channel: str = "") -> None:
        self._folder = folder
        self._begin(channel)

    def _begin(self, channel: str = "") -> None:
        self._pid = os.getpid()
        self.channel = channel or "w" + secrets.token_hex(8)
        self._path = f"{self._folder}/{self.channel}"
        self._fd = _open_fifo(self._path)
        self._rest = b""
        self._closed = False

    def check(self) -> None:
        if self._pid != os.getpid():
            self._begin()  # a fork: the channel is the parent's
        elif not os.path.exists(self._path):
            fd = _open_fifo(self._path)
            os.dup2(fd, self._fd)  # a listener under way finishes on the old file
            os.close(fd)

    def expect(self, job_id: str) -> None:
        """Nothing to do: we are told."""

    def listen(self, timeout: float) -> list[str]:
        if self._closed or not readable(self._fd, timeout) or self._closed:
            return []
        with suppress(BlockingIOError):
            self._rest += os.read(self._fd, 1 << 16)
        *lines, self._rest = self._rest.split(b"\n")
        return [str(json.loads(line)) for line in lines if line]

    def close(self) -> None:
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        with suppress(BlockingIOError):
            os.write(self._fd, b"\n")  # wakes a listener, who may be using the file: it is closed with this object

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # it may not have come to open a file
            os.close(self._fd)


def _remove_if_deaf(path: Path) -> None:
    """Remove the FIFO of an ear whose process died without a word."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime < _YOUNG:
            return  # it may have been made, and not yet opened
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno == errno.ENXIO:
                path.unlink()


def _open_fifo(path: str) -> int:
    """The FIFO of this path, made if there is none, and the folder of bells with it.

    Never the database's own folder: while that is missing every call is refused, and here it would come back empty.
    """
    folder = os.path.dirname(path)
    try:
        os.mkdir(folder)
    except FileExistsError:
        pass
    except (FileNotFoundError, NotADirectoryError):
        raise no_folder(Path(folder).parent) from None
    with suppress(FileExistsError):
        os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def _unread(fd: int) -> int:
    """How many bytes wait in a FIFO."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])


def _lines(ids: Sequence[str]) -> Iterable[bytes]:
    """The ids as lines, in pieces that a FIFO takes whole."""
    piece = b""
    for line in (json.dumps(job_id).encode() + b"\n" for job_id in ids):
        if len(piece) + len(line) > _WHOLE:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece
