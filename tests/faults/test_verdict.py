"""The judge of chaos runs: it must not overlook anything, nor see what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge import Taskforge
from taskforge.testing import under_test
from tests.faults import program
from tests.faults.chaos import OF_PROCESSES, OF_REDIS, OF_SQLITE, plan
from tests.faults.grounds import SqlitePlace
from tests.faults.kinds import KINDS, id_of, kind_of
from tests.faults.ledger import FOLDER, Ledger
from tests.faults.verdict import RECOVERY, Dealt, Verdict, judge

#: A hundred jobs have every kind in its share.
JOBS = 100
#: Processes that the ledger tells of.
GOOD, KILLED, FROZEN = "1-0", "2-0", "3-0"
FAST = next(number for number in range(JOBS) if kind_of(number).name == "fast")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    folder = tmp_path / "ledger"
    folder.mkdir()
    (tmp_path / "markers").mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    return Ledger(folder)


@pytest.fixture
def app(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Taskforge]:
    """The app, when all its jobs have run in this process, in no time; what they wrote down is gone."""
    monkeypatch.setattr(program, "seconds_of", lambda _number: 0.0)
    monkeypatch.setattr(program, "first_time", lambda: False)  # the first run of some ends its process
    with under_test(program.app) as kit:
        for number in range(JOBS):
            kit.app.by_name(f"tests.faults.program.{kind_of(number).name}").using(job_id=id_of(number)).enqueue(number)
        kit.run_until_idle(raise_errors=False)
        for file in ledger.folder.iterdir():
            file.unlink()
        yield kit.app


def write(ledger: Ledger, process: str, *lines: tuple[str, int, float]) -> None:
    with (ledger.folder / process).open("a") as file:
        file.writelines(f"{what} {id_of(number)} {at}\n" for what, number, at in lines)


def write_good_runs(ledger: Ledger, *, without: int = -1) -> None:
    """What an undisturbed run of all jobs leaves."""
    for number in range(JOBS):
        if number != without:
            kind = kind_of(number)
            for run in range(kind.runs):
                write(ledger, GOOD, ("began", number, number + run / 2), ("ended", number, number + run / 2 + 0.1))
            write(ledger, GOOD, ("buried" if kind.fails else "succeeded", number, number + 0.9))


def judged(app: Taskforge, ledger: Ledger, jobs: int = JOBS) -> Verdict:
    return judge(app, ledger, jobs, [Dealt("cut", 1.0, 2.95)], {KILLED: 50.0}, {FROZEN: 60.0})


def test_runs_without_fault_are_found_to_be_so(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger)

    verdict = judged(app, ledger)

    assert (verdict.complaints, verdict.extra_runs) == ([], 0)
    assert verdict.runs == JOBS + sum(kind.share for kind in KINDS if kind.runs == 2)
    assert verdict.recovered == {"cut": [pytest.approx(0.05)]}


def test_a_job_that_never_ran_is_a_complaint(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger, without=FAST)

    assert judged(app, ledger).complaints == [f"1 never ran: {id_of(FAST)} (fast)"]


def test_a_job_that_the_broker_does_not_know_is_a_complaint(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger)
    write(ledger, GOOD, ("began", JOBS, 200.0), ("ended", JOBS, 200.1), ("succeeded", JOBS, 200.2))

    counts, record = judged(app, ledger, JOBS + 1).complaints

    assert counts.startswith(f"queue {kind_of(JOBS).queue} has")
    assert record == f"1 have a record that does not fit: {id_of(JOBS)} ({kind_of(JOBS).name})"


def test_a_second_settlement_is_a_complaint(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger)
    write(ledger, KILLED, ("succeeded", FAST, 70.0))

    assert judged(app, ledger).complaints == [f"1 settled more than once: {id_of(FAST)} (fast)"]


@pytest.mark.parametrize("process", [KILLED, FROZEN])
def test_a_run_that_was_cut_short_may_be_made_good_for(app: Taskforge, ledger: Ledger, process: str) -> None:
    write_good_runs(ledger, without=FAST)
    write(ledger, process, ("began", FAST, 49.0))
    write(ledger, GOOD, ("began", FAST, 61.0), ("ended", FAST, 62.0), ("succeeded", FAST, 62.0))

    verdict = judged(app, ledger)

    assert (verdict.complaints, verdict.extra_runs) == ([], 1)


def test_a_run_too_many_is_a_complaint(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger)
    write(ledger, GOOD, ("began", FAST, 70.0), ("ended", FAST, 71.0))

    assert judged(app, ledger).complaints == [f"1 ran more often than they were cut short: {id_of(FAST)} (fast)"]


def test_two_runs_at_a_time_are_a_complaint(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger, without=FAST)
    write(ledger, KILLED, ("began", FAST, 48.0))
    write(ledger, GOOD, ("began", FAST, 49.0), ("ended", FAST, 62.0), ("succeeded", FAST, 62.0))

    assert judged(app, ledger).complaints == [f"1 had two runs at a time: {id_of(FAST)} (fast)"]


def test_a_slow_recovery_is_a_complaint(app: Taskforge, ledger: Ledger) -> None:
    write_good_runs(ledger)
    lull = [Dealt("cut", -RECOVERY - 1, -RECOVERY - 0.5)]  # the first run began at 0

    assert judge(app, ledger, JOBS, lull, {}, {}).complaints == [f"no run for {RECOVERY + 0.5:.1f} s after cut"]


def test_the_same_seed_plans_the_same_faults_and_each_kind_once(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    faults = plan(place, 40, 7)

    assert faults == plan(place, 40, 7)
    assert faults != plan(place, 40, 8)
    assert {fault.name for fault in faults} == {*OF_PROCESSES, *OF_SQLITE}
    assert len(faults) == 40
    assert not set(OF_REDIS) & set(OF_PROCESSES)
