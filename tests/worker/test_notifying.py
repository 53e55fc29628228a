"""What the service manager and the liveness file are told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge.errors import SettingsError
from taskforge.worker.notifying import LivenessFile, Manager, Outside


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The end at which a service manager listens, and its address."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.setblocking(False)
        yield listener, path


Listening = tuple[socket.socket, str]


def heard(listener: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(listener.recv(4096).decode())
        except BlockingIOError:
            return said


def test_a_service_says_that_it_is_ready_once_that_it_is_renewed_and_that_it_stops(manager: Listening) -> None:
    listener, path = manager
    telling = Manager({"NOTIFY_SOCKET": path})

    telling.ready()
    telling.ready()
    telling.reloading()
    telling.ready()
    telling.stopping()
    telling.stopping()

    ready, reloading, again, stopping = heard(listener)
    assert (ready, again, stopping) == ("READY=1", "READY=1", "STOPPING=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_the_watchdog_hears_from_us_twice_as_often_as_it_must(manager: Listening) -> None:
    listener, path = manager
    outside = Outside({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())})

    for now in (10.0, 10.2, 10.5, 10.6, 11.1):
        outside.well(now)

    assert heard(listener) == ["WATCHDOG=1"] * 3
    assert outside.pace == 0.5


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}], ids=["none", "another's"])
def test_a_watchdog_that_is_not_ours_hears_nothing(manager: Listening, environ: dict[str, str]) -> None:
    listener, path = manager
    outside = Outside({"NOTIFY_SOCKET": path, **environ})

    outside.well(10.0)

    assert heard(listener) == []


def test_without_a_manager_or_with_a_deaf_one_nothing_happens(tmp_path: Path) -> None:
    for telling in (Manager({}), Manager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})):
        telling.ready()
        telling.stopping()
        telling.ping(1.0)


def test_a_liveness_file_is_made_at_once_and_touched_once_a_second(tmp_path: Path) -> None:
    file = LivenessFile(tmp_path / "alive")
    ages = []

    for now in (10.0, 10.5, 11.0):
        os.utime(file.path, (1.0, 1.0))
        file.touch(now)
        ages.append(file.path.stat().st_mtime > 1.0)

    assert ages == [True, False, True]


def test_a_liveness_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"liveness file .*missing/alive' cannot be written: No such file"):
        LivenessFile(tmp_path / "missing" / "alive")


def test_one_that_cannot_be_touched_later_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = LivenessFile(folder / "alive")
    file.path.unlink()
    folder.rmdir()

    file.touch(1.0)
    file.touch(3.0)

    assert [record.message for record in caplog.records] == ["liveness_file_not_touched"]
