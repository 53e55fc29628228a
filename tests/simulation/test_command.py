"""`python -m taskforge.testing.simulation`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def simulation(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taskforge.testing.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_seeds_that_keep_every_promise_say_so() -> None:
    done = simulation("--seeds", "20", "--start", "5", "--processes", "2")

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        "seeds 15 to 24: every promise was kept",
        "seeds 5 to 14: every promise was kept",
    ]


def test_one_seed_shows_what_happens_in_it() -> None:
    done = simulation("--seed", "1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "client 1" in done.stdout
    assert done.stdout.endswith("seed 1: every promise was kept\n")


def test_a_failure_tells_the_command_that_repeats_it() -> None:
    broker = ("--broker", "tests.simulation.plants:unnumbered")

    done = simulation("--seeds", "200", "--processes", "1", "--whole", *broker)

    assert done.returncode == 1
    again = done.stdout.splitlines()[-1].split()
    assert again[:3] == ["python", "-m", "taskforge.testing.simulation"]
    assert simulation(*again[3:], "--whole").stdout == done.stdout
    shortest = simulation(*again[3:])
    assert shortest.returncode == 1
    assert len(shortest.stdout) < len(done.stdout)


def test_without_greenlet_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['greenlet'] = None; import taskforge.testing.simulation"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.stderr.splitlines()[-1] == (
        "ImportError: the simulation needs the library greenlet: pip install 'taskforge[simulation]'"
    )


def test_the_rest_of_the_test_kit_does_without_greenlet() -> None:
    program = "import sys; sys.modules['greenlet'] = None; import taskforge.testing"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
