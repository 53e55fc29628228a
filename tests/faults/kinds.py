"""The mix of jobs: of what kind the job of a number is, and what is to become of it."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """`share` of all jobs in percent; `runs` of an undisturbed job; whether it `fails`, and `returns` its number."""

    name: str
    share: int
    queue: str
    runs: int = 1
    fails: bool = False
    returns: bool = False


KINDS = (
    Kind("fast", 47, "quick"),
    Kind("slow", 10, "slow", returns=True),
    Kind("coroutine", 15, "quick"),
    Kind("isolated", 6, "slow", returns=True),
    Kind("crashing", 2, "slow", runs=2, returns=True),
    Kind("failing", 4, "quick", runs=2, fails=True),
    Kind("retried", 5, "slow", runs=2, returns=True),
    Kind("snoozed", 3, "quick", runs=2),
    Kind("delayed", 8, "slow"),
)
QUEUES = ("quick", "slow")
_BY_PERCENT = [kind for kind in KINDS for _ in range(kind.share)]


def kind_of(number: int) -> Kind:
    """Its kind: the same always, and the kinds well mixed."""
    return _BY_PERCENT[number * 61 % 100]


def seconds_of(number: int) -> float:
    """How long its run takes, where the kind has runs that take long: 0.05 to 0.5 s."""
    return 0.05 + number * 7919 % 451 / 1000


def id_of(number: int) -> str:
    return f"c{number}"


def number_of(job_id: str) -> int:
    return int(job_id[1:])
