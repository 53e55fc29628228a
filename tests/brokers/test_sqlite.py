"""The SQLite broker keeps the specification, in a file and in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from taskforge.brokers.protocol import Broker, BrokerSettings
from taskforge.brokers.sqlite import SqliteBroker
from taskforge.brokers.sqlite.connections import Connections
from taskforge.testing.conformance import BrokerConformance

#: One row for the layout, one per queue ever used, and in each of these the sender that called last.
MAY_STAY = {"meta": 1, "queues": 2, "senders": 2}


class TestSqlite(BrokerConformance):
    @pytest.fixture(autouse=True)
    def storage(self, sqlite_url: str) -> None:
        self.url = sqlite_url

    def open(self, settings: BrokerSettings) -> Broker:
        return SqliteBroker(self.url, settings)

    def leftovers(self, broker: Broker) -> list[str]:
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
            return more_than_may_stay(connection)


class TestStepByStep(TestSqlite):
    """What a call does in one statement if nothing is out of the ordinary, it does in several if something is."""

    @pytest.fixture(autouse=True)
    def nothing_is_usual(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connections, "alone", lambda self, work: None)


class TestMemory(BrokerConformance):
    """The database is private to one broker object, so that object stands for all that a test opens."""

    @pytest.fixture(autouse=True)
    def storage(self) -> None:
        self.broker: Broker | None = None

    def open(self, settings: BrokerSettings) -> Broker:
        if self.broker is None:
            self.broker = SqliteBroker("memory://", settings)
        return self.broker

    def leftovers(self, broker: Broker) -> list[str]:
        assert isinstance(broker, SqliteBroker)
        with broker._connections.read() as connection:
            return more_than_may_stay(connection)

    # There is no other broker object on the same memory.
    test_waking_one_broker_wakes_no_other = None  # type: ignore[assignment]  # not a test here


def more_than_may_stay(connection: sqlite3.Connection) -> list[str]:
    """The tables that hold more rows than they may when everything has ended and aged out."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    rows = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
    return [f"{name}: {count} rows" for name, count in rows.items() if count > MAY_STAY.get(name, 0)]
