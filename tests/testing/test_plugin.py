"""The pytest plugin, in projects of somebody else, each in a fresh process."""

from __future__ import annotations

import pytest

from tests.testing.conftest import Project


def test_a_users_tests_run_their_jobs_at_once_and_never_touch_their_broker(project: Project) -> None:
    project.write(
        "test_photos.py",
        """
        import asyncio
        from unittest.mock import ANY

        from photos import app, notify, thumbnail


        def test_thumbnail(taskforge_app, run_until_idle):
            assert taskforge_app is app
            job = thumbnail.enqueue("a.jpg", size=512)

            runs = run_until_idle()

            assert job.result() == "a.jpg at 512"
            assert [(run.task, run.outcome) for run in runs] == [
                ("photos.thumbnail", "retried"), ("photos.thumbnail", "succeeded"), ("photos.notify", "succeeded")
            ]


        def test_nothing_is_there_of_another_test(taskforge_kit):
            assert taskforge_kit.jobs() == []
            assert taskforge_kit.run_until_idle() == []


        def test_enqueued(taskforge_kit, no_leftovers):
            thumbnail.enqueue("a.jpg", size=512)

            taskforge_kit.assert_enqueued(thumbnail, "a.jpg", 512)
            taskforge_kit.assert_enqueued(thumbnail, ANY, size=ANY)


        def test_async(taskforge_kit):
            async def upload():
                job = await thumbnail.aenqueue("a.jpg")
                await taskforge_kit.arun_until_idle()
                return await job.aresult()

            assert asyncio.run(upload()) == "a.jpg at 256"


        def test_worker(worker):
            job = notify.enqueue("a.jpg")

            assert job.result(timeout=30) is None


        def test_the_app_is_the_programs_own_again(request):
            assert app.settings.broker == "sqlite:////nowhere/production.db"
        """,
    )

    code, printed = project.pytest("-q")

    assert (code, "6 passed" in printed) == (0, True), printed


def test_the_app_may_come_from_a_fixture(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\npythonpath = .\nfilterwarnings = error\n")
    project.write(
        "conftest.py",
        """
        import pytest
        from photos import app


        @pytest.fixture
        def taskforge_app_under_test():
            return app
        """,
    )
    project.write(
        "test_photos.py",
        """
        import photos


        def test_app(taskforge_app):
            assert taskforge_app is photos.app
        """,
    )

    code, printed = project.pytest("-q")

    assert (code, "1 passed" in printed) == (0, True), printed


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("", "taskforge does not know which app is under test: say taskforge_app = "),
        ("nowhere:app", "taskforge_app = 'nowhere:app' cannot be imported: ModuleNotFoundError"),
        ("photos:ap", "taskforge_app = 'photos:ap' cannot be imported: AttributeError"),
        ("photos", "taskforge_app = 'photos' is <module 'photos'"),
        ("photos:thumbnail", "is <Task photos.thumbnail>, not an app; write module:name"),
    ],
)
def test_a_wrong_setting_says_what_to_write(project: Project, setting: str, said: str) -> None:
    project.write("pytest.ini", f"[pytest]\npythonpath = .\ntaskforge_app = {setting}\n")
    project.write("test_photos.py", "def test_app(taskforge_app): ...\n")

    code, printed = project.pytest("-q")

    assert (code, said in printed, "Traceback" in printed) == (1, True, False), printed


def test_tests_without_a_taskforge_app_are_not_disturbed(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\nfilterwarnings = error\n")
    project.write(
        "test_other.py",
        """
        import pytest


        @pytest.fixture
        def worker():
            return "a worker of their own"


        def test_worker(worker):
            assert worker == "a worker of their own"
        """,
    )

    code, printed = project.pytest("-q")

    assert (code, "1 passed" in printed) == (0, True), printed


def test_what_a_test_leaves_behind_fails_it(project: Project) -> None:
    project.write(
        "test_photos.py",
        """
        from photos import thumbnail


        def test_clean(no_leftovers):
            thumbnail.enqueue("a.jpg")


        def test_queues_by_customer(no_leftovers):
            thumbnail.using(queue="customer-17").enqueue("a.jpg")
        """,
    )

    code, printed = project.pytest("-q")

    assert code == 1
    assert "ERROR test_photos.py::test_queues_by_customer" in printed
    assert "LeftOver: jobs went to 'customer-17', which no task, declaration or route of" in printed
    assert "2 passed, 1 error" in printed


@pytest.mark.parametrize("other", ["run_until_idle", "no_leftovers"])
def test_a_worker_and_a_clock_that_stands_still_are_not_taken_together(project: Project, other: str) -> None:
    project.write(
        "test_photos.py",
        f"""
        def test_both(worker, {other}):
            {"run_until_idle()" if other == "run_until_idle" else "pass"}
        """,
    )

    code, printed = project.pytest("-q")

    assert (code, "runs in real time here" in printed) == (1, True), printed


def test_a_worker_can_be_tested_on_redis(project: Project, redis_url: str) -> None:
    settings = f"[pytest]\npythonpath = .\ntaskforge_app = photos:app\ntaskforge_broker = {redis_url}\n"
    project.write("pytest.ini", settings)
    project.write(
        "test_photos.py",
        """
        from photos import notify, thumbnail


        def test_worker(worker, taskforge_app):
            assert taskforge_app.broker.describe().startswith("unix://")
            assert notify.enqueue("a.jpg").result(timeout=30) is None


        def test_clock(run_until_idle):
            thumbnail.enqueue("a.jpg")
            assert len(run_until_idle()) == 3
        """,
    )

    code, printed = project.pytest("-q")

    assert (code, "2 passed" in printed) == (0, True), printed


def test_a_failing_assertion_shows_what_was_enqueued_and_none_of_our_code(project: Project) -> None:
    project.write(
        "test_photos.py",
        """
        from photos import thumbnail


        def test_enqueued(taskforge_kit):
            thumbnail.enqueue("a.jpg")
            taskforge_kit.assert_enqueued(thumbnail, "a.jpg", size=512)
        """,
    )

    code, printed = project.pytest("-q")

    assert code == 1
    assert "E       AssertionError: photos.thumbnail('a.jpg', size=512) was not enqueued; what was:" in printed
    assert "E         photos.thumbnail('a.jpg')  to photos" in printed
    assert "E             size is 256, not 512" in printed
    assert "/testing/kit.py" not in printed


def test_an_error_in_a_task_shows_the_tasks_own_lines(project: Project) -> None:
    project.write(
        "test_photos.py",
        """
        from photos import app
        from taskforge import Retry


        def test_error(run_until_idle):
            @app.task(retry=Retry(attempts=1))
            def bad():
                raise ValueError("this line")

            bad.enqueue()
            run_until_idle()
        """,
    )

    code, printed = project.pytest("-q")

    assert code == 1
    assert '>       raise ValueError("this line")' in printed
    assert "is dead (error) after attempt 1; run_until_idle(raise_errors=False) leaves it at that" in printed


def test_a_users_checker_knows_the_fixtures(project: Project) -> None:
    project.write(
        "test_photos.py",
        """
        from photos import thumbnail
        from taskforge import Taskforge
        from taskforge.testing import EnqueuedJob, FinishedRun, Kit, RunUntilIdle, under_test
        from taskforge.worker import Worker


        def test_types(
            taskforge_app: Taskforge, taskforge_kit: Kit, run_until_idle: RunUntilIdle, worker: Worker
        ) -> None:
            job: EnqueuedJob = taskforge_kit.assert_enqueued(thumbnail.using(delay=5), "a.jpg", size=512)
            runs: list[FinishedRun] = run_until_idle(within=60)
            with under_test(taskforge_app) as kit:
                kit.broker.lose_reply("enqueue", times=2)
            taskforge_kit.assert_enqueued(thumbnail, 1)
        """,
    )

    code, printed = project.run(
        "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir=types", "test_photos.py"
    )

    [line, summary] = printed.splitlines()
    assert 'Argument 2 to "assert_enqueued" of "Kit" has incompatible type "int"; expected "str"' in line
    assert (code, summary.startswith("Found 1 error")) == (1, True)


def test_the_kit_needs_no_pytest(project: Project) -> None:
    project.write(
        "program.py",
        """
        import sys
        import unittest

        from photos import app, thumbnail
        from taskforge.testing import under_test


        class Thumbnails(unittest.TestCase):
            def setUp(self):
                self.kit = self.enterContext(under_test(app))

            def test_thumbnail(self):
                thumbnail.enqueue("a.jpg")
                self.kit.assert_enqueued(thumbnail, "a.jpg")
                self.assertEqual(len(self.kit.run_until_idle()), 3)
                self.assertNotIn("pytest", sys.modules)
        """,
    )

    code, printed = project.run("-m", "unittest", "program")

    assert (code, "OK" in printed) == (0, True), printed
