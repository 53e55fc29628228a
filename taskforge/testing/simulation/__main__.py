"""The command `python -m taskforge.testing.simulation`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from taskforge.testing.simulation.opening import opener
from taskforge.testing.simulation.searching import Failure, search, simulate
from taskforge.testing.simulation.shrinking import shrink

COMMAND = "python -m taskforge.testing.simulation"


def main(arguments: Sequence[str]) -> int:
    """0 when every promise was kept, else 1."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--seed", type=int, help="run the simulation of this seed alone, and show what happens in it")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many to run (%(default)s)")
    parser.add_argument("--start", type=int, default=0, help="the first of them (%(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one per core")
    parser.add_argument("--broker", default="memory://", help="a URL, or module:function (%(default)s)")
    parser.add_argument("--whole", action="store_true", help="show a failure as it was found, not the shortest one")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.broker, options.whole)
    if options.processes > 1:
        return _side_by_side(options)
    seeds = range(options.start, options.start + options.seeds)
    failure = search(seeds, opener(options.broker))
    if failure is not None:
        return _show(failure, options.broker, options.whole)
    print(f"seeds {seeds.start:,} to {seeds.stop - 1:,}: every promise was kept")
    return 0


def _one(seed: int, broker: str, whole: bool) -> int:
    report: list[str] = []
    failure = simulate(seed, opener(broker), report.append)
    if failure is not None:
        return _show(failure, broker, whole)
    print(*report, sep="\n")
    print(f"\nseed {seed:,}: every promise was kept")
    return 0


def _show(failure: Failure, broker: str, whole: bool) -> int:
    shown = failure if whole else shrink(failure, opener(broker))
    print(shown)
    print(f"\nseed {failure.seed}: {failure.steps} lines{'' if whole else f', of which {shown.steps} suffice'}. Again:")
    print(f"    {COMMAND} --seed {failure.seed}" + (f" --broker {broker}" if broker != "memory://" else ""))
    return 1


def _side_by_side(options: argparse.Namespace) -> int:
    """Each process a part of the seeds."""
    share = -(-options.seeds // options.processes)
    end = options.start + options.seeds
    running = []
    for start in range(options.start, end, share):
        command = [sys.executable, "-m", "taskforge.testing.simulation", "--processes", "1"]
        command += ["--start", str(start), "--seeds", str(min(share, end - start)), "--broker", options.broker]
        running.append(subprocess.Popen(command + (["--whole"] if options.whole else [])))
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
