"""What only the SQLite broker can get wrong: its file, its locks, its bells, forks."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from taskforge.brokers.protocol import BrokerSettings, Demand, Exchange
from taskforge.brokers.sqlite import SqliteBroker, layout
from taskforge.brokers.sqlite.queues import forget_idle
from taskforge.brokers.sqlite.verbs import SMALL_BODY
from taskforge.brokers.stamp import Sender
from taskforge.errors import BrokerRefused, BrokerUnavailable, BrokerUnsupported, SettingsError, StaleCall
from taskforge.job import JobState, NewJob
from taskforge.settlement import Ack, Requeue
from taskforge.testing import FakeClock

ANY = Demand((10,), (("mail", (0,)),))
HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., SqliteBroker]]:
    """Makes brokers on the file, closed when the test ends."""
    opened: list[SqliteBroker] = []

    def connect(url: str = f"sqlite:///{path}", prefix: str = "test", **settings: object) -> SqliteBroker:
        broker = SqliteBroker(url, BrokerSettings(prefix=prefix, **settings))  # type: ignore[arg-type]
        opened.append(broker)
        return broker

    yield connect
    for broker in opened:
        broker.close()


def put(broker: SqliteBroker, *ids: str, queue: str = "mail") -> None:
    broker.enqueue([NewJob(job_id, queue, b"body") for job_id in ids], Sender().stamp())


def claimed(broker: SqliteBroker) -> list[str]:
    return [delivery.id for delivery in broker.exchange(ANY, [], Sender().stamp()).deliveries]


def test_a_url_without_a_file_is_refused_with_examples() -> None:
    for url in ("sqlite://", "sqlite:///", "sqlite:////", "sqlite:///:memory:", "sqlite://host/jobs.db"):
        with pytest.raises(SettingsError, match="memory://"):
            SqliteBroker(url, BrokerSettings(prefix="test"))


def test_a_relative_path_keeps_its_meaning_when_the_directory_changes(
    connect: Callable[..., SqliteBroker], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    broker = connect("sqlite:///jobs.db")

    monkeypatch.chdir("/")
    broker.open()

    assert path.exists()
    assert broker.describe() == f"sqlite:///{path}"


def test_a_missing_folder_is_named(connect: Callable[..., SqliteBroker], path: Path) -> None:
    broker = connect(f"sqlite:///{path.parent}/nowhere/jobs.db")

    with pytest.raises(BrokerRefused, match="nowhere does not exist"):
        broker.open()


def test_a_folder_is_no_database(connect: Callable[..., SqliteBroker], path: Path) -> None:
    path.mkdir()

    with pytest.raises(BrokerRefused, match=r"jobs\.db cannot be opened"):
        connect().open()


def test_a_file_that_is_no_database_is_refused_and_kept(connect: Callable[..., SqliteBroker], path: Path) -> None:
    path.write_text("shopping list\n" * 100)

    with pytest.raises(BrokerUnsupported, match="no SQLite database"):
        put(connect(), "a")

    assert path.read_text().startswith("shopping list")


def test_another_programs_database_is_refused_and_kept(connect: Callable[..., SqliteBroker], path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("create table users(name)")
    other.close()

    with pytest.raises(BrokerUnsupported, match="a file of its own"):
        connect().open()

    with sqlite3.connect(path) as other:
        assert other.execute("select name from sqlite_master").fetchall() == [("users",)]
    other.close()


@pytest.mark.parametrize(("epoch", "level", "served"), [(1, 2, True), (1, 3, True), (1, 4, False), (2, 1, False)])
def test_a_layout_of_another_epoch_or_too_far_ahead_is_refused(
    connect: Callable[..., SqliteBroker], path: Path, epoch: int, level: int, served: bool
) -> None:
    connect().open()
    with sqlite3.connect(path) as db:
        db.execute("update meta set epoch = ?, level = ?", (epoch, level))
    db.close()

    broker = connect()

    if served:
        broker.open()
    else:
        with pytest.raises(BrokerUnsupported, match=f"layout {epoch}.{level}, written by a newer taskforge"):
            broker.open()


def test_a_file_made_before_bodies_stood_beside_their_jobs_is_served(
    connect: Callable[..., SqliteBroker], path: Path
) -> None:
    broker = connect()
    put(broker, "a", "b")
    broker.close()
    with sqlite3.connect(path) as db:
        db.execute("insert into bodies(seq, body) select seq, body from jobs")
        db.execute("alter table jobs drop column ahead")
        db.execute("alter table jobs drop column body")
    db.close()

    put(connect(), "c")

    deliveries = connect().exchange(ANY, [], Sender().stamp()).deliveries
    assert [(delivery.id, delivery.body) for delivery in deliveries] == [(job_id, b"body") for job_id in "abc"]


def test_a_migration_that_fails_leaves_nothing(
    connect: Callable[..., SqliteBroker], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.sql"
    broken.write_text("create table half(x);\ncreate table half(x);\n")
    monkeypatch.setattr(layout, "LEVELS", (*layout.LEVELS, broken))

    with pytest.raises(sqlite3.OperationalError):
        connect().open()

    monkeypatch.undo()
    connect().open()


def test_durability_that_sqlite_cannot_give_is_refused_at_the_first_call(
    connect: Callable[..., SqliteBroker], tmp_path: Path
) -> None:
    for url, durability in [(f"sqlite:///{tmp_path}/unused.db", "replicated"), ("memory://", "disk")]:
        broker = connect(url, durability=durability)

        with pytest.raises(BrokerUnsupported, match=f"durability '{durability}'"):
            broker.enqueue([], Sender().stamp())


def test_a_file_that_stays_locked_is_unavailable_and_the_call_can_be_sent_again(
    connect: Callable[..., SqliteBroker], path: Path
) -> None:
    broker, stamp = connect(timeout=timedelta(milliseconds=20)), Sender().stamp()
    broker.open()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")

    with pytest.raises(BrokerUnavailable, match=r"jobs\.db stayed locked by another program"):
        broker.enqueue([NewJob("a", "mail", b"")], stamp)

    holder.close()
    assert broker.enqueue([NewJob("a", "mail", b"")], stamp)[0].new


def test_a_full_disk_refuses_the_call_and_changes_nothing(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    broker.open()
    with broker._connections.read() as db:
        db.execute("pragma max_page_count = 1")  # not below what the file has: it cannot grow from here

    with pytest.raises(BrokerRefused, match="disk is full"):
        broker.enqueue([NewJob("a", "mail", b"x" * 100_000)], Sender().stamp())

    assert broker.inspector.get("mail", "a") is None


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_deleted_under_a_live_broker_is_made_anew_and_said(
    connect: Callable[..., SqliteBroker], path: Path, caplog: pytest.LogCaptureFixture, replaced: bool
) -> None:
    broker = connect()
    put(broker, "before")

    for file in path.parent.glob("jobs.db*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    if replaced:
        put(connect(), "by another process")
    with caplog.at_level(logging.WARNING):
        put(broker, "after")
        put(broker, "more")

    assert claimed(broker) == (["by another process"] if replaced else []) + ["after", "more"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "deleted or replaced" in caplog.text


def test_a_waiting_worker_hears_the_bell_after_the_folder_was_deleted(
    connect: Callable[..., SqliteBroker], path: Path
) -> None:
    broker = connect()
    broker.wait(["mail"], 0)
    shutil.rmtree(path.parent / "jobs.db-bells")
    broker.wait(["mail"], 0)

    put(connect(), "a")

    assert rang(broker, "mail")


def test_calls_of_many_threads_do_not_fail_for_being_many(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()

    def put_each(*ids: str) -> None:
        for job_id in ids:
            put(broker, job_id)

    threads = [threading.Thread(target=put_each, args=[f"{name} {n}" for n in range(20)]) for name in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert broker.inspector.counts("mail").ready == 160


def test_processes_that_make_the_file_at_the_same_time_all_succeed(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(4)

    def run(name: str) -> None:
        broker = SqliteBroker(f"sqlite:///{path}", BrokerSettings(prefix="test"))
        barrier.wait(10)
        put(broker, name)

    children = [fork.Process(target=run, args=(f"{n}",)) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(20)

    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    assert len(claimed(SqliteBroker(f"sqlite:///{path}", BrokerSettings(prefix="test")))) == 4


def in_a_fork(what: Callable[[], object]) -> int:
    """The exit code of a forked child that runs `what`; 1 when it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            what()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_begins_anew_and_the_parent_goes_on(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    put(broker, "parent")
    broker.wait(["mail"], 0)
    inherited = broker._connections._idle

    def child() -> None:
        assert broker.wait(["mail"], 0)
        put(broker, "child")
        assert broker._connections._idle is not inherited

    assert in_a_fork(child) == 0
    put(broker, "parent again")

    assert claimed(broker) == ["parent", "child", "parent again"]


def test_a_forked_child_cannot_use_the_jobs_in_memory(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect("memory://")
    put(broker, "a")

    def child() -> None:
        for call in (lambda: put(broker, "b"), lambda: broker.wait(["mail"], 0), broker.waiter, broker.open):
            with pytest.raises(BrokerUnsupported, match="in the process that made it"):
                call()

    assert in_a_fork(child) == 0
    assert claimed(broker) == ["a"]


def test_two_brokers_in_memory_share_nothing(connect: Callable[..., SqliteBroker]) -> None:
    one, other = connect("memory://"), connect("memory://")

    put(one, "a")

    assert claimed(other) == []


def test_two_apps_on_one_file_do_not_see_each_other(connect: Callable[..., SqliteBroker]) -> None:
    one, other = connect(prefix="one"), connect(prefix="other")
    other.wait(["mail"], 0)

    put(one, "a")
    one.announce(["mail"])

    assert claimed(other) == []
    assert (other.inspector.queues(), other.inspector.find("a")) == ([], [])
    assert not rang(other, "mail")


def rang(broker: SqliteBroker, queue: str) -> bool:
    """Whether the queue's bell has a token for this broker."""
    fd = broker._bells._open[broker._calls.bell(queue)]  # type: ignore[attr-defined]
    try:
        return bool(os.read(fd, 1))
    except BlockingIOError:
        return False


def test_a_bell_holds_one_token_however_often_it_rings(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    broker.wait(["mail"], 0)

    for n in range(10):
        put(broker, str(n))

    assert rang(broker, "mail")
    assert not rang(broker, "mail")


def test_what_came_before_the_first_wait_is_not_slept_over(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    put(broker, "a")

    began = time.monotonic()
    assert broker.wait(["mail"], 30)

    assert time.monotonic() - began < 15


def test_a_claim_that_leaves_jobs_wakes_another_worker(connect: Callable[..., SqliteBroker]) -> None:
    one, other = connect(), connect()
    put(one, *(str(n) for n in range(20)))
    other.wait(["mail"], 0)
    assert not rang(other, "mail")

    claimed(one)

    assert rang(other, "mail")


@pytest.fixture
def no_fifos(monkeypatch: pytest.MonkeyPatch) -> None:
    def mkfifo(path: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mkfifo", mkfifo)


@pytest.mark.usefixtures("no_fifos")
def test_without_fifos_a_worker_hears_of_changes_by_looking(
    connect: Callable[..., SqliteBroker], caplog: pytest.LogCaptureFixture
) -> None:
    broker, other = connect(), connect()
    broker.wait(["mail"], 0)
    broker.wait(["mail"], 0)

    put(other, "a")

    began = time.monotonic()
    assert broker.wait(["mail"], 30)
    assert time.monotonic() - began < 15
    broker.wake()
    assert not broker.wait(["mail"], 30)
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("no_fifos")
def test_without_fifos_a_waiter_hears_of_ends_by_looking(connect: Callable[..., SqliteBroker]) -> None:
    broker, other = connect(), connect()
    put(broker, "a", "b")
    waiter = broker.waiter()
    waiter.watch("mail", "a")
    waiter.watch("mail", "b")
    first = other.exchange(ANY, [], Sender().stamp()).deliveries[0]

    other.exchange(Demand(), [Ack(first, HOUR, HOUR)], Sender().stamp())

    assert waiter.listen(10) == ["a"]
    waiter.close()


def test_the_channel_of_a_dead_waiter_is_removed_when_it_would_be_told(
    connect: Callable[..., SqliteBroker], path: Path
) -> None:
    broker = connect()
    put(broker, "a", "b")

    def child() -> None:
        waiter = broker.waiter()
        waiter.watch("mail", "a")
        waiter.watch("mail", "b")

    assert in_a_fork(child) == 0
    bells = path.parent / "jobs.db-bells"
    assert list(bells.glob("w*"))

    broker.inspector.cancel("mail", ["a"], HOUR, Sender().stamp())

    assert list(bells.glob("w*")) == []
    with broker._connections.read() as db:
        assert db.execute("select count(*) from waiters").fetchone()[0] == 0


def test_a_job_keeps_few_waiters_and_the_latest_are_told(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect("memory://")
    put(broker, "a")
    waiters = [broker.waiter() for _ in range(40)]
    for waiter in waiters:
        waiter.watch("mail", "a")

    broker.inspector.cancel("mail", ["a"], HOUR, Sender().stamp())

    assert [bool(waiter.listen(0)) for waiter in waiters] == [False] * 8 + [True] * 32


def test_a_forgotten_queue_leaves_nothing_and_does_not_repeat_delivery_numbers(
    connect: Callable[..., SqliteBroker], path: Path
) -> None:
    clock = FakeClock()
    broker = connect(clock=clock)
    broker.wait(["mail"], 0)
    put(broker, "a")
    (first,) = broker.exchange(ANY, [], Sender().stamp()).deliveries
    broker.exchange(Demand(), [Ack(first, timedelta(0), HOUR)], Sender().stamp())
    clock.advance(3600)
    broker.exchange(ANY, [], Sender().stamp())
    clock.advance(25 * 3600)
    broker.announce(["other"])
    with broker._connections.read() as db:
        assert db.execute("select name from queues").fetchall() == [("other",)]
    assert list((path.parent / "jobs.db-bells").iterdir()) == []

    put(broker, "a")

    assert broker.exchange(ANY, [], Sender().stamp()).deliveries[0].number > first.number


def test_a_queue_with_jobs_is_not_forgotten(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    put(broker, "a")

    with broker._connections.write() as db:
        forget_idle(db, "test", 1 << 50)

    assert claimed(broker) == ["a"]


def test_a_checkpoint_moves_the_log_into_the_file(connect: Callable[..., SqliteBroker], path: Path) -> None:
    broker = connect()
    put(broker, *(str(n) for n in range(200)))
    before = path.stat().st_size

    broker.tend()

    assert path.stat().st_size > before


def test_an_error_inside_a_call_undoes_all_of_it(
    connect: Callable[..., SqliteBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = connect()
    put(broker, "a")
    (delivery,) = broker.exchange(ANY, [], Sender().stamp()).deliveries
    child = NewJob("child", "mail", b"", delay="not a span")  # type: ignore[arg-type]

    with pytest.raises(TypeError):
        broker.exchange(ANY, [Ack(delivery, HOUR, HOUR, then=(child,))], Sender().stamp())

    record = broker.inspector.get("mail", "a")
    assert record is not None
    assert record.state is JobState.RUNNING
    assert broker.enqueue([NewJob("b", "mail", b"")], Sender().stamp())[0].new


def test_whoever_listens_is_refused_and_makes_nothing_while_the_folder_is_missing(
    connect: Callable[..., SqliteBroker], path: Path
) -> None:
    home = path.parent / "home"
    home.mkdir()
    broker = connect(f"sqlite:///{home}/jobs.db")
    put(broker, "a")
    broker.wait(["mail"], 0)
    waiter = broker.waiter()
    shutil.rmtree(home)

    for listen in (lambda: broker.wait(["mail"], 0), broker.waiter, lambda: waiter.watch("mail", "a")):
        with pytest.raises(BrokerRefused, match="home does not exist; make it"):
            listen()
    assert not home.exists()

    home.mkdir()
    broker.wait(["mail"], 0)
    put(connect(f"sqlite:///{home}/jobs.db"), "b")
    assert rang(broker, "mail")


def statements(broker: SqliteBroker, call: Callable[[], object]) -> int:
    """How many statements a call makes. What a script does inside is traced under the statement that runs it."""
    seen: set[str] = set()
    with broker._connections.write() as db:
        pass
    db.set_trace_callback(seen.add)
    call()
    db.set_trace_callback(None)
    return len(seen)


def test_a_usual_call_is_few_statements_whatever_the_number_of_jobs(connect: Callable[..., SqliteBroker]) -> None:
    broker, sender = connect(clock=FakeClock()), Sender()
    jobs = [NewJob(f"{n:03}", "mail", b"body") for n in range(200)]
    half = Demand((100,), (("mail", (0,)),))
    put(broker, "first")
    broker.exchange(ANY, [], sender.stamp())
    answers: list[Exchange] = []

    enqueuing = statements(broker, lambda: broker.enqueue(jobs, sender.stamp()))
    claiming = statements(broker, lambda: answers.append(broker.exchange(half, [], sender.stamp())))
    acks = [Ack(delivery, HOUR, HOUR) for delivery in answers[0].deliveries]
    both = statements(broker, lambda: answers.append(broker.exchange(half, acks, sender.stamp())))

    assert [len(answer.deliveries) for answer in answers] == [100, 100]
    assert (enqueuing, claiming, both) == (2, 2, 3)
    assert broker.inspector.counts("mail").succeeded == 100


def test_an_exchange_with_two_queues_is_one_transaction(connect: Callable[..., SqliteBroker]) -> None:
    broker, sender = connect(clock=FakeClock()), Sender()
    wide = Demand((3,), (("mail", (0,)), ("post", (0,))))
    for queue in ("mail", "post"):
        put(broker, *(f"{queue} {n}" for n in range(4)), queue=queue)
    first = broker.exchange(wide, [], sender.stamp())
    second: list[Exchange] = []

    acks = [Ack(delivery, HOUR, HOUR) for delivery in first.deliveries]
    count = statements(broker, lambda: second.append(broker.exchange(wide, acks, sender.stamp())))

    assert [delivery.id for delivery in first.deliveries + second[0].deliveries] == [
        *("mail 0", "mail 1", "mail 2"),
        *("mail 3", "post 0", "post 1"),
    ]
    assert count == len(["begin", "fill", "exchange with mail", "exchange with post", "answer, of either", "commit"])


def test_what_is_out_of_the_ordinary_in_one_queue_undoes_what_was_done_in_another(
    connect: Callable[..., SqliteBroker],
) -> None:
    clock = FakeClock()
    broker, sender = connect(clock=clock), Sender()
    both = Demand((2,), (("mail", (0,)), ("post", (0,))))
    put(broker, "a")
    broker.enqueue([NewJob("b", "post", b"body", delay=timedelta(seconds=1))], sender.stamp())
    broker.exchange(Demand((0,), both.queues), [], sender.stamp())
    clock.advance(1)  # now the second queue has a job that is due, and the first one nothing unusual

    deliveries = broker.exchange(both, [], sender.stamp()).deliveries

    assert [delivery.id for delivery in deliveries] == ["a", "b"]


def test_a_call_that_broke_off_leaves_no_job_to_the_next(
    connect: Callable[..., SqliteBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = connect()
    put(broker, "a")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("taskforge.brokers.sqlite.verbs.run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            put(broker, "b")  # it is filled in, and not run
    put(broker, "c")

    assert claimed(broker) == ["a", "c"]


def test_the_clock_of_the_database_is_that_of_this_machine(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    put(broker, "first")
    before = time.time()

    count = statements(broker, lambda: put(broker, "a"))

    record = broker.inspector.get("mail", "a")
    assert record is not None
    assert before - 0.001 <= record.enqueued_at.timestamp() <= time.time()
    assert count == 2, "its time looked like a jump of the clock"


def test_what_is_put_last_stays_last_when_newer_records_are_gone(connect: Callable[..., SqliteBroker]) -> None:
    clock = FakeClock()
    broker = connect(clock=clock)
    put(broker, "one", "two", "newer")
    one, two, newer = broker.exchange(ANY, [], Sender().stamp()).deliveries
    last = [Requeue(delivery, timedelta(0), counts=False, keep=HOUR) for delivery in (one, two)]
    broker.exchange(Demand(), [last[0], Ack(newer, timedelta(0), HOUR)], Sender().stamp())
    clock.advance(2)
    broker.exchange(Demand((0,), ANY.queues), [], Sender().stamp())
    assert broker.inspector.list("mail", JobState.SUCCEEDED) == []

    put(broker, "later")
    broker.exchange(Demand(), [last[1]], Sender().stamp())

    assert claimed(broker) == ["one", "later", "two"]


@pytest.mark.parametrize("delay", [None, 0, 5])
def test_a_settlement_that_gives_a_job_back_rings_for_another_worker(
    connect: Callable[..., SqliteBroker], delay: int | None
) -> None:
    broker, other = connect(clock=FakeClock()), connect(clock=FakeClock())
    put(broker, "a")
    (delivery,) = broker.exchange(ANY, [], Sender().stamp()).deliveries
    other.wait(["mail"], 0)
    assert not rang(other, "mail")

    wait = None if delay is None else timedelta(seconds=delay)
    broker.exchange(Demand(), [Requeue(delivery, wait, counts=False, keep=HOUR)], Sender().stamp())

    assert rang(other, "mail")


@pytest.mark.parametrize("size", [0, SMALL_BODY, SMALL_BODY + 1, 100_000])
def test_a_body_comes_back_whatever_its_length(connect: Callable[..., SqliteBroker], size: int) -> None:
    broker, body = connect(), os.urandom(size)
    jobs = [NewJob("a", "mail", body), NewJob("b", "mail", b"short"), NewJob("c", "mail", body)]

    broker.enqueue(jobs, Sender().stamp())

    record = broker.inspector.get("mail", "a")
    assert record is not None
    assert record.body == body
    deliveries = broker.exchange(ANY, [], Sender().stamp()).deliveries
    assert [delivery.body for delivery in deliveries] == [body, b"short", body]


def test_a_claim_whose_bodies_went_meanwhile_is_asked_for_again(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect(clock=FakeClock())
    put(broker, "first")
    assert claimed(broker) == ["first"]
    broker.enqueue([NewJob("a", "mail", bytes(SMALL_BODY + 1))], Sender().stamp())
    with broker._connections.read() as db:
        pass

    def take_bodies(statement: str) -> None:
        if statement.startswith("select coalesce(c.body"):
            with sqlite3.connect(broker._connections.path) as other:
                other.execute("delete from bodies")
            other.close()

    db.set_trace_callback(take_bodies)

    with pytest.raises(BrokerUnavailable, match="taken over"):
        claimed(broker)


def test_settlements_of_two_queues_sent_again_are_refused_where_they_were(
    connect: Callable[..., SqliteBroker],
) -> None:
    broker, stamp = connect(clock=FakeClock()), Sender().stamp()
    both = Demand((9,), (("mail", (0,)), ("post", (0,))))
    put(broker, "a")
    put(broker, "b", queue="post")
    a, b = broker.exchange(both, [], Sender().stamp()).deliveries
    late = b._replace(number=b.number - 1)
    settlements = [Ack(each, HOUR, HOUR) for each in (a, late, b, a)]

    first = broker.exchange(Demand(), settlements, stamp)
    again = broker.exchange(Demand(), settlements, stamp)

    assert first.refused == again.refused == {1, 3}


def test_what_a_refused_call_would_have_settled_is_not_settled_by_the_next(
    connect: Callable[..., SqliteBroker],
) -> None:
    broker, sender = connect(clock=FakeClock()), Sender()
    put(broker, "a")
    early = sender.stamp()
    (delivery,) = broker.exchange(ANY, [], sender.stamp()).deliveries

    with pytest.raises(StaleCall):
        broker.exchange(ANY, [Ack(delivery, HOUR, HOUR)], early)
    broker.exchange(ANY, [], sender.stamp())

    record = broker.inspector.get("mail", "a")
    assert record is not None
    assert record.state is JobState.RUNNING


def test_what_a_broken_off_call_would_have_settled_is_not_settled_by_the_next(
    connect: Callable[..., SqliteBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = connect(clock=FakeClock())
    put(broker, "a")
    (delivery,) = broker.exchange(ANY, [], Sender().stamp()).deliveries

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("taskforge.brokers.sqlite.verbs.run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            broker.exchange(ANY, [Ack(delivery, HOUR, HOUR)], Sender().stamp())
    broker.exchange(ANY, [], Sender().stamp())

    assert broker.inspector.counts("mail").running == 1


def test_no_read_of_a_job_looks_at_all_of_them(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    put(broker, "a", "b")
    waiter = broker.waiter()
    seen: list[str] = []
    for lend in (broker._connections.read, broker._connections.write):
        with lend() as db:
            db.set_trace_callback(seen.append)

    broker.inspector.get("mail", "a")
    broker.inspector.find("a")
    for state in (JobState.READY, JobState.DELAYED, JobState.RUNNING):
        broker.inspector.list("mail", state)
    waiter.watch("mail", "a")
    waiter.watch(None, "b")

    selects = [statement for statement in seen if statement.startswith("select") and "jobs" in statement]
    with broker._connections.read() as db:
        db.set_trace_callback(None)
        plans = {select: [row[3] for row in db.execute("explain query plan " + select)] for select in selects}
    waiter.close()
    assert len(plans) >= 5
    assert not [plan for plan in plans.values() if any(step.startswith("SCAN j") for step in plan)]
