"""Each command, for people and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from taskforge import JobState, Retry, Taskforge
from taskforge.cli import COMMANDS
from tests.cli.harness import LIMIT, ROOT, Run, on_a_terminal

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def _work(app: Taskforge) -> None:
    with app.worker(threads=2, burst=True) as worker:
        assert worker.wait(LIMIT)


# enqueue and result


def test_enqueue_prints_the_id_and_nothing_else(run: Run, app: Taskforge) -> None:
    said = run("enqueue", "shop.add", "1")

    assert said.code == 0
    assert said.err == ""
    assert app.job(said.out.strip()).info().args == [1]


def test_enqueue_as_json_tells_id_queue_and_newness(run: Run) -> None:
    first = json.loads(run("enqueue", "shop.write", "a", "--job-id", "mine", "--json").out)
    second = json.loads(run("enqueue", "shop.write", "a", "--job-id", "mine", "--json").out)

    assert first == {"id": "mine", "queue": "files", "new": True}
    assert second == {"id": "mine", "queue": "files", "new": False}


@pytest.mark.parametrize(
    ("written", "args", "kwargs"),
    [
        (["3", "4"], [3, 4], {}),
        (["abc"], ["abc"], {}),
        (["=3"], ["3"], {}),
        (["true", "null"], [True, None], {}),
        (['["a", {"b": 1}]'], [["a", {"b": 1}]], {}),
        (["1", "b=2"], [1], {"b": 2}),
        (["a=x", "b==2"], [], {"a": "x", "b": "2"}),
        (["a=http://x/?y=1"], [], {"a": "http://x/?y=1"}),
        (["a-b=c"], ["a-b=c"], {}),
        (["1.5", "--", "-5"], [1.5, -5], {}),
        ([""], [""], {}),
    ],
    ids=str,
)
def test_values_are_json_where_they_are_json_and_else_text(
    run: Run, app: Taskforge, written: list[str], args: list[object], kwargs: dict[str, object]
) -> None:
    said = run("enqueue", "shop.add", *written)

    info = app.job(said.out.strip()).info()
    assert (info.args, info.kwargs) == (args, kwargs)


def test_the_options_of_enqueue_are_those_of_using(run: Run, app: Taskforge) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)

    delayed = run("enqueue", "shop.add", "1", "--delay", "60", "-p", "7", "-q", "mail", "--expires", "90")
    at = run("enqueue", "shop.add", "1", "--at", moment.isoformat())

    info = app.job(delayed.out.strip()).info()
    assert (info.state, info.priority, info.queue) == (JobState.DELAYED, 7, "mail")
    assert info.expires_at is not None
    due = app.job(at.out.strip()).info().due_at
    assert due is not None
    assert abs((due - moment).total_seconds()) < 0.01


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (["--at", "2030-01-01"], "zone"),
        (["--at", "tomorrow"], "at"),
        (["--delay", "-1"], "delay must be from 0 seconds"),
        (["--delay", "soon"], "'soon' is not a valid float"),
        (["--delay", "nan"], "delay must be from 0 seconds"),
        (["--expires", "-1"], "expires must be from 0 seconds"),
        (["-p", "500"], "priority must be a whole number from -100 to 100"),
        (["-q", "{x}"], "a queue's name must not contain braces"),
        (["--job-id", "a b"], "job_id must not contain spaces"),
        (["--delay", "5", "--at", SOON], "not both"),
        (["--prioritty", "5"], "--priority"),
    ],
    ids=str,
)
def test_a_bad_option_of_enqueue_is_wrong_usage_named_in_words(run: Run, written: list[str], says: str) -> None:
    said = run("enqueue", "shop.add", "1", *written)

    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_arguments_that_do_not_bind_are_wrong_usage(run: Run) -> None:
    said = run("enqueue", "shop.add", "1", "2", "3")

    assert said.code == 2
    assert "shop.add(a" in said.err


def test_arguments_that_cannot_travel_are_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_PAYLOAD_LIMIT", "1024")
    (said,) = [_reloaded(run, "enqueue", "shop.add", "x" * 2_000)]

    assert said.code == 2
    assert "over the limit of 1,024" in said.err


def _reloaded(run: Run, *arguments: str):  # type: ignore[no-untyped-def]
    from pathlib import Path

    text = next(Path().glob("shop_*.py")).read_text()
    Path("limited.py").write_text(text)
    sys.modules.pop("limited", None)
    return run("-A", "limited", *arguments, bare=True)


def test_an_unknown_task_is_enqueued_and_told_of(run: Run) -> None:
    said = run("enqueue", "shop.elsewhere", "1")

    assert said.code == 0
    assert "'shop.elsewhere' is no task of this app" in said.err
    assert said.out.strip()


def test_enqueue_that_waits_prints_the_result(run: Run, app: Taskforge) -> None:
    with app.worker(threads=1):
        plain = run("enqueue", "shop.add", "a", "b", "--wait", "10")
        as_json = run("enqueue", "shop.add", "1", "--wait", "10", "--json")

    assert (plain.code, plain.out) == (0, "'ab'\n")
    assert json.loads(as_json.out)["result"] == 2


def test_enqueue_that_waits_for_a_failure_ends_with_1_and_says_why(run: Run, app: Taskforge) -> None:
    with app.worker(threads=1):
        said = run("enqueue", "shop.fail", "--wait", "10")

    assert (said.code, said.out) == (1, "")
    assert "ValueError: no such item" in said.err


def test_enqueue_that_waits_in_vain_ends_with_1_and_names_the_job(run: Run, app: Taskforge) -> None:
    said = run("enqueue", "shop.add", "1", "--wait", "0.1", "--job-id", "mine")

    assert said.code == 1
    assert "mine is still ready after 0.1 s; it goes on" in said.err
    assert app.job("mine").state() is JobState.READY


def test_result_prints_what_the_task_returned(run: Run, app: Taskforge) -> None:
    job = app.enqueue("shop.add", "a", "b")
    _work(app)

    assert (run("result", job.id).code, run("result", job.id).out) == (0, "'ab'\n")
    assert json.loads(run("result", job.id, "--json").out) == {"id": job.id, "result": "ab"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda app: app.enqueue("shop.fail").id, "ValueError: no such item"),
        (lambda app: app.by_name("shop.add").using(delay=60).enqueue(1).id, "is still delayed"),
        (lambda app: "unknown", "no queue knows a job unknown"),
    ],
    ids=["failed", "waiting", "unknown"],
)
def test_result_ends_with_1_where_there_is_none(run: Run, app: Taskforge, make, says: str) -> None:  # type: ignore[no-untyped-def]
    job_id = make(app)
    _work(app)

    said = run("result", job_id)

    assert (said.code, said.out) == (1, "")
    assert says in said.err


def test_the_result_of_a_cancelled_job_is_1(run: Run, app: Taskforge) -> None:
    job = app.enqueue("shop.add", 1)
    job.cancel()

    said = run("result", job.id)

    assert said.code == 1
    assert "was cancelled (requested)" in said.err


# Looking


def test_queues_counts_by_state(run: Run, app: Taskforge) -> None:
    for number in range(3):
        app.enqueue("shop.add", number)
    app.enqueue("shop.write", "x")

    plain, as_json = run("queues"), json.loads(run("queues", "--json").out)

    head, default, files = plain.out.splitlines()
    assert head.split()[:3] == ["queue", "ready", "delayed"]
    assert default.split()[:2] == ["default", "3"]
    assert files.split()[:2] == ["files", "1"]
    assert (as_json["default"]["ready"], as_json["files"]["ready"]) == (3, 1)


def test_jobs_lists_those_in_a_state(run: Run, app: Taskforge) -> None:
    good, bad = app.enqueue("shop.add", 1, b=2), app.enqueue("shop.fail")
    _work(app)

    plain, as_json = run("jobs", "dead"), json.loads(run("jobs", "dead", "--json").out)

    assert bad.id in plain.out
    assert "ValueError: no such item" in plain.out
    assert good.id not in plain.out
    (info,) = as_json
    assert (info["id"], info["task"], info["state"], info["reason"]) == (bad.id, "shop.fail", "dead", "error")
    assert info["errors"][0]["message"] == "no such item"


def test_jobs_can_be_narrowed_and_paged(run: Run, app: Taskforge) -> None:
    ids = [app.enqueue("shop.add", number).id for number in range(5)]
    app.enqueue("shop.write", "x")

    def listed(*arguments: str) -> list[str]:
        return [each["id"] for each in json.loads(run("jobs", "ready", "--json", *arguments).out)]

    assert listed("-q", "default") == ids
    assert listed("-q", "default", "-n", "2") == ids[:2]
    assert listed("-q", "default", "-n", "2", "--offset", "3") == ids[3:]
    assert len(listed("--task", "shop.write")) == 1
    assert listed("--reason", "crashed") == []


def test_no_jobs_is_said_and_is_no_failure(run: Run) -> None:
    assert (run("jobs", "dead").code, run("jobs", "dead").err) == (0, "no jobs are dead\n")
    assert json.loads(run("jobs", "dead", "--json").out) == []


def test_an_unknown_state_is_wrong_usage(run: Run) -> None:
    said = run("jobs", "failed")

    assert said.code == 2
    assert "'dead'" in said.err


def test_job_shows_everything(run: Run, app: Taskforge) -> None:
    job = app.by_name("shop.fail").using(priority=3, headers={"tenant": "acme"}).enqueue()
    _work(app)

    plain, as_json = run("job", job.id), json.loads(run("job", job.id, "--json").out)

    assert plain.code == 0
    for text in (job.id, "dead (error)", "shop.fail()", "tenant: acme", "ValueError: no such item", "raise ValueError"):
        assert text in plain.out
    assert as_json["headers"] == {"tenant": "acme"}
    assert as_json["attempts"] == 1


def test_an_unreadable_job_is_shown_as_such(run: Run, app: Taskforge) -> None:
    from tests.bad_input.harness import put

    put(app, b"\xff\x00hello")

    plain, listed = run("job", "raw"), run("jobs", "ready")

    assert (plain.code, listed.code) == (0, 0)
    assert "unreadable: the body (7 bytes) was not written by taskforge" in plain.out
    assert json.loads(run("job", "raw", "--json").out)["args"] is None


@pytest.mark.parametrize("command", ["job", "result", "cancel", "redrive"])
def test_an_unknown_job_is_1_and_said(run: Run, command: str) -> None:
    said = run(command, "unknown")

    assert (said.code, said.out) == (1, "")
    assert "no queue knows a job unknown" in said.err


@pytest.mark.parametrize("command", ["job", "result", "cancel", "redrive"])
def test_a_job_that_two_queues_know_is_told_of_with_the_remedy(run: Run, app: Taskforge, command: str) -> None:
    for queue in ("one", "two"):
        app.by_name("shop.add").using(queue=queue, job_id="twice").enqueue(1)

    said = run(command, "twice")

    assert said.code == 1
    assert "the queues one, two each know a job twice" in said.err
    assert run("job", "twice", "-q", "one").code == 0


def test_a_table_survives_odd_texts(run: Run, app: Taskforge) -> None:
    app.enqueue("shop.add", "line\none", b="ü" * 500)

    said = run("jobs", "ready")

    assert len(said.out.splitlines()) == 2


@pytest.mark.parametrize("command", ["jobs dead", "job rude", "jobs ready", "job raw"])
def test_the_texts_of_jobs_cannot_steer_a_terminal(app: Taskforge, module: str, command: str) -> None:
    @app.task(name="shop.rude\x1b[2J", retry=Retry(attempts=1))
    def rude() -> None:
        raise ValueError("\x1b[2Jgone")

    rude.using(job_id="rude", headers={"\x1b[2J": "\x1b[2J"}).enqueue()
    _work(app)
    app.by_name("shop.rude\x1b[2J").using(job_id="raw").enqueue()

    said = on_a_terminal("-A", module, *command.split())

    assert b"shop.rude" in said
    assert b"\x1b" not in said


# Mending


def test_redrive_runs_named_jobs_again(run: Run, app: Taskforge) -> None:
    dead, ready = app.enqueue("shop.fail"), app.by_name("shop.add").using(delay=60).enqueue(1)
    _work(app)

    good = run("redrive", dead.id)
    assert (good.code, good.out) == (0, "1 redriven\n")
    assert dead.state() is JobState.READY

    bad = run("redrive", ready.id)
    assert bad.code == 1
    assert f"{ready.id} is neither dead nor cancelled" in bad.err
    assert json.loads(run("redrive", ready.id, "--json").out) == {ready.id: False}


def test_redrive_all_takes_every_dead_job_of_a_queue(run: Run, app: Taskforge) -> None:
    ids = [job.id for job in app.by_name("shop.fail").enqueue_many([()] * 300)]
    _work(app)
    assert app.inspector.counts("default").dead == 300

    said = run("redrive", "-q", "default", "--all", "--yes", "--json")

    assert json.loads(said.out) == dict.fromkeys(ids, True)
    assert app.inspector.counts("default").ready == 300


def test_redrive_all_can_take_the_cancelled_instead(run: Run, app: Taskforge) -> None:
    job = app.enqueue("shop.add", 1)
    job.cancel()

    assert run("redrive", "-q", "default", "--all", "--cancelled", "--yes").out == "1 redriven\n"
    assert job.state() is JobState.READY


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ([], "name jobs by id, or say --queue NAME --all"),
        (["x", "--all"], "name jobs by id, or say --queue NAME --all"),
        (["--all"], "--all needs --queue NAME"),
        (["--all", "-q", "default"], "say --yes to confirm"),
        (["--cancelled", "x"], "--all"),
    ],
    ids=str,
)
def test_a_redrive_that_is_not_clear_is_wrong_usage(run: Run, written: list[str], says: str) -> None:
    said = run("redrive", *written)

    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_one_unknown_id_keeps_redrive_and_cancel_from_changing_anything(run: Run, app: Taskforge) -> None:
    dead, waiting = app.enqueue("shop.fail"), app.by_name("shop.add").using(delay=60).enqueue(1)
    _work(app)

    assert run("redrive", dead.id, "unknown").code == 1
    assert run("cancel", waiting.id, "unknown").code == 1

    assert (dead.state(), waiting.state()) == (JobState.DEAD, JobState.DELAYED)


def test_cancel_ends_what_waits(run: Run, app: Taskforge) -> None:
    one, two = app.enqueue("shop.add", 1), app.enqueue("shop.add", 2)

    said = run("cancel", one.id)

    assert (said.code, said.out) == (0, f"{one.id} cancelled\n")
    assert one.state() is JobState.CANCELLED
    assert json.loads(run("cancel", two.id, "--json").out) == {two.id: "cancelled"}


def test_cancel_asks_what_runs_to_stop(run: Run, app: Taskforge, monkeypatch: pytest.MonkeyPatch) -> None:
    app.configure(lease=2)
    with app.worker(threads=1):
        job = app.enqueue("shop.hold")
        _until_running(app, job.id)

        said = run("cancel", job.id)

        assert (said.code, said.out) == (0, f"{job.id} is running; asked to stop\n")
        assert run("result", job.id, "--wait", "10").err.endswith("was cancelled (requested)\n")


def test_cancelling_what_has_ended_is_1(run: Run, app: Taskforge) -> None:
    job = app.enqueue("shop.add", 1)
    _work(app)

    said = run("cancel", job.id)

    assert (said.code, said.out) == (1, f"{job.id} had ended\n")


def test_cancel_needs_an_id(run: Run) -> None:
    assert run("cancel").code == 2


def test_purge_without_a_terminal_refuses_unless_told_yes(run: Run, app: Taskforge) -> None:
    app.by_name("shop.add").enqueue_many([(n,) for n in range(1_200)])

    refused = run("purge", "ready", "-q", "default")
    assert (refused.code, refused.out) == (2, "")
    assert "Delete 1200 ready jobs of default: say --yes to confirm" in refused.err
    assert app.inspector.counts("default").ready == 1_200

    done = run("purge", "ready", "-q", "default", "--yes")
    assert (done.code, done.out) == (0, "1200 purged\n")
    assert app.inspector.counts("default").ready == 0


def test_purge_as_json(run: Run, app: Taskforge) -> None:
    app.enqueue("shop.add", 1)

    said = run("purge", "ready", "-q", "default", "--yes", "--json")

    assert json.loads(said.out) == {"queue": "default", "state": "ready", "purged": 1}


@pytest.mark.parametrize("written", [["running", "-q", "default"], ["ready"], ["nothing", "-q", "default"]], ids=str)
def test_a_purge_that_is_not_clear_is_wrong_usage(run: Run, written: list[str]) -> None:
    assert run("purge", *written, "--yes").code == 2


@pytest.mark.parametrize("command", [["queues"], ["jobs", "ready"], ["purge", "ready", "--yes"]], ids=str)
@pytest.mark.parametrize("name", ["{x}", "a\nb", "q" * 201])
def test_a_bad_queue_name_is_wrong_usage_and_makes_no_queue(run: Run, command: list[str], name: str) -> None:
    if command == ["queues"]:
        said = run("enqueue", "shop.add", "1", "-q", name)
    else:
        said = run(*command, "-q", name)

    assert said.code == 2


def _until_running(app: Taskforge, job_id: str) -> None:
    from tests.servers import wait_until

    wait_until(lambda: app.job(job_id).state() is JobState.RUNNING, LIMIT, "the job running")


# Help


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_the_shell(run: Run, shell: str) -> None:
    said = run("completion", shell, bare=True)

    assert said.code == 0
    assert "_TASKFORGE_COMPLETE" in said.out


def test_an_unknown_shell_is_wrong_usage(run: Run) -> None:
    assert run("completion", "tcsh", bare=True).code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_needs_no_app(run: Run, command: str) -> None:
    said = run(command, "--help", bare=True)

    assert said.code == 0
    assert f"taskforge {command}" in said.out
    assert len(max(said.out.splitlines(), key=len)) <= 80


def test_help_names_every_command_and_loads_no_broker() -> None:
    program = (
        "import sys; sys.argv = ['taskforge', '--help']\n"
        "from taskforge.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print('ended', end.code)\n"
        "print('loaded', sorted({'redis', 'sqlite3', 'croniter'} & set(sys.modules)))"
    )

    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "ended 0\nloaded []" in out
    for name in COMMANDS:
        assert f"\n  {name} " in out


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    said = run("wroker")

    assert said.code == 2
    assert "wroker" in said.err


def test_no_command_prints_the_help(run: Run) -> None:
    said = run(bare=True)

    assert "worker" in said.out + said.err


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version", bare=True).out.startswith("taskforge, version ")
