"""The thread that hears what is said to a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta

import pytest

from taskforge import Taskforge
from taskforge.testing import FlakyBroker
from taskforge.worker.attending import Attending
from tests.servers import wait_until

NAME = "host.1.00"


class Heard:
    """An attending thread, and what it passed on."""

    def __init__(self, app: Taskforge) -> None:
        self.app, self.broker = app, FlakyBroker(app.broker)
        self.ids: list[str] = []
        self.wished = 0
        self.fails = False
        self.attending = Attending(self.broker, NAME, app.clock, self._hear, self._wish)

    def tell(self) -> None:
        self.app.broker.register.wish("*", b"", timedelta(hours=1), [NAME])

    def _hear(self, ids: Collection[str]) -> None:
        self.ids += ids

    def _wish(self) -> None:
        self.wished += 1
        if self.fails:
            raise RuntimeError("a defect")


@pytest.fixture
def heard(app: Taskforge) -> Iterator[Heard]:
    heard = Heard(app)
    yield heard
    heard.attending.stop(10)


def test_a_wish_is_passed_on_at_once(heard: Heard) -> None:
    heard.attending.start()
    wait_until(lambda: heard.wished == 1, 20, "its first look")

    heard.tell()

    wait_until(lambda: heard.wished == 2, 20, "the wish")


def test_after_a_lost_connection_it_listens_again_and_looks(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "taskforge.worker")
    heard.broker.lose_request("hear", times=3)

    heard.attending.start()

    wait_until(lambda: heard.wished == 1, 20, "a look, once it listens")
    levels = [record.levelname for record in caplog.records if record.message == "worker_not_attending"]
    assert levels == ["INFO", "DEBUG", "DEBUG"]


def test_a_defect_in_what_is_done_with_the_news_does_not_end_it(heard: Heard) -> None:
    heard.fails = True
    heard.attending.start()
    wait_until(lambda: heard.wished == 1, 20, "its first look")

    heard.fails = False

    def told() -> bool:
        heard.tell()
        return heard.wished > 1

    wait_until(told, 20, "the next one")


def test_it_ends_at_once_when_told_to(heard: Heard) -> None:
    heard.attending.start()
    wait_until(lambda: heard.wished == 1, 20, "its first look")

    heard.attending.stop(20)

    assert not heard.attending._thread.is_alive()
