"""The parent of worker processes, with small programs for children."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge.settings import Settings
from taskforge.worker import supervisor
from taskforge.worker.supervisor import Supervisor
from tests.servers import wait_until

#: Writes one line when it is ready, then does what its argument says; ends when its parent does.
CHILD = """
import os, signal, sys
book, then = sys.argv[1:3]
signal.signal(signal.SIGTERM, lambda *_: None)
with open(book, "a") as file:
    file.write(f"{os.getpid()} {os.getsid(0) == os.getpid()}\\n")
if then.isdigit():
    sys.exit(int(then))
while os.read(int(sys.argv[-1]), 1):
    if then == "obey":
        sys.exit(0)
"""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book"
    path.touch()
    return path


def parent(book: Path, then: str, count: int = 2, *, burst: bool = False) -> Supervisor:
    settings = Settings(grace=Settings().stop_grace * 0, stop_grace=Settings().stop_grace * 0)
    return Supervisor([sys.executable, "-c", CHILD, str(book), then], count, settings, burst=burst)


def pids(book: Path) -> list[int]:
    return [int(line.split()[0]) for line in book.read_text().splitlines()]


def meanwhile(action: object, *args: object) -> threading.Thread:
    thread = threading.Thread(target=action, args=args)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_it_starts_so_many_children_each_in_a_session_of_its_own_and_stops_them(book: Path) -> None:
    def stop_both() -> None:
        wait_until(lambda: len(pids(book)) == 2, 20)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = meanwhile(stop_both)
    code = parent(book, "obey").run()
    thread.join(20)

    assert code == 0
    assert [line.split()[1] for line in book.read_text().splitlines()] == ["True", "True"]


def test_a_child_that_dies_is_replaced(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.01)

    def kill_one() -> None:
        wait_until(lambda: len(pids(book)) == 1, 20)
        os.kill(pids(book)[0], signal.SIGKILL)
        wait_until(lambda: len(pids(book)) == 2, 20)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = meanwhile(kill_one)
    code = parent(book, "obey", 1).run()
    thread.join(20)

    assert len(set(pids(book))) == 2
    assert code == 0, "the children that were there at the end ended in order"


def test_children_that_keep_dying_at_start_are_given_up(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.001)

    code = parent(book, "3", 1).run()

    assert code != 0
    assert len(pids(book)) == supervisor.GIVE_UP


def test_in_burst_mode_it_ends_when_its_children_are_done(book: Path) -> None:
    assert parent(book, "0", burst=True).run() == 0
    assert len(pids(book)) == 2


def test_a_child_that_outstays_every_grace_is_killed(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MARGIN", 0.2)

    def stop() -> None:
        wait_until(lambda: len(pids(book)) == 1, 20)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = meanwhile(stop)
    code = parent(book, "deaf", 1).run()
    thread.join(20)

    assert code == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids(book)[0], 0)
