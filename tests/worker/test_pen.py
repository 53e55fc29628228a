"""Isolated runs: each in a child process that is reused, asked, killed, and told of."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from taskforge import Call, Isolate, Retry, Taskforge
from taskforge.errors import AppError, MemoryExceeded, ProcessDied
from taskforge.failure import CarriedError, lineage
from taskforge.outcome import (
    Crashed,
    Dropped,
    Failed,
    GivenUp,
    HandedBack,
    Outcome,
    Packed,
    Postponed,
    RunTimeout,
    Unfit,
)
from taskforge.run import Run, StopCause
from taskforge.settlement import Bury, Requeue
from taskforge.worker.pen import Pen
from taskforge.worker.pen.children import IDLE_AGE
from taskforge.worker.pen.pipe import Pipe
from taskforge.worker.pen.process import Child
from taskforge.worker.pen.reporting import Reporter
from taskforge.worker.runner import Runner
from tests.servers import wait_until
from tests.worker import penned
from tests.worker.deliveries import delivery, run_of

#: Beyond any load of the machine (seconds): what takes longer has not ended.
LONG = 30.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(penned.app)


@pytest.fixture(scope="module")
def pen(runner: Runner) -> Iterator[Pen]:
    """One for all tests that leave it as they found it."""
    pen = Pen(penned.app, runner.stopped)
    pen.start()
    yield pen
    pen.stop(LONG)


@pytest.fixture
def impatient_pen(own_pen: Pen) -> Pen:
    """One that soon kills what it has asked to stop."""
    own_pen._patience = 0.3
    return own_pen


@pytest.fixture
def own_pen(runner: Runner) -> Iterator[Pen]:
    """One for tests that look at its children."""
    pen = Pen(penned.app, runner.stopped)
    pen.start()
    yield pen
    pen.stop(0)


# Running.


def test_a_run_is_in_another_process_and_its_result_comes_back_packed(pen: Pen) -> None:
    pid, parent, entered = returned(pen, penned.where)

    assert pid != os.getpid()
    assert parent == os.getpid()
    assert entered[0] == "worker"


def test_a_child_is_used_again_and_enters_what_is_wrapped_around_workers_once(own_pen: Pen) -> None:
    first, second = returned(own_pen, penned.where), returned(own_pen, penned.where)

    assert first[0] == second[0]
    assert (first[2], second[2]) == (["worker", "job"], ["worker", "job", "job"])


def test_a_child_that_has_run_enough_is_replaced_and_leaves_what_it_entered(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENNED_NOTE", str(tmp_path / "note"))
    pen = Pen(penned.app, runner.stopped)
    pen.start()

    pids = [returned(pen, penned.once), returned(pen, penned.once)]

    assert pids[0] != pids[1]
    wait_until((tmp_path / "note").exists, LONG)
    pen.stop(LONG)


def test_a_job_that_wants_a_fresh_process_does_not_get_a_used_one(own_pen: Pen) -> None:
    used = returned(own_pen, penned.where)[0]

    assert returned(own_pen, penned.once) != used
    assert result(own_pen.call(alone(penned.where)), penned.where)[0] != used
    assert returned(own_pen, penned.where)[0] == used


def test_what_nobody_needs_any_more_is_let_go(own_pen: Pen) -> None:
    pid = str(returned(own_pen, penned.where)[0])

    own_pen.children._look(time.monotonic() + IDLE_AGE)

    wait_until(lambda: not lives(pid), LONG)
    assert returned(own_pen, penned.add, 1, 2) == 3


def test_the_settings_in_force_are_those_of_the_worker(runner: Runner) -> None:
    before = penned.app.settings.result_limit
    penned.app.configure(result_limit=before + 1)
    pen = Pen(penned.app, runner.stopped)
    pen.start()

    found = returned(pen, penned.setting, "result_limit")

    assert found == before + 1
    pen.stop(0)
    penned.app.configure(result_limit=before)


def test_the_workers_process_alone_tells_that_a_run_starts(pen: Pen) -> None:
    penned.entered.clear()

    inside = result(pen.call(alone(penned.where)), penned.where)[2]

    assert inside == ["worker", "job"]
    assert penned.entered == [f"{penned.where.name} started"]


def test_what_a_run_said_last_goes_before_its_end() -> None:
    ours, theirs = map(Pipe, socket.socketpair())
    run = run_of(penned.app, penned.add, 1, 2)
    reporter = Reporter(theirs)

    run.progress(1)
    reporter.tell(run, 7)
    first = ours.receive()
    run.progress(2)
    reporter.tell(run, 7)
    reporter.finish(run, 7)
    theirs.send(["ended"])

    assert first == ["progress", 7, 1, None, "", b""]
    assert [ours.receive(), ours.receive()] == [["progress", 7, 2, None, "", b""], ["ended"]]
    ours.close()
    theirs.close()


def test_a_spare_is_started_before_it_is_needed(own_pen: Pen) -> None:
    returned(own_pen, penned.where)

    wait_until(lambda: [child.jobs for child in own_pen.children._idle] in ([0, 1], [1, 0]), LONG)


def test_the_current_job_is_the_run_and_what_it_asks_for_travels_back(pen: Pen) -> None:
    run = run_of(penned.app, penned.inside.using(headers={"k": "v"}, timeout=60), attempts=2)

    outcome = pen.call(run)

    told = result(outcome, penned.inside)
    assert (told["id"], told["attempt"], told["headers"]) == (run.id, 3, {"k": "v"})
    assert [job.id for job in run.then] == [told["later"]]
    assert run.latest_progress == (2, 2, "", b"")
    assert run.started is not None


def test_runs_of_several_threads_are_side_by_side(pen: Pen) -> None:
    runs = [run_of(penned.app, penned.sleep) for _ in range(3)]

    outcomes = [in_thread(pen, run) for run in runs]
    wait_until(lambda: all(run.latest_progress is not None for run in runs), LONG)

    for run in runs:
        run.request_stop(StopCause.SHUTDOWN)
    wait_until(lambda: outcomes == [[HandedBack()]] * 3, LONG)


def test_a_coroutine_function_runs_there_too(pen: Pen) -> None:
    run = alone(penned.lonely)

    pid, parent = result(pen.call(run), penned.lonely)

    assert (pid != os.getpid(), parent) == (True, os.getpid())


def test_two_runs_that_are_to_be_alone_never_share_a_child(pen: Pen) -> None:
    first, second = (result(pen.call(alone(penned.where)), penned.where)[0] for _ in range(2))

    assert first != second


def test_it_holds_no_descriptor_of_the_worker(pen: Pen, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        found = result(pen.call(alone(penned.descriptors)), penned.descriptors)

    assert not [each for each in found if "secret" in each]
    assert len([each for each in found if "socket" in each]) == 1
    assert "0 /dev/null" in found


def test_what_cannot_be_called_with_its_arguments_is_unfit(pen: Pen) -> None:
    by_name = Taskforge("sender", broker="memory://").by_name(penned.add.name).using(isolate=True)
    run = Runner(penned.app).open(delivery(penned.app, by_name, 1))
    assert isinstance(run, Run)

    outcome = pen.call(run)

    assert isinstance(outcome, Unfit)
    assert outcome.reason == "arguments"


def test_nothing_is_enqueued_into_a_memory_that_nobody_shares(pen: Pen) -> None:
    outcome = pen.call(run_of(penned.app, penned.enqueue))

    assert isinstance(outcome, Failed)
    assert "use enqueue_on_success" in str(outcome.error)


# Failing.


def test_an_error_is_carried_with_its_classes_and_its_traceback(pen: Pen) -> None:
    outcome = pen.call(run_of(penned.app, penned.fail, "why"))

    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, CarriedError)
    assert (outcome.error.text.type, outcome.error.text.message) == ("tests.worker.penned.Custom", "why")
    assert lineage(outcome.error) == lineage(penned.Custom())
    assert "raise Custom(message)" in outcome.error.text.traceback
    assert "runner.py" not in outcome.error.text.traceback


@pytest.mark.parametrize(("never", "kind"), [(OSError, Bury), (ValueError, Requeue)])
def test_retry_rules_match_a_carried_error_by_its_classes(
    pen: Pen, runner: Runner, never: type[Exception], kind: type
) -> None:
    run = run_of(penned.app, penned.fail.using(retry=Retry(never=never)), "why")

    assert isinstance(runner.judge(run, pen.call(run)), kind)


def test_a_backoff_of_the_tasks_own_sees_the_error_itself(pen: Pen) -> None:
    later, never = (pen.call(run_of(penned.app, penned.fail_with_own_backoff, wait)) for wait in (5, None))

    assert isinstance(later, Postponed)
    assert (later.delay, later.counts) == (timedelta(seconds=5), True)
    assert isinstance(never, GivenUp)


@pytest.mark.parametrize(
    ("how", "kind", "rest"),
    [
        ("later", Postponed, (timedelta(seconds=7), True)),
        ("snooze", Postponed, (timedelta(seconds=8), False)),
        ("fail", GivenUp, ("error",)),
        ("discard", Dropped, ("discarded",)),
    ],
)
def test_a_task_chooses_how_its_run_ends(pen: Pen, how: str, kind: type, rest: tuple[object, ...]) -> None:
    outcome = pen.call(run_of(penned.app, penned.choose, how))

    assert isinstance(outcome, kind)
    assert tuple(part for part in outcome if not isinstance(part, CarriedError)) == rest


def test_a_result_that_is_too_large_is_told(pen: Pen) -> None:
    outcome = pen.call(run_of(penned.app, penned.too_large))

    assert isinstance(outcome, GivenUp)
    assert (outcome.reason, outcome.error.args[0].split(":")[0]) == ("result", "taskforge.errors.PayloadTooLarge")


# Dying.


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exit 0", "exit code 0"),
        ("exit 3", "exit code 3"),
        ("segfault", "SIGSEGV"),
        ("killed", "SIGKILL"),
        ("mute", "exit code 1"),
    ],
)
def test_a_process_that_dies_takes_nobody_along_and_is_recorded_as_what_it_was(pen: Pen, how: str, said: str) -> None:
    outcome = pen.call(run_of(penned.app, penned.die, how))

    assert isinstance(outcome, Crashed)
    assert isinstance(outcome.error, ProcessDied)
    assert str(outcome.error).startswith(f"the isolated run ended its process: {said}, peak memory ")
    assert returned(pen, penned.add, 1, 2) == 3


def test_a_child_that_was_killed_while_it_was_idle_is_no_crash(own_pen: Pen) -> None:
    pid = returned(own_pen, penned.where)[0]
    os.kill(pid, 9)

    again = returned(own_pen, penned.where)[0]

    assert again != pid


def test_an_allocation_over_the_limit_is_a_memory_error(pen: Pen) -> None:
    within = returned(pen, penned.eat, 50)
    outcome = pen.call(run_of(penned.app, penned.eat, 600))

    assert within == 50 << 20
    assert isinstance(outcome, Failed)
    assert outcome.reason == "memory"
    assert isinstance(outcome.error, CarriedError)
    assert lineage(outcome.error)[0] == "builtins.MemoryError"


def test_growing_past_the_limit_ends_the_process_and_is_told(pen: Pen) -> None:
    call = penned.eat_shared.using(isolate=Isolate(memory="256MB"))

    outcome = pen.call(run_of(penned.app, call, 400))

    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, MemoryExceeded)
    assert isinstance(outcome.error, MemoryError)
    assert (outcome.reason, "may take 256 MiB" in str(outcome.error)) == ("memory", True)


# Stopping.

CAUSES = [
    (StopCause.CANCEL, Dropped),
    (StopCause.TIMEOUT, Failed),
    (StopCause.SHUTDOWN, HandedBack),
    (StopCause.LOST, HandedBack),
]


@pytest.mark.parametrize(("cause", "kind"), CAUSES)
def test_a_run_that_is_asked_to_stop_is_interrupted_where_it_is(
    pen: Pen, cause: StopCause, kind: type, tmp_path: Path
) -> None:
    outcome = stopped(pen, run_of(penned.app, penned.tidy, str(tmp_path / "note")), cause)

    assert isinstance(outcome, kind)
    assert (tmp_path / "note").read_text() == "tidied"


@pytest.mark.parametrize(("cause", "kind"), CAUSES)
def test_a_run_that_does_not_stop_is_killed(impatient_pen: Pen, cause: StopCause, kind: type) -> None:
    outcome = stopped(impatient_pen, run_of(penned.app, penned.stubborn), cause)

    assert isinstance(outcome, kind)
    if isinstance(outcome, Failed):
        assert (type(outcome.error), outcome.reason) == (RunTimeout, "timeout")


def test_a_run_that_holds_the_interpreter_is_killed(impatient_pen: Pen, tmp_path: Path) -> None:
    outcome = stopped(impatient_pen, run_of(penned.app, penned.hold, str(tmp_path)), StopCause.CANCEL)

    assert isinstance(outcome, Dropped)


def test_a_child_that_stands_still_is_killed_though_it_does_not_read(impatient_pen: Pen) -> None:
    pid = returned(impatient_pen, penned.where)[0]
    os.kill(pid, signal.SIGSTOP)
    run = run_of(penned.app, penned.fail, "x" * 250_000)  # more than a socket holds
    outcomes = in_thread(impatient_pen, run)
    wait_until(lambda: run.on_stop is not None and impatient_pen.children._busy, LONG)

    wait_until(lambda: [run.request_stop(StopCause.CANCEL), outcomes][1], LONG)

    assert isinstance(outcomes[0], Dropped)


def test_a_coroutine_that_is_asked_to_stop_is_cancelled(pen: Pen) -> None:
    outcome = stopped(pen, alone(penned.lonely, 3600), StopCause.CANCEL)

    assert isinstance(outcome, Dropped)
    assert outcome.reason == "requested"


def test_what_a_run_has_started_is_killed_with_it(impatient_pen: Pen, tmp_path: Path) -> None:
    stopped(impatient_pen, run_of(penned.app, penned.parent_of, str(tmp_path)), StopCause.CANCEL)

    pids = (tmp_path / "pids").read_text().split()
    wait_until(lambda: not [pid for pid in pids if lives(pid)], LONG)


def test_a_request_to_stop_does_not_reach_the_childs_next_run(own_pen: Pen) -> None:
    returned(own_pen, penned.add, 1, 2)
    run = run_of(penned.app, penned.sleep, 0.5)
    outcomes = in_thread(own_pen, run)
    wait_until(lambda: run.latest_progress is not None, LONG)

    [child] = own_pen.children._busy
    child._pipe.send(["stop", 1, "cancel"])
    os.kill(child.pid, signal.SIGTERM)

    wait_until(lambda: outcomes, LONG)
    assert result(outcomes[0], penned.sleep) == "slept"


def test_a_sigterm_of_a_stranger_means_nothing(own_pen: Pen) -> None:
    run = run_of(penned.app, penned.sleep, 0.5)
    outcomes = in_thread(own_pen, run)
    wait_until(lambda: run.latest_progress is not None, LONG)

    [child] = own_pen.children._busy
    os.kill(child.pid, signal.SIGTERM)

    wait_until(lambda: outcomes, LONG)
    assert result(outcomes[0], penned.sleep) == "slept"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_request_that_comes_as_the_run_is_handed_over_is_heard(
    own_pen: Pen, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    begin = Child.begin

    def asked_meanwhile(child: Child, run: Run, module: str, memory: int | None) -> int:
        if moment == "before":
            run.request_stop(StopCause.CANCEL)
        number = begin(child, run, module, memory)
        if moment == "after":
            run.request_stop(StopCause.CANCEL)
        return number

    killed: list[Child] = []
    monkeypatch.setattr(Child, "begin", asked_meanwhile)
    monkeypatch.setattr(Child, "kill", killed.append)

    outcomes = [own_pen.call(run_of(penned.app, penned.sleep)) for _ in range(3)]

    assert [type(outcome) for outcome in outcomes] == [Dropped] * 3
    assert not killed


def test_a_run_that_was_asked_before_it_had_a_child_ends_without_one(own_pen: Pen) -> None:
    run = run_of(penned.app, penned.sleep)
    run.request_stop(StopCause.CANCEL)

    outcome = own_pen.call(run)

    assert isinstance(outcome, Dropped)


def test_a_pen_that_stops_kills_what_runs_and_hands_it_back(own_pen: Pen) -> None:
    run = run_of(penned.app, penned.stubborn)
    outcomes = in_thread(own_pen, run)
    wait_until(lambda: run.latest_progress is not None, LONG)

    own_pen.stop(0)

    wait_until(lambda: outcomes == [HandedBack()], LONG)


# Not starting.


def test_an_app_that_does_not_import_in_a_child_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = imported(tmp_path, monkeypatch, "import os\nif os.environ.get('BROKEN'): raise RuntimeError('no database')")
    monkeypatch.setenv("BROKEN", "1")

    with pytest.raises(AppError, match="no process for isolated runs: RuntimeError: no database"):
        Pen(app, Runner(app).stopped).start()


def test_a_first_child_that_is_killed_at_its_start_has_a_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    app = imported(
        tmp_path,
        monkeypatch,
        "import os\nfrom pathlib import Path\n"
        f"if os.environ.get('SHORT') and not Path({str(first)!r}).exists():\n"
        f"    Path({str(first)!r}).touch()\n    os.kill(os.getpid(), 9)",
    )
    monkeypatch.setenv("SHORT", "1")
    pen = Pen(app, Runner(app).stopped)

    pen.start()
    outcome = pen.call(run_of(app, app.tasks["task"].using(isolate=True)))
    pen.stop(LONG)

    assert first.exists()
    assert isinstance(outcome, Packed)


def test_children_that_are_always_killed_at_their_start_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = imported(tmp_path, monkeypatch, "import os\nif os.environ.get('SHORT'): os.kill(os.getpid(), 9)")
    monkeypatch.setenv("SHORT", "1")

    with pytest.raises(AppError, match="ended at its start: SIGKILL"):
        Pen(app, Runner(app).stopped).start()


def test_a_child_that_does_not_start_later_fails_each_run_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = imported(tmp_path, monkeypatch, "import os\nif os.environ.get('BROKEN'): raise RuntimeError('no database')")
    pen = Pen(app, Runner(app).stopped, spare=0)
    pen.start()
    monkeypatch.setenv("BROKEN", "1")

    task = app.tasks["task"].using(isolate=Isolate(reuse=1))
    outcomes = [pen.call(run_of(app, task)) for _ in range(3)]
    pen.stop(LONG)

    assert [type(outcome) for outcome in outcomes] == [Packed, Failed, Failed]
    assert isinstance(outcomes[1], Failed)
    assert "no database" in str(outcomes[1].error)
    assert [record.message for record in caplog.records] == ["isolated_process_not_started"]


def test_a_module_that_ends_the_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = imported(tmp_path, monkeypatch, "import os, sys\nif os.environ.get('BROKEN'): os._exit(7)")
    monkeypatch.setenv("BROKEN", "1")

    with pytest.raises(AppError, match="ended at its start: exit code 7"):
        Pen(app, Runner(app).stopped).start()


def test_a_memory_limit_that_leaves_no_room_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = imported(tmp_path, monkeypatch, "held = bytearray(64 << 20)")
    app.task(name="small", isolate=Isolate(memory="48MB"))(print)

    with pytest.raises(AppError, match="small is isolated with memory=48 MiB.* raise the limit"):
        Pen(app, Runner(app).stopped).start()


def test_an_app_that_no_child_could_import_is_refused_at_the_start() -> None:
    app = Taskforge("nowhere", broker="memory://")
    task = app.task(isolate=True)(lambda: None)
    pen = Pen(app, Runner(app).stopped)

    with pytest.raises(AppError, match="in no module's global variable"):
        pen.start()
    assert not pen.takes(task)


def returned(pen: Pen, call: Call[..., object], *args: object) -> object:  # type: ignore[explicit-any]
    """What it returns in the pen."""
    return result(pen.call(run_of(penned.app, call, *args)), call)


def result(outcome: Outcome, call: Call[..., object]):  # type: ignore[no-untyped-def]
    assert isinstance(outcome, Packed), outcome
    return penned.app.codec.read_result(outcome.result, call.target.types)


def alone(call: Call[..., object], *args: object) -> Run:
    run = run_of(penned.app, call, *args)
    run.keep_alone()
    return run


def in_thread(pen: Pen, run: Run) -> list[Outcome]:
    outcomes: list[Outcome] = []
    threading.Thread(target=lambda: outcomes.append(pen.call(run)), daemon=True).start()
    return outcomes


def stopped(pen: Pen, run: Run, cause: StopCause) -> Outcome:
    """How it ends when it is asked to stop in the middle."""
    outcomes = in_thread(pen, run)
    wait_until(lambda: run.latest_progress is not None, LONG)
    run.request_stop(cause)
    wait_until(lambda: outcomes, LONG)
    return outcomes[0]


def lives(pid: str) -> bool:
    """Whether this process is there, and no mere entry that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Taskforge:
    """The app of a module that begins like this."""
    import importlib

    name = f"pen_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(
        f"{text}\nfrom taskforge import Taskforge\napp = Taskforge('{name}', broker='memory://')\n"
        "@app.task(name='task', isolate=True)\ndef task() -> None: ...\n"
    )
    monkeypatch.syspath_prepend(folder)
    app: Taskforge = importlib.import_module(name).app
    return app
