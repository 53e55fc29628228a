"""What is particular to each broker in how workers are known and spoken to, and in how pressure is read."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from taskforge.brokers.protocol import Broker, BrokerSettings
from taskforge.brokers.redis import RedisBroker
from taskforge.brokers.register import MOST_CARDS, MOST_TARGETS, Attention
from taskforge.brokers.sqlite import SqliteBroker, layout
from taskforge.brokers.sqlite.verbs import statements
from taskforge.brokers.stamp import Sender
from taskforge.errors import BrokerUnavailable
from taskforge.job import NewJob
from taskforge.testing.conformance.rig import HOUR, MINUTE, SECOND, demand
from tests.servers import Server

#: Seconds that no test waits out.
LONG = 20.0


@pytest.fixture
def connect(sqlite_url: str) -> Iterator[Callable[..., SqliteBroker]]:
    brokers: list[SqliteBroker] = []

    def connect(prefix: str = "test") -> SqliteBroker:
        brokers.append(SqliteBroker(sqlite_url, BrokerSettings(prefix=prefix)))
        return brokers[-1]

    yield connect
    for broker in brokers:
        broker.close()


def run_one(broker: Broker, sender: Sender, job_id: str) -> None:
    """Let this sender have the job."""
    broker.enqueue([NewJob(job_id, "mail", b"body")], Sender().stamp())
    assert [each.id for each in broker.exchange(demand(1, "mail"), [], sender.stamp()).deliveries] == [job_id]


def cancel(broker: Broker, job_id: str) -> None:
    broker.inspector.cancel("mail", [job_id], HOUR, Sender().stamp())


def until_heard(ear: Attention, word: str) -> list[str]:
    """All that is heard until this is."""
    heard: list[str] = []
    while word not in heard:
        said = ear.listen(LONG)
        assert said, f"{word!r} was never heard, only {heard}"
        heard += said
    return heard


# Redis


def test_a_listener_that_lost_its_connection_looks_and_hears_again(server: Server, redis_url: str) -> None:
    me = Sender()
    with closing(RedisBroker(redis_url, BrokerSettings(prefix="t"))) as broker, server.client() as client:
        run_one(broker, me, "a")
        ear = broker.attend(me.id)
        assert ear.listen(LONG) == [""]

        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        cancel(broker, "a")

        with pytest.raises(BrokerUnavailable):
            ear.listen(LONG)
        assert ear.listen(LONG) == [""]
        cancel(broker, "a")
        assert ear.listen(LONG) == ["a"]
        ear.close()


def test_a_listener_looks_again_after_its_process_lost_another_connection(server: Server, redis_url: str) -> None:
    me = Sender()
    with closing(RedisBroker(redis_url, BrokerSettings(prefix="t"))) as broker, server.client() as client:
        run_one(broker, me, "a")
        ear = broker.attend(me.id)
        assert ear.listen(LONG) == [""]

        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(BrokerUnavailable):
            broker.inspector.counts("mail")

        assert ear.listen(LONG) == [""]
        cancel(broker, "a")
        assert ear.listen(LONG) == ["a"]
        ear.close()


def test_however_many_are_named_all_are_told(redis_url: str) -> None:
    with closing(RedisBroker(redis_url, BrokerSettings(prefix="t"))) as broker:
        ears = [broker.attend(name) for name in ("w0", "w250")]
        assert [ear.listen(LONG) for ear in ears] == [[""], [""]]

        broker.register.wish("*", b"", HOUR, [f"w{n}" for n in range(251)])

        assert [ear.listen(LONG) for ear in ears] == [[""], [""]]
        for ear in ears:
            ear.close()


def test_the_register_of_one_app_is_not_anothers(redis_url: str) -> None:
    one, other = (RedisBroker(redis_url, BrokerSettings(prefix=prefix)) for prefix in ("t:one", "t:other"))

    one.register.beat("a", b"", MINUTE, [])
    one.register.wish("*", b"", HOUR, [])

    assert (other.register.cards(), other.register.beat("b", b"", MINUTE, ["*"])) == ([], [])
    one.close()
    other.close()


# SQLite


def test_two_apps_on_one_file_have_a_register_each(connect: Callable[..., SqliteBroker]) -> None:
    one, other = connect("one"), connect("other")
    ears = [broker.attend("same name") for broker in (one, other)]
    assert [ear.listen(LONG) for ear in ears] == [[""], [""]]

    one.register.beat("a", b"", MINUTE, [])
    one.register.wish("*", b"", HOUR, ["same name"])

    assert (other.register.cards(), other.register.beat("b", b"", MINUTE, ["*"])) == ([], [])
    assert ears[0].listen(LONG) == [""]
    assert ears[1].listen(0.05) == []
    for ear in ears:
        ear.close()


def test_bounds_of_the_register_are_kept_in_a_file(connect: Callable[..., SqliteBroker], sqlite_url: str) -> None:
    broker = connect()
    broker.register.beat("soonest", b"", MINUTE, [])
    broker.register.wish("soonest", b"", MINUTE, [])
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as db:
        for table, column, more in (("cards", "name", "card"), ("wishes", "target", "about, at, wish")):
            values = ", ".join("0" for _ in more.split(","))
            db.execute(
                f"with recursive n(i) as (select 2 union all select i + 1 from n where i < ?) insert into "
                f"{table}(prefix, {column}, ends, {more}) select 'test', 'x' || i, 1e15 + i, {values} from n",
                (MOST_CARDS if table == "cards" else MOST_TARGETS,),
            )
        db.commit()

        broker.register.beat("new", b"", SECOND, [])
        broker.register.wish("new", b"", SECOND, [])

        names = {name for (name,) in db.execute("select name from cards")}
        targets = {target for (target,) in db.execute("select target from wishes")}
    assert len(names) == MOST_CARDS
    assert len(targets) == MOST_TARGETS
    assert "new" in names & targets
    assert "soonest" not in names | targets


def test_an_ear_hears_again_after_its_folder_was_deleted(connect: Callable[..., SqliteBroker], tmp_path: Path) -> None:
    me, broker = Sender(), connect()
    ear = broker.attend(me.id)
    run_one(broker, me, "a")
    assert ear.listen(LONG) == [""]
    for path in (tmp_path / "jobs.db-bells").iterdir():
        path.unlink()
    assert ear.listen(0) == []

    cancel(connect(), "a")

    assert ear.listen(LONG) == ["a"]
    ear.close()


def test_without_fifos_a_worker_hears_by_looking(
    connect: Callable[..., SqliteBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise OSError("no FIFOs here")

    monkeypatch.setattr(os, "mkfifo", refuse)
    me, broker, other = Sender(), connect(), connect()
    run_one(broker, me, "a")
    run_one(broker, Sender(), "yours")
    ear = broker.attend(me.id)
    assert ear.listen(LONG) == [""]

    cancel(other, "yours")
    cancel(other, "a")
    assert until_heard(ear, "a") == ["a"]
    other.register.wish("*", b"", HOUR, [me.id])
    assert until_heard(ear, "") == [""]

    ear.close()
    assert ear.listen(LONG) == []


def test_no_reading_of_pressure_looks_at_each_job(connect: Callable[..., SqliteBroker]) -> None:
    broker = connect()
    broker.enqueue(
        [NewJob(str(n), "mail", b"", n % 3, MINUTE if n % 2 else None) for n in range(200)], Sender().stamp()
    )
    seen: list[str] = []
    with broker._connections.read() as db:
        db.set_trace_callback(seen.append)

    broker.inspector.pressure("mail", HOUR)

    selects = [statement for statement in seen if "jobs" in statement]
    with broker._connections.read() as db:
        db.set_trace_callback(None)
        steps = [row[3] for select in selects for row in db.execute("explain query plan " + select)]
    touching = [step for step in steps if "jobs" in step]
    assert len(touching) >= 6
    # What is counted is counted in the index over just these jobs; of the ready, the first of each priority is read.
    assert not [step for step in touching if not re.match(r"SEARCH jobs USING .*INDEX (ready|delayed|running) ", step)]
    assert "SEARCH jobs USING INDEX ready (queue=? AND rank=?)" in touching


def test_a_file_of_the_level_before_is_brought_to_ours_with_its_jobs(
    connect: Callable[..., SqliteBroker], sqlite_url: str
) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as db:
        for statement in statements(layout.LEVELS[0].read_text()):
            db.execute(statement)
        db.execute(f"pragma application_id = {layout.APPLICATION_ID}")
        db.execute("insert into meta(epoch, level) values(1, 1)")
        db.execute("insert into queues(prefix, name, number) values('test', 'mail', 0)")
        db.execute(
            "insert into jobs(queue, id, state, rank, turn, enqueued, body) values(1, 'a', 'ready', 0, 1, 5, x'41')"
        )
        db.commit()

    broker = connect()

    assert broker.inspector.pressure("mail", HOUR).ready == 1
    broker.register.beat("w", b"card", MINUTE, [])
    assert connect().register.cards() == [("w", b"card")]
    assert [each.body for each in broker.exchange(demand(1, "mail"), [], Sender().stamp()).deliveries] == [b"A"]
