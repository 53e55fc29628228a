"""What was enqueued: told in full, and asserted with messages that show what was there instead."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from unittest.mock import ANY

import pytest

from taskforge import Args, ArgumentsError, Retry, Task, Taskforge, current_job
from taskforge.testing import Kit

Thumbnail = Task[..., str, str]


@pytest.fixture
def thumbnail(app: Taskforge) -> Thumbnail:
    @app.task(name="photos.thumbnail", queue="photos", timeout=30)
    def thumbnail(path: str, size: int = 256) -> str:
        return path

    return thumbnail


def test_a_job_is_told_as_a_worker_would_see_it(kit: Kit, thumbnail: Thumbnail) -> None:
    at = kit.clock.now() + timedelta(hours=1)
    job = thumbnail.using(at=at, priority=5, expires=7200, headers={"trace": "1"}).enqueue("a.jpg", size=512)

    [told] = kit.jobs()

    assert (told.id, told.task, told.args, told.kwargs) == (job.id, "photos.thumbnail", ("a.jpg",), {"size": 512})
    assert (told.queue, told.priority, told.at, told.delay) == ("photos", 5, at, None)
    assert (told.expires, told.headers, told.timeout) == (timedelta(hours=2), {"trace": "1"}, timedelta(seconds=30))


def test_jobs_are_chosen_by_task_name_queue_and_options(app: Taskforge, kit: Kit, thumbnail: Thumbnail) -> None:
    @app.task
    def other() -> None: ...

    now, later, elsewhere = thumbnail.enqueue("a"), thumbnail.using(delay=60).enqueue("b"), other.enqueue()

    def ids(*call: object, **where: str) -> list[str]:
        return [job.id for job in kit.jobs(*call, **where)]  # type: ignore[arg-type]  # passed on as they come

    assert ids() == [now.id, later.id, elsewhere.id]
    assert ids(thumbnail) == ids("photos.thumbnail") == ids(queue="photos") == [now.id, later.id]
    assert ids(thumbnail.using(delay=60)) == [later.id]
    assert ids(other, queue="photos") == ids("nobody.knows") == []


def test_jobs_that_have_run_are_still_told_and_what_they_enqueued_too(app: Taskforge, kit: Kit) -> None:
    @app.task
    def child() -> None: ...

    @app.task
    def parent() -> None:
        current_job().enqueue_on_success(child.using(delay=5))

    parent.enqueue()
    kit.run_until_idle()

    assert [(job.task, job.delay) for job in kit.jobs()] == [
        (parent.name, None),
        (child.name, timedelta(seconds=5)),
    ]


def test_what_changed_nothing_is_not_told(kit: Kit, thumbnail: Thumbnail) -> None:
    thumbnail.using(job_id="one").enqueue("a")
    thumbnail.using(job_id="one").enqueue("b")

    assert [job.args for job in kit.jobs()] == [("a",)]


def test_jobs_before_a_point_of_the_test_can_be_left_out(kit: Kit, thumbnail: Thumbnail) -> None:
    thumbnail.enqueue("a")
    kit.forget_jobs()

    thumbnail.enqueue("b")

    assert [job.args for job in kit.jobs()] == [("b",)]
    kit.run_until_idle()
    kit.assert_no_leftovers()


# assert_enqueued


@pytest.mark.parametrize(
    "expected", [Args("a.jpg", 256), Args("a.jpg"), Args(path="a.jpg", size=256), Args(ANY, size=ANY)], ids=repr
)
def test_however_it_is_written_the_same_call_is_the_same_job(kit: Kit, thumbnail: Thumbnail, expected: Args) -> None:
    job = thumbnail.enqueue("a.jpg", size=256)

    assert kit.assert_enqueued(thumbnail, *expected.args, **expected.kwargs).id == job.id


def test_options_that_are_not_given_may_be_anything(kit: Kit, thumbnail: Thumbnail) -> None:
    thumbnail.using(delay=60, priority=5).enqueue("a.jpg")

    kit.assert_enqueued(thumbnail, "a.jpg")
    kit.assert_enqueued(thumbnail.using(delay=timedelta(minutes=1)), "a.jpg")


OPTIONS: dict[str, tuple[object, object]] = {
    "queue": ("mail", "photos"),
    "priority": (5, 6),
    "delay": (60, 61),
    "at": (datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) + timedelta(days=2)),
    "expires": (60, 61),
    "retry": (Retry(attempts=2), Retry(attempts=3)),
    "timeout": (10, None),
    "keep": (10, 20),
    "keep_result": (False, True),
    "headers": ({"trace": "1"}, {"trace": "2"}),
    "job_id": ("one", "two"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_that_is_given_must_be_the_jobs(kit: Kit, thumbnail: Thumbnail, option: str) -> None:
    same, other = OPTIONS[option]
    thumbnail.using(**{option: same}).enqueue("a.jpg")  # type: ignore[arg-type]  # each fits its option

    kit.assert_enqueued(thumbnail.using(**{option: same}), "a.jpg")  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=f"\n      {option} is .*, not "):
        kit.assert_enqueued(thumbnail.using(**{option: other}), "a.jpg")  # type: ignore[arg-type]


def test_headers_that_others_add_do_not_matter(kit: Kit, thumbnail: Thumbnail) -> None:
    thumbnail.using(headers={"trace": "1", "tenant": "x"}).enqueue("a.jpg")

    kit.assert_enqueued(thumbnail.using(headers={"trace": "1"}), "a.jpg")


class Size(NamedTuple):
    width: int
    height: int


@dataclass
class Photo:
    path: str


def test_arguments_of_any_type_are_expected_as_they_were_given(app: Taskforge, kit: Kit) -> None:
    @app.task
    def crop(photo: Photo, size: Size) -> None: ...

    crop.enqueue(Photo("a.jpg"), Size(3, 4))

    kit.assert_enqueued(crop, Photo("a.jpg"), Size(3, 4))
    with pytest.raises(AssertionError, match=r"photo is Photo\(path='a.jpg'\), not Photo\(path='b.jpg'\)"):
        kit.assert_enqueued(crop, Photo("b.jpg"), Size(3, 4))


def test_a_job_that_was_not_enqueued_shows_those_that_were_the_nearest_first(app: Taskforge, kit: Kit) -> None:
    @app.task(name="photos.thumbnail", queue="photos")
    def thumbnail(path: str, size: int = 256) -> None: ...

    @app.task(name="photos.notify")
    def notify(path: str) -> None: ...

    notify.enqueue("a.jpg")
    thumbnail.enqueue("b.jpg", 64)
    thumbnail.using(delay=60).enqueue("a.jpg")

    with pytest.raises(AssertionError) as caught:
        kit.assert_enqueued(thumbnail.using(priority=5, delay=60), "a.jpg", size=512)

    assert str(caught.value) == textwrap.dedent(
        """\
        photos.thumbnail('a.jpg', size=512) with priority=5, delay=0:01:00 was not enqueued; what was, nearest first:
          photos.thumbnail('a.jpg')  to photos, delay 0:01:00
              size is 256, not 512
              priority is 0, not 5
          photos.thumbnail('b.jpg', 64)  to photos
              path is 'b.jpg', not 'a.jpg'
              size is 64, not 512
              priority is 0, not 5
              delay is None, not 0:01:00
          photos.notify('a.jpg')  to default"""
    )


def test_when_nothing_was_enqueued_the_message_says_so(kit: Kit, thumbnail: Thumbnail) -> None:
    with pytest.raises(AssertionError, match=r"^photos.thumbnail\('a.jpg'\) was not enqueued; nothing was$"):
        kit.assert_enqueued(thumbnail, "a.jpg")


def test_a_message_stays_short_however_much_was_enqueued(kit: Kit, thumbnail: Thumbnail) -> None:
    thumbnail.enqueue_many([("x" * 10_000, n) for n in range(100)])

    with pytest.raises(AssertionError, match="and 90 more$") as caught:
        kit.assert_enqueued(thumbnail, "a.jpg", 1)

    assert len(str(caught.value)) < 6_000


def test_an_expectation_that_no_call_could_meet_is_refused(kit: Kit, thumbnail: Thumbnail) -> None:
    with pytest.raises(ArgumentsError, match="photos.thumbnail"):
        kit.assert_enqueued(thumbnail, "a.jpg", colour="red")


def test_a_job_enqueued_by_name_is_found_by_name_and_by_task(app: Taskforge, kit: Kit, thumbnail: Thumbnail) -> None:
    app.enqueue("photos.thumbnail", "a.jpg")
    app.enqueue("elsewhere.task", 1, colour="red")

    kit.assert_enqueued(thumbnail, "a.jpg", size=256)
    kit.assert_enqueued(app.by_name("elsewhere.task"), 1, colour="red")
    with pytest.raises(AssertionError, match=r"args\[0\] is 1, not 2"):
        kit.assert_enqueued(app.by_name("elsewhere.task"), 2, colour="red")
