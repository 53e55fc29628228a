"""RQ's tasks: its workers import them by module, so they cannot stand in the program itself."""

from __future__ import annotations

from benchmarks.peers import common


def noop(i: int, b: int, text: str) -> None:
    common.record(i)


def stamp(i: int, b: int, text: str) -> None:
    common.record(i, common.age_of(text))
