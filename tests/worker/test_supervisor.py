"""The parent of worker processes: who is started, replaced, watched over and buried; with small programs for them."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from taskforge import Taskforge
from taskforge.settings import Settings
from taskforge.worker.notifying import Outside
from taskforge.worker.parent import Parent
from taskforge.worker.parent.crew import End
from taskforge.worker.parent.plan import GIVE_UP
from taskforge.worker.shared import ChildState, Figures
from tests.servers import wait_until
from tests.worker.children import LIMIT, Household


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Callable[[str], Household]]:
    """Makes a household of children with these words."""
    made: list[Household] = []

    def make(words: str = "ready") -> Household:
        made.append(Household(tmp_path / f"book-{len(made)}", words))
        return made[-1]

    yield make
    for each in made:
        if hasattr(each, "crew"):
            each.end()


Make = Callable[..., Household]


# Starting, and starting again


def test_it_starts_so_many_children_each_in_a_session_of_its_own(household: Make) -> None:
    house = household()
    house.start(processes=2)

    house.until_said("ready", times=2)

    assert len(house.who("born", "True")) == 2


def test_a_child_that_dies_is_replaced_at_once_and_what_it_held_is_given_back(household: Make) -> None:
    house = household()
    house.start()
    house.until_said("ready")
    [victim] = house.born()

    os.kill(victim, signal.SIGKILL)

    house.until_said("ready", times=2)
    house.until(lambda: house.deaths)
    [death] = house.deaths
    assert (death.name, death.pid, death.how) == (f"host.{victim}.cafe", victim, "was ended by SIGKILL")


def test_those_that_took_jobs_are_replaced_soon_however_often_they_die(household: Make) -> None:
    house = household("ready 9")
    crew = house.start(processes=2, first_wait=0.01)

    house.until_said("ready", times=4 * GIVE_UP)

    assert (crew.end, crew.failures) == (None, 0)
    assert crew.starts_in(time.monotonic()) <= 0.01


def test_a_child_that_ends_in_order_by_itself_is_replaced_and_has_nothing_to_give_back(household: Make) -> None:
    house = household("ready 0")
    house.start()

    house.until_said("ready", times=3)

    assert not house.deaths


def test_children_that_die_at_start_are_started_again_ever_later_and_then_given_up(household: Make) -> None:
    house = household("7")
    crew = house.start(processes=2)

    house.until(lambda: crew.end)

    assert crew.end is not None
    assert (crew.end.code, "exit code 7" in crew.end.reason) == (1, True)
    assert [crew.plan.again_in(failures) for failures in range(4)] == [0, 0.001, 0.002, 0.004]


def test_given_up_is_after_so_many_rounds_however_many_start_in_each(household: Make) -> None:
    house = household("7")
    crew = house.start(processes=3)

    house.until(lambda: crew.end)

    assert crew.failures == GIVE_UP


@pytest.mark.parametrize("code", [2, 3])
def test_children_that_say_that_none_can_start_like_this_are_believed_at_once(household: Make, code: int) -> None:
    house = household(str(code))
    crew = house.start()

    house.until(lambda: crew.end)

    assert crew.end is not None
    assert (crew.end.code, len(house.born())) == (code, 1)


def test_a_child_that_never_takes_jobs_is_killed_and_counts_as_dead_at_start(household: Make) -> None:
    house = household("deaf")
    crew = house.start(start_within=0.2)

    house.until(lambda: crew.end)

    assert crew.failures == GIVE_UP


def test_a_child_that_waits_for_the_broker_is_waited_for(household: Make) -> None:
    house = household("waiting")
    crew = house.start()
    house.until_said("waiting")

    object.__setattr__(crew.plan, "start_within", 0.02)
    began = time.monotonic()
    house.until(lambda: time.monotonic() > began + 0.1)

    assert len(house.born()) == 1
    assert not crew.failures


def test_with_a_finite_task_who_is_done_is_not_replaced(household: Make) -> None:
    house = household("ready 0")
    crew = house.start(processes=2, finite=True)

    house.until(lambda: crew.gone and not crew.wanted)

    assert len(house.born()) == 2


def test_a_bound_on_jobs_is_shared_out_among_the_children(household: Make) -> None:
    house = household("ready 0")
    crew = house.start(processes=3, max_jobs=5, finite=True)

    house.until(lambda: crew.gone and not crew.wanted)

    shares = [line.split()[3:] for line in house.lines() if "born" in line]
    assert sorted(shares) == [["--max-jobs", "1"], ["--max-jobs", "2"], ["--max-jobs", "2"]]


def test_a_successor_gets_what_is_left_of_the_share(household: Make) -> None:
    house = household("done=3 ready")
    crew = house.start(processes=1, max_jobs=7, finite=True, jobs_per_child=3)

    house.until(lambda: crew.gone and not crew.wanted)

    shares = [line.split()[4] for line in house.lines() if "born" in line]
    assert shares == ["7", "4", "1"]


# Replacing


def test_a_child_with_its_share_of_jobs_rests_only_once_its_successor_works(household: Make) -> None:
    house = household("done=3 ready")
    house.start(jobs_per_child=3)

    house.until_said("d")

    old, new = house.born()[:2]
    heard = [line for line in house.lines() if "born" not in line]
    assert heard[:4] == [f"{old} ready", f"{new} ready", f"{old} q", f"{old} d"]


def test_a_child_that_has_grown_too_large_is_replaced_between_jobs(household: Make) -> None:
    house = household("done=1 held=1 ready beats")
    crew = house.start(memory_per_child=1 << 40)
    house.until(lambda: crew.children and crew.children[0].was_ready)
    [child] = crew.children

    object.__setattr__(crew.plan, "memory_per_child", 1)
    house.until_said("q")
    rested = time.monotonic()
    house.until(lambda: time.monotonic() > rested + 0.3)
    assert house.who("d") == [], "it holds a job"
    child.shared.figures = Figures(done=1)

    house.until_said("d")


def test_a_limit_of_memory_below_what_an_idle_child_needs_is_refused(household: Make) -> None:
    house = household()
    crew = house.start(memory_per_child=1 << 20)

    house.until(lambda: crew.end)

    assert crew.end is not None
    assert crew.end.code == 2
    assert "1 MiB a child are less than an idle one needs" in crew.end.reason


def test_a_restart_replaces_one_child_after_the_other(household: Make) -> None:
    house = household()
    crew = house.start(processes=2)
    house.until_said("ready", times=2)
    old = house.born()

    crew.replace_all("asked")
    house.until_said("d", times=2)
    house.until(lambda: len(crew.children) == 2)

    assert sorted(house.who("d")) == sorted(old)
    lines = house.lines()
    third = lines.index(f"{house.born()[2]} ready")
    assert third < next(at for at, line in enumerate(lines) if line.endswith(" q"))
    assert [line.split()[1] for line in lines].index("q") < lines.index(f"{house.born()[3]} ready")


def test_when_successors_cannot_start_the_old_ones_go_on(household: Make) -> None:
    house = household()
    crew = house.start()
    house.until_said("ready")
    [old] = house.born()

    crew.plan.command[-1] = "2"  # type: ignore[index]
    crew.replace_all("new code")
    house.until(lambda: crew.failures > GIVE_UP)

    assert crew.end is None
    assert [child.pid for child in crew.children if child.was_ready] == [old]
    assert not house.who("q")


def test_a_child_with_a_run_that_overstays_is_told_to_end_once_another_works(household: Make) -> None:
    house = household("ready replace_me")
    crew = house.start()
    crew.tend(time.monotonic())
    crew.plan.command[-1] = "ready"  # type: ignore[index]

    house.until_said("d")
    old = house.born()[0]

    assert house.who("d") == [old]
    assert house.lines().index(f"{house.born()[1]} ready") < house.lines().index(f"{old} d")


def test_of_several_that_overstay_none_waits_for_another(household: Make) -> None:
    house = household("ready replace_me")
    crew = house.start(processes=2)
    crew.tend(time.monotonic())
    crew.plan.command[-1] = "waiting"  # type: ignore[index]

    house.until_said("waiting", times=2)

    assert len(house.born()) == 4


# Watching


def test_a_silent_child_is_asked_for_its_stacks_and_killed_before_its_leases_run_out(household: Make) -> None:
    house = household("ready")  # it has claimed already, and never came to say that it lives
    crew = house.start(settings=Settings(lease=timedelta(seconds=1)))

    house.until_said("stacks")
    [silent] = house.who("stacks")[:1]
    house.until(lambda: crew.silenced)

    house.until(lambda: silent in [death.pid for death in house.deaths])
    assert crew.plan.killed_after == 2.0


def test_how_long_a_child_may_be_silent_follows_the_lease() -> None:
    def after(lease: float) -> float:
        return Household(Path()).plan(settings=Settings(lease=timedelta(seconds=lease))).killed_after

    assert [after(lease) for lease in (0.5, 8, 20, 60, 600)] == [2.0, 6.0, 15.0, 50.0, 590.0]


def test_silence_counts_only_while_the_parent_itself_looks(household: Make) -> None:
    house = household("ready beat")
    crew = house.start()
    house.until(lambda: crew.children and crew.children[0].was_ready and crew.children[0].shared.beat_age(0.0) == 0.0)
    [child] = crew.children
    now = time.monotonic()
    child.look(now)

    child.look(now + 3_600)  # the machine was suspended, or we were

    assert 1.9 < child.silence <= 2.0 + LIMIT / 10


def test_what_a_dead_child_has_started_is_killed_before_anything_is_given_back(household: Make) -> None:
    house = household("sleep ready")
    house.start()
    house.until_said("ready")
    left = next(int(line.split()[2]) for line in house.lines() if "left" in line)

    os.kill(house.born()[0], signal.SIGKILL)
    house.until(lambda: house.deaths)

    assert _gone(left)


# Resting and ending


def test_resting_holds_for_those_that_start_meanwhile(household: Make) -> None:
    house = household()
    crew = house.start()
    house.until(lambda: crew.children and crew.children[0].was_ready)

    crew.rest(True)
    house.until_said("q")
    os.kill(house.born()[0], signal.SIGKILL)
    house.until_said("q", times=2)
    crew.rest(False)
    house.until_said("r")

    assert house.who("q") == house.born()
    assert house.who("r") == house.born()[1:]


def test_a_child_that_outstays_every_grace_is_killed(household: Make) -> None:
    house = household("ready deaf")
    crew = house.start(margin=0.05)
    house.until_said("ready")

    crew.stop(time.monotonic())
    house.until(lambda: crew.gone)

    assert crew.worst == 1
    assert len(house.deaths) == 1


def test_who_has_not_begun_yet_is_not_waited_for(household: Make) -> None:
    house = household("deaf")
    crew = house.start()
    house.until(lambda: house.born())

    crew.stop(time.monotonic())
    house.until(lambda: crew.gone)

    assert crew.worst == 0


# The parent's loop


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[..., tuple[Parent, Household]]]:
    with Taskforge("parental", broker="memory://") as app:

        def make(words: str = "ready", **given: object) -> tuple[Parent, Household]:
            house = Household(tmp_path / "book", words)
            house.book.touch()
            parent = Parent(app, house.plan(**given))
            parent._terminal = False
            house.crew = parent.crew
            return parent, house

        yield make


Raise = Callable[..., tuple[Parent, Household]]


def run(parent: Parent, house: Household, *steps: tuple[Callable[[], object], int]) -> int:
    """Run it here, and send it each signal once its condition holds."""
    ended = threading.Event()

    def meanwhile() -> None:
        try:
            for condition, signum in steps:
                wait_until(condition, LIMIT)
                os.kill(os.getpid(), signum)
        finally:
            if not ended.wait(LIMIT):
                parent.crew.end = End(99, "it did not end by itself")
                parent.inbox.wake()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    try:
        return parent.run()
    finally:
        ended.set()
        thread.join(LIMIT)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains(parent: Raise, signum: int) -> None:
    it, house = parent(processes=2)

    code = run(it, house, (lambda: len(house.who("ready")) == 2, signum))

    assert code == 0
    assert sorted(house.who("d")) == sorted(house.born())


def test_the_second_one_hurries_and_so_does_quit_at_once(parent: Raise) -> None:
    it, house = parent("ready", margin=30.0)

    code = run(it, house, (lambda: house.who("ready"), signal.SIGQUIT))

    assert code == 0
    assert house.who("d") or house.who("h")


def test_hup_replaces_tstp_rests_cont_resumes_and_usr1_asks_for_stacks(parent: Raise) -> None:
    it, house = parent()

    code = run(
        it,
        house,
        (lambda: len(house.who("ready")) == 1, signal.SIGHUP),
        (lambda: len(house.who("ready")) == 2 and len(it.crew.children) == 1, signal.SIGTSTP),
        (lambda: len(house.who("q")) == 2, signal.SIGCONT),
        (lambda: house.who("r"), signal.SIGUSR1),
        (lambda: house.who("s"), signal.SIGTERM),
    )

    assert code == 0
    assert house.who("r") == house.who("s") == house.born()[1:]


def test_on_a_terminal_the_end_of_the_line_ends_it(parent: Raise) -> None:
    it, house = parent()
    it._terminal = True

    code = run(it, house, (lambda: house.who("ready"), signal.SIGHUP))

    assert (code, house.who("d")) == (0, house.born())


def test_what_the_register_wishes_of_the_group_is_done_once_for_each_moment(parent: Raise) -> None:
    it, house = parent(processes=2)

    def relayed(what: str, at: int) -> bool:
        if len(house.who("ready")) < 2 or len(it.crew.children) != 2:
            return False
        for child in it.crew.children:
            child.shared.ask(what, at)
        return True

    def renewed_and_asked_again() -> bool:
        return len(house.who("ready")) == 4 and relayed("restart", 1_000) and relayed("shutdown", 2_000)

    code = run(
        it, house, (lambda: relayed("restart", 1_000), signal.SIGCHLD), (renewed_and_asked_again, signal.SIGCHLD)
    )

    assert code == 0
    assert len(house.born()) == 4


def test_the_service_manager_hears_of_each_turn(parent: Raise, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(LIMIT)
        it, house = parent(environ={"NOTIFY_SOCKET": path, "PATH": os.environ["PATH"]})
        it.outside = Outside({"NOTIFY_SOCKET": path})
        said: list[str] = []

        def hears(count: int) -> bool:
            while len(said) < count:
                said.append(listener.recv(4096).decode().partition("=")[0])
            return True

        run(it, house, (lambda: hears(1), signal.SIGHUP), (lambda: hears(3), signal.SIGTERM))
        hears(4)

    assert said == ["READY", "RELOADING", "READY", "STOPPING"]


def test_it_gives_up_with_the_code_of_its_children(parent: Raise) -> None:
    it, _ = parent("2")

    assert it.run() == 2


def test_children_that_have_ended_leave_no_descriptor_open(household: Make) -> None:
    house = household("ready 0")
    house.start(first_wait=0.0)
    house.until_said("ready")
    before = len(os.listdir("/proc/self/fd"))

    house.until_said("ready", times=20)

    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_it_leaves_nobody_behind_when_it_fails(parent: Raise, monkeypatch: pytest.MonkeyPatch) -> None:
    it, house = parent()

    def fail() -> None:
        if house.who("ready"):
            raise RuntimeError("a defect")

    monkeypatch.setattr(it, "_wishes", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        it.run()

    assert all(_gone(pid) for pid in house.born())


def test_it_tells_whether_it_is_alive_and_ready(parent: Raise) -> None:
    it, house = parent()
    told: list[tuple[bool, bool]] = []

    def look() -> bool:
        told.append((it.alive().ok, it.ready().ok))
        return told[-1] == (True, True)

    assert not it.ready().ok, "nobody takes jobs yet"
    assert run(it, house, (look, signal.SIGTERM)) == 0


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_state_is_told_by_name() -> None:
    assert [state.name for state in ChildState][:3] == ["STARTING", "WAITING", "READY"]
