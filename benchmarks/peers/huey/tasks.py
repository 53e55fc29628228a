"""Huey's tasks: their names hold their module's, so they cannot stand in the program itself."""

from __future__ import annotations

from huey import RedisHuey

from benchmarks.peers import common

huey = RedisHuey("bench", url=common.url(), results=False, immediate=False)


@huey.task(name="noop")
def noop(i: int, b: int, text: str) -> None:
    common.record(i)


@huey.task(name="stamp")
def stamp(i: int, b: int, text: str) -> None:
    common.record(i, common.age_of(text))
