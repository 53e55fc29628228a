"""The register of workers in a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import timedelta

from taskforge.brokers.moments import span, stamped
from taskforge.brokers.register import (
    MOST_CARDS,
    MOST_TARGETS,
    MOST_WISHES,
    SWEEP_STEP,
    Wish,
    check_beat,
    check_name,
    check_wish,
)
from taskforge.brokers.sqlite.calls import Call, Calls

_WISHES = "select target, wish, at, about from wishes where prefix = ? and ends > ?"
_IN_ORDER = " order by at, n"


class SqliteRegister:
    """See taskforge.brokers.register.Register for what each method promises."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self._prefix = calls, calls.prefix

    def beat(self, name: str, card: bytes, age: timedelta, targets: Sequence[str]) -> list[Wish]:
        check_beat(name, card, targets)
        with self._calls.change() as call:
            self._age_out(call)
            call.db.execute(
                "insert into cards(prefix, name, ends, card) values(?, ?, ?, ?) "
                "on conflict do update set ends = excluded.ends, card = excluded.card",
                (self._prefix, name, call.now + span(age), card),
            )
            call.db.execute(
                "delete from cards where n in (select n from cards where prefix = ?1 and name != ?2 order by ends "
                "limit max(0, (select count(*) from cards where prefix = ?1) - ?3))",
                (self._prefix, name, MOST_CARDS),
            )
            heeded = " and target in (select value from json_each(?))"
            return _wishes(call.db, _WISHES + heeded + _IN_ORDER, (self._prefix, call.now, json.dumps(list(targets))))

    def leave(self, name: str) -> None:
        with self._calls.change() as call:
            self._age_out(call)
            call.db.execute("delete from cards where prefix = ? and name = ?", (self._prefix, name))

    def cards(self) -> list[tuple[str, bytes]]:
        with self._calls.read() as (db, now):
            select = "select name, card from cards where prefix = ? and ends > ? order by name"
            return db.execute(select, (self._prefix, now)).fetchall()

    def wish(self, target: str, wish: bytes, age: timedelta, tell: Sequence[str], about: str = "") -> None:
        check_wish(target, wish, about)
        for name in tell:
            check_name(name)
        with self._calls.change() as call:
            self._age_out(call)
            (latest,) = call.db.execute("select max(at) from wishes where prefix = ?", (self._prefix,)).fetchone()
            at = call.now if latest is None else max(call.now, latest + 1)
            call.db.execute(
                "insert or replace into wishes(prefix, target, about, at, ends, wish) values(?, ?, ?, ?, ?, ?)",
                (self._prefix, target, about, at, call.now + span(age), wish),
            )
            self._trim(call, target)
            call.nudged += [(name, "") for name in tell]

    def unwish(self, target: str, about: str | None = None) -> None:
        with self._calls.change() as call:
            self._age_out(call)
            call.db.execute(
                "delete from wishes where prefix = ? and target = ? and about = coalesce(?, about)",
                (self._prefix, target, about),
            )

    def wishes(self) -> list[Wish]:
        with self._calls.read() as (db, now):
            return _wishes(db, _WISHES + _IN_ORDER, (self._prefix, now))

    def _age_out(self, call: Call) -> None:
        for table in ("cards", "wishes"):
            call.db.execute(
                f"delete from {table} where n in (select n from {table} where prefix = ? and ends <= ? limit ?)",
                (self._prefix, call.now, SWEEP_STEP),
            )

    def _trim(self, call: Call, target: str) -> None:
        """Keep the bounds: of this target the latest wishes, and this target whatever the others are."""
        call.db.execute(
            "delete from wishes where n in (select n from wishes where prefix = ? and target = ? "
            "order by at desc limit -1 offset ?)",
            (self._prefix, target, MOST_WISHES),
        )
        call.db.execute(
            "delete from wishes where prefix = ?1 and target in (select target from wishes where prefix = ?1 "
            "group by target order by target = ?2 desc, max(ends) desc limit -1 offset ?3)",
            (self._prefix, target, MOST_TARGETS),
        )


def _wishes(db: sqlite3.Connection, select: str, values: Sequence[str | int]) -> list[Wish]:
    return [Wish(target, wish, stamped(at), about) for target, wish, at, about in db.execute(select, values)]
