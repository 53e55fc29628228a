"""The conformance suite in the hands of somebody who wrote a broker: in a project of theirs, in a fresh process."""

from __future__ import annotations

import re

import pytest

from tests.testing.conftest import Project

BROKER = '''
"""A broker of somebody else's: it keeps its jobs in a file."""


from taskforge.brokers import open_broker
from taskforge.brokers.stamp import Sender
from taskforge.testing import BrokerWrapper


class TheirBroker(BrokerWrapper):
    def __init__(self, path, settings):
        super().__init__(open_broker(f"sqlite:///{path}", settings))
'''

TESTS = """
import sqlite3
from contextlib import closing

import pytest
from their_broker import TheirBroker

from taskforge.testing.conformance import BrokerConformance

MAY_STAY = {"meta": 1, "queues": 2, "senders": 2}


class TestTheirBroker(BrokerConformance):
    @pytest.fixture(autouse=True)
    def storage(self, tmp_path):
        self.path = tmp_path / "jobs.db"

    def open(self, settings):
        return TheirBroker(self.path, settings)

    def leftovers(self, broker):
        with closing(sqlite3.connect(self.path)) as db:
            tables = [name for (name,) in db.execute("select name from sqlite_schema where type = 'table'")]
            rows = {name: db.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}
        return [f"{count} rows of {name}" for name, count in rows.items() if count > MAY_STAY.get(name, 0)]
"""

#: What is wrong with a broker → the override that makes it so, and a promise that it breaks.
FAULTS = {
    "an enqueue without its number": (
        """
    def enqueue(self, jobs, stamp):
        return super().enqueue(jobs, Sender().stamp())
""",
        "test_a_call_sent_again_changes_nothing_and_gets_the_same_answer",
    ),
    "a refusal kept silent": (
        """
    def exchange(self, demand, settlements, stamp):
        return super().exchange(demand, settlements, stamp)._replace(refused=frozenset())
""",
        "test_a_late_settlement_is_refused_and_changes_nothing",
    ),
}


def test_a_broker_that_keeps_the_promises_passes_the_suite(project: Project) -> None:
    project.write("their_broker.py", BROKER)
    project.write("test_their_broker.py", TESTS)

    code, printed = project.pytest("-q")

    assert code == 0, printed
    assert int(re.findall(r"(\d+) passed", printed)[0]) > 300


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broker_that_breaks_one_is_told_which_and_the_values_it_was_about(project: Project, fault: str) -> None:
    override, promise = FAULTS[fault]
    project.write("their_broker.py", BROKER + override)
    project.write("test_their_broker.py", TESTS)

    code, printed = project.pytest("-q", "-k", promise)

    assert code == 1, printed
    assert f"FAILED test_their_broker.py::TestTheirBroker::{promise}" in printed
    assert re.search(r"^E +(assert|AssertionError: assert) .+ (==|is) .+", printed, re.M), printed
