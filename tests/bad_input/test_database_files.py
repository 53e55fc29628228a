"""Database files that are none of ours, locked, full, not writable, or that go away: told of, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taskforge import BrokerRefused, BrokerUnavailable, BrokerUnsupported, JobState, Taskforge
from tests.bad_input.harness import LIMIT, an_app, assert_alive, run_ready, script, seconds_of
from tests.servers import wait_until

#: How much later than its deadline (seconds) a call may give up on a busy machine.
LATE = 1.5


def _add(a: int) -> int:
    return a + 1


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


CALLS: dict[str, Callable[[Taskforge], object]] = {
    "open": lambda app: app.broker.open(),
    "enqueue": lambda app: app.enqueue("shop.add", 1),
    "read": lambda app: app.inspector.queues(),
    "state": lambda app: app.job("x").state(),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "content", [b"Dear diary, " * 1_000, os.urandom(8_192), b"hello"], ids=["text", "noise", "short"]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(sqlite_url: str, content: bytes, name: str) -> None:
    _file(sqlite_url).write_bytes(content)

    with an_app(sqlite_url) as app, pytest.raises(BrokerUnsupported, match="no SQLite database; name another file"):
        CALLS[name](app)

    assert _file(sqlite_url).read_bytes() == content


def test_waiting_on_a_file_that_is_no_database_is_refused_and_can_be_closed(sqlite_url: str) -> None:
    _file(sqlite_url).write_bytes(b"Dear diary, " * 1_000)
    app = Taskforge("shop", broker=sqlite_url)
    before = threading.enumerate()

    with pytest.raises(BrokerUnsupported, match="no SQLite database; name another file"):
        app.job("x").result(0.1)

    app.close()

    wait_until(lambda: not set(threading.enumerate()) - set(before), LIMIT, "the end of the thread that listens")


def test_another_programs_database_is_refused_and_left_as_it_is(sqlite_url: str) -> None:
    with sqlite3.connect(_file(sqlite_url)) as theirs:
        theirs.execute("create table recipes(name)")
    theirs.close()

    with (
        an_app(sqlite_url) as app,
        pytest.raises(BrokerUnsupported, match="another program's tables.*a file of its own"),
    ):
        app.enqueue("shop.add", 1)

    with sqlite3.connect(_file(sqlite_url)) as theirs:
        assert theirs.execute("select name from sqlite_master").fetchall() == [("recipes",)]
    theirs.close()


@pytest.mark.parametrize("epoch, level, side", [(2, 1, "newer"), (1, 99, "newer"), (0, 1, "older")])
def test_a_layout_of_another_epoch_is_refused_with_what_to_do(
    sqlite_url: str, epoch: int, level: int, side: str
) -> None:
    with an_app(sqlite_url) as app:
        app.enqueue("shop.add", 1)
    with sqlite3.connect(_file(sqlite_url)) as db:
        db.execute("update meta set epoch = ?, level = ?", (epoch, level))
    db.close()

    with an_app(sqlite_url) as app:
        with pytest.raises(BrokerUnsupported, match=f"layout {epoch}.{level}, written by a {side} taskforge.*install"):
            app.enqueue("shop.add", 2)


def test_a_damaged_database_is_refused_with_what_to_do(sqlite_url: str) -> None:
    with an_app(sqlite_url) as app:
        for number in range(200):
            app.enqueue("shop.add", number)
    damaged = bytearray(_file(sqlite_url).read_bytes())
    damaged[4_096:] = b"\xa5" * (len(damaged) - 4_096)
    _file(sqlite_url).write_bytes(damaged)

    with an_app(sqlite_url) as app, pytest.raises(BrokerUnsupported, match="is damaged; put back a copy, or move"):
        app.enqueue("shop.add", 1)


# Locked


def test_a_database_locked_by_another_program_gives_up_at_the_deadline_and_says_what_to_close(sqlite_url: str) -> None:
    with an_app(sqlite_url, call_timeout=0.5) as app:
        app.task(name="shop.add")(_add)
        first = app.enqueue("shop.add", 1)
        browser = sqlite3.connect(_file(sqlite_url), isolation_level=None)
        browser.execute("begin exclusive")

        def enqueue() -> None:
            with pytest.raises(BrokerUnavailable, match="locked by another program; close what holds it"):
                app.enqueue("shop.add", 2)

        assert seconds_of(enqueue) < 0.5 + LATE

        browser.close()
        second = app.enqueue("shop.add", 3)
        run_ready(app)
        assert (first.result(0), second.result(0)) == (2, 4)


def test_a_new_database_locked_by_another_program_is_told_of_and_used_later(sqlite_url: str) -> None:
    browser = sqlite3.connect(_file(sqlite_url), isolation_level=None)
    browser.execute("begin exclusive")

    with an_app(sqlite_url, call_timeout=0.5) as app:
        with pytest.raises(BrokerUnavailable, match="locked by another program"):
            app.enqueue("shop.add", 1)
        browser.close()

        assert app.enqueue("shop.add", 1).new


def test_a_worker_outlives_a_lock_and_settles_once_it_is_gone(sqlite_url: str) -> None:
    running, go_on, lost = threading.Event(), threading.Event(), threading.Event()
    with an_app(sqlite_url, call_timeout=0.3) as app:
        app.task(name="shop.add")(_add)
        app.signals.broker_lost.connect(lambda *_, **__: lost.set(), weak=False)

        @app.task(name="shop.hold")
        def hold() -> int:
            running.set()
            assert go_on.wait(LIMIT)
            return 7

        held = hold.enqueue()
        with app.worker(threads=1) as worker:
            assert running.wait(LIMIT)
            browser = sqlite3.connect(_file(sqlite_url), isolation_level=None)
            browser.execute("begin exclusive")
            go_on.set()
            assert lost.wait(LIMIT), "it did not notice"

            browser.close()

            assert held.result(LIMIT) == 7
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            assert_alive(worker)


# Full, or not writable

FULL = """
import resource, sys, threading
from pathlib import Path
from taskforge import BrokerRefused, Taskforge

app = Taskforge("shop", broker=sys.argv[1], call_timeout=1)
ran = []

@app.task(name="shop.take")
def take(data): ran.append(len(data))

jobs = [take.enqueue(b"x" * 1_000)]
size = max(path.stat().st_size for path in Path(sys.argv[1].removeprefix("sqlite:///")).parent.iterdir())
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, hard))
refusal = None
for _ in range(100):
    try:
        jobs.append(take.enqueue(b"x" * 20_000))
    except BrokerRefused as error:
        refusal = error
        break
assert refusal is not None, "it was never full"
print(refusal)
assert app.inspector.counts("default").ready == len(jobs), (app.inspector.counts("default"), len(jobs))

resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
jobs.append(take.enqueue(b"x"))
with app.worker(threads=1, burst=True) as worker:
    assert worker.wait(20)
assert len(ran) == len(jobs), (len(ran), len(jobs))
app.close()
"""


def test_a_file_that_may_not_grow_refuses_new_jobs_keeps_the_old_ones_and_goes_on_later(sqlite_url: str) -> None:
    said = script(FULL, sqlite_url)

    assert "check the disk" in said or "free some space" in said


def test_a_full_disk_refuses_new_jobs_keeps_the_old_ones_and_goes_on_later(small_disk: Path) -> None:
    with an_app(f"sqlite:///{small_disk / 'jobs.db'}") as app:
        app.task(name="shop.take")(lambda data: len(data))
        accepted = [app.enqueue("shop.take", b"x" * 100)]
        ballast = small_disk / "ballast"
        _fill(ballast)

        def go_on() -> None:
            for _ in range(50):
                accepted.append(app.enqueue("shop.take", b"x" * 50_000))

        with pytest.raises(BrokerRefused, match="the disk is full; free some space"):
            go_on()

        counts = app.inspector.counts("default")
        assert counts.ready == len(accepted)
        ballast.unlink()
        accepted.append(app.enqueue("shop.take", b"x"))
        run_ready(app)
        assert {job.state() for job in accepted} == {JobState.SUCCEEDED}


def test_a_worker_outlives_a_full_disk(small_disk: Path) -> None:
    with an_app(f"sqlite:///{small_disk / 'jobs.db'}") as app:
        ballast, running, go_on = small_disk / "ballast", threading.Event(), threading.Event()

        @app.task(name="shop.hold")
        def hold() -> bytes:
            running.set()
            assert go_on.wait(LIMIT)
            return b"x" * 30_000

        jobs = [hold.enqueue() for _ in range(8)]
        with app.worker(threads=1) as worker:
            assert running.wait(LIMIT)
            _fill(ballast)
            lost = threading.Event()
            app.signals.broker_lost.connect(lambda *_, **__: lost.set(), weak=False)
            go_on.set()
            assert lost.wait(LIMIT), "it was never full"

            ballast.unlink()

            for job in jobs:
                assert len(job.result(LIMIT)) == 30_000
            assert_alive(worker)


def test_a_folder_in_place_of_the_file_is_refused_with_what_to_name(tmp_path: Path) -> None:
    with an_app(f"sqlite:///{tmp_path}") as app, pytest.raises(BrokerRefused, match="name a file in a folder"):
        app.enqueue("shop.add", 1)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with an_app(f"sqlite:///{tmp_path / 'none' / 'jobs.db'}") as app:
        with pytest.raises(BrokerRefused, match=f"the folder {tmp_path / 'none'} does not exist; make it"):
            app.enqueue("shop.add", 1)


def test_a_file_in_place_of_the_folder_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with an_app(f"sqlite:///{tmp_path / 'file' / 'jobs.db'}") as app, pytest.raises(BrokerRefused, match="the folder"):
        app.enqueue("shop.add", 1)


def test_a_read_only_disk_is_refused_with_what_to_check(small_disk: Path, remount: Callable[[str], None]) -> None:
    url = f"sqlite:///{small_disk / 'jobs.db'}"
    with an_app(url) as app:
        kept = app.enqueue("shop.add", 1)
    remount("ro")

    with an_app(url) as app:
        with pytest.raises(BrokerRefused, match="check the permissions|name a file in a folder that you may write to"):
            app.enqueue("shop.add", 2)

    remount("rw")
    with an_app(url) as app:
        assert app.job(kept.id).state() is JobState.READY


def _fill(file: Path) -> None:
    """Take all the room there is on a disk."""
    with file.open("wb", buffering=0) as ballast:
        for size in (65_536, 4_096, 512):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


# Gone


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "replaced"])
def test_a_file_deleted_under_a_live_worker_is_told_of_and_the_new_one_served(
    sqlite_url: str, again: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with an_app(sqlite_url) as app:
        app.task(name="shop.add")(_add)
        with app.worker(threads=1) as worker:
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            for path in _file(sqlite_url).parent.glob(f"{_file(sqlite_url).name}*"):
                if not path.name.endswith("-bells"):
                    path.unlink()
            if again:
                with an_app(sqlite_url) as other:
                    earlier = other.enqueue("shop.add", 10)

            later = app.enqueue("shop.add", 2)

            assert later.result(LIMIT) == 3
            if again:
                assert app.job(earlier.id).result(LIMIT) == 11
            assert_alive(worker)

    assert "was deleted or replaced while in use" in caplog.text


def test_a_whole_folder_deleted_under_a_live_worker_is_served_again_once_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with an_app(f"sqlite:///{folder / 'jobs.db'}", call_timeout=0.5) as app:
        app.task(name="shop.add")(_add)
        with app.worker(threads=1) as worker:
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            # In one step: the worker would make new files while the old ones are deleted one by one.
            folder.rename(tmp_path / "gone")
            with pytest.raises(BrokerRefused, match="does not exist; make it"):
                app.enqueue("shop.add", 2)

            folder.mkdir()

            job = app.enqueue("shop.add", 3)
            wait_until(lambda: job.state() is JobState.SUCCEEDED, LIMIT, "a run on the new file")
            assert_alive(worker)


def test_a_run_whose_database_was_replaced_is_not_settled_in_the_new_one(sqlite_url: str) -> None:
    running, go_on = threading.Event(), threading.Event()
    with an_app(sqlite_url) as app:
        app.task(name="shop.add")(_add)

        @app.task(name="shop.hold")
        def hold() -> None:
            running.set()
            assert go_on.wait(LIMIT)

        hold.enqueue()
        with app.worker(threads=1) as worker:
            assert running.wait(LIMIT)
            _file(sqlite_url).unlink()
            go_on.set()

            assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            assert_alive(worker)
        assert app.inspector.counts("default").succeeded == 1


def test_durability_that_a_file_cannot_give_is_refused(sqlite_url: str) -> None:
    with an_app(sqlite_url, durability="replicated") as app:
        with pytest.raises(BrokerUnsupported, match="only default or disk.*redis:// broker"):
            app.enqueue("shop.add", 1)
