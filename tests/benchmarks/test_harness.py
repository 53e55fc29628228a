"""The benchmarks still run: floor and taskforge on a few jobs, and what is made of their reports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import cases, words
from benchmarks.harness import environments, programs, report
from benchmarks.harness.model import Bound, Case, Contestant, Figure, Result, Size
from benchmarks.harness.programs import ProgramFailed
from benchmarks.harness.rounds import Rounds
from benchmarks.harness.servers import Servers
from tests.servers import engines, wait_until

LIMIT = 40.0

#: Program, its options, and what it reports: each takes well under a second.
PROGRAMS: dict[str, tuple[str, dict[str, object], str]] = {
    "threads": ("throughput", {"n": 200}, "rate"),
    "no-ahead": ("throughput", {"n": 200, "ahead": False}, "rate"),
    "async": ("throughput", {"n": 200, "task": "anoop"}, "rate"),
    "one by one": ("enqueue", {"n": 200, "how": "one"}, "rate"),
    "batches": ("enqueue", {"n": 200, "how": "batch", "size": 100}, "rate"),
    "concurrent": ("enqueue", {"n": 200, "how": "concurrent", "size": 100}, "rate"),
    "start": ("latency", {"n": 40, "case": "start", "pause": 0.001}, "p50_us"),
    "result": ("latency", {"n": 40, "case": "result"}, "p50_us"),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """The servers of a run, on this machine's first engine."""
    with Servers(str(engines()[0].binary)) as running:
        yield running


@pytest.mark.parametrize("broker", ["redis", "sqlite"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_taskforge_is_measured_beside_the_floor(name: str, broker: str, servers: Servers) -> None:
    program, options, key = PROGRAMS[name]
    server = "plain" if broker == "redis" else "none"
    sides = [Contestant(side, f"{side}_{program}", {"broker": broker, **options}, server) for side in ("floor", "ours")]
    ratio = Figure("of the floor's", f"ours.{key}", f"floor.{key}")
    case = Case("small.case", name, tuple(sides), (ratio,), limit=LIMIT)

    result = Rounds(servers, print).measure(case, 1)

    assert result.failures == {}
    assert [value > 0 for value in result.figure(ratio)] == [True]


def test_every_verb_is_timed_on_both_brokers(servers: Servers, tmp_path: Path) -> None:
    place = servers.place("plain")

    redis = programs.run(
        programs.ours("ours_verbs"), {"broker": "redis", "url": place.url, "direct": place.direct}, LIMIT
    )
    sqlite = programs.run(programs.ours("ours_verbs"), {"broker": "sqlite", "scratch": str(tmp_path)}, LIMIT)

    assert {name.removesuffix(", script") for name in redis} == set(sqlite)


def test_every_figure_names_contestants_of_its_case_and_every_contestant_a_program_there_is() -> None:
    everything = [case for quick in (True, False) for case in cases.every(Size(quick), environments.names())]

    for case in everything:
        names = {each.name for each in case.contestants}
        for figure in case.figures:
            assert {path.rpartition(".")[0] for path in (figure.of, figure.over) if path} <= names, case.key
        for each in case.contestants:
            folder = environments.PEERS / each.peer if each.peer else programs.ROOT / "benchmarks" / "programs"
            assert (folder / (each.program if each.peer else f"{each.program}.py")).exists(), each
    assert len({case.key for case in cases.every(Size(), environments.names())}) == len(everything) - len(
        cases.every(Size(True), ())
    )


def test_a_figure_is_a_ratio_within_each_round_with_its_spread() -> None:
    figure = Figure("rate, of the floor's", "ours.rate", "floor.rate", bound=Bound(0.5, 0.3))
    case = Case("small.case", "a small case", (), (figure, Figure("rate", "ours.rate", unit="jobs/s")))
    reports = {"floor": [{"rate": 1000.0}, {"rate": 2000.0}, {"rate": 1000.0}]}
    reports["ours"] = [{"rate": 400.0}, {"rate": 1200.0}, {"rate": 300.0}]

    lines = report.lines(Result(case, reports))

    assert lines[1].split() == ["rate,", "of", "the", "floor's", "0.40", "(0.30–0.60)×", "≥", "0.50×:", "least"]
    assert lines[2].split() == ["rate", "400", "(300–1,200)", "jobs/s"]


@pytest.mark.parametrize(
    ("value", "bound", "said"),
    [
        (0.5, Bound(0.5), "ok"),
        (0.4, Bound(0.5), "short"),
        (0.4, Bound(0.5, 0.3), "least"),
        (9.0, Bound(10, at_most=True), "ok"),
        (11.0, Bound(10, at_most=True), "short"),
        (11.0, Bound(10, 12, at_most=True), "least"),
    ],
)
def test_a_bound_says_whether_it_is_reached(value: float, bound: Bound, said: str) -> None:
    assert report.verdict(bound, [value]) == said


def test_the_document_shows_figures_reports_and_what_was_left_out() -> None:
    figure = Figure("rate, of the peer's", "ours.rate", "peer.rate", bound=Bound(5))
    sides = (Contestant("ours", "x"), Contestant("peer", "x", peer="celery"))
    case = Case("small.case", "a small case", sides, (figure,), note="A note.")
    result = Result(case, {"ours": [{"rate": 400.0}]}, {"peer": "Traceback …\nKeyError: 'lost'"})

    text = report.document([result], {"Python": "3"}, {"celery": "celery 1"}, words.HEAD, words.TAIL)

    for part in ("`--only small.case`, 1 round. A note.", "| rate | 400 |", "not measured", "peer: KeyError: 'lost'"):
        assert part in text
    assert "| case | figure | must reach | reached: median (min–max) |  |\n|---|---:|---:|---:|---:|" in text


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    with pytest.raises(ProgramFailed, match=r"not done within 1.5 s"):
        programs.run([sys.executable, "-c", parent], {}, 1.5)

    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not alive(pid), what="the child gone")


def test_a_program_dies_with_the_run_that_started_it(tmp_path: Path) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = (
        f"import sys; from benchmarks.harness.programs import run; run([sys.executable, '-c', {child!r}], {{}}, 50)"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=programs.ROOT)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), what="the program running")

    run.kill()
    run.wait(10)

    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not alive(pid), what="the program gone")


def test_a_program_that_fails_leaves_its_contestant_out_and_the_others_in(servers: Servers) -> None:
    good = Contestant("floor", "floor_enqueue", {"broker": "redis", "n": 10, "how": "one"})
    bad = Contestant("ours", "ours_enqueue", {"broker": "redis"})

    result = Rounds(servers, print).measure(Case("small.case", "", (good, bad), (), limit=LIMIT), 2)

    assert len(result.reports["floor"]) == 2
    assert "KeyError: 'n'" in result.failures["ours"]


def test_the_command_refuses_a_case_and_a_peer_that_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "nonsense", "--peers", "none"]) == 2
    assert "--list shows them" in capsys.readouterr().err

    with pytest.raises(SystemExit, match="known are bullmq, celery"):
        command.main(["--peers", "celry"])


def alive(pid: int) -> bool:
    """Whether a process is there and not just waiting to be reaped."""
    with suppress(OSError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False
