"""The command: python -m benchmarks [--quick] [--only NAME] [--rounds N] [--peers none|all|NAMES] [--write FILE]"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cases, words
from benchmarks.harness import environments, machine, report
from benchmarks.harness.model import Case, Result, Size
from benchmarks.harness.rounds import Rounds
from benchmarks.harness.servers import Servers

QUICK_ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 when a contestant of ours failed."""
    given = _parser().parse_args(arguments)
    size = Size(given.quick)
    chosen = [case for case in cases.every(size, _peers(given.peers)) if _wanted(case, given.only)]
    if given.list:
        print("\n".join(f"{case.key:<28} {case.title}" for case in chosen))
        return 0
    if not chosen:
        print(f"no case is named like {given.only}; --list shows them", file=sys.stderr)
        return 2
    start = time.monotonic()
    most = QUICK_ROUNDS if given.quick else 100
    results = _measure(chosen, lambda case: given.rounds or min(case.rounds, most))
    minutes = (time.monotonic() - start) / 60
    print(f"{len(results)} cases in {minutes:.1f} min")
    if given.write:
        _write(Path(given.write), results, minutes)
    return 1 if any(name.startswith(("ours", "floor")) for result in results for name in result.failures) else 0


def _measure(chosen: Sequence[Case], rounds: Callable[[Case], int]) -> list[Result]:
    results = []
    with Servers() as servers:
        runner = Rounds(servers, lambda line: print(line, file=sys.stderr, flush=True))
        for case in chosen:
            results.append(runner.measure(case, rounds(case)))
            print("\n".join(report.lines(results[-1])), flush=True)
    return results


def _write(path: Path, results: Sequence[Result], minutes: float) -> None:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    head = words.HEAD.format(date=when, minutes=f"{minutes:.0f}")
    measured = {each.peer for result in results for each in result.case.contestants if each.name in result.reports}
    peers = {name: text for name, text in machine.peer_versions().items() if name in measured}
    path.write_text(report.document(results, machine.facts(), peers, head, words.TAIL))
    print(f"written: {path}")


def _wanted(case: Case, only: Sequence[str]) -> bool:
    """Whether any of the words stands in its key; all cases without words."""
    return not only or any(word in case.key for word in only)


def _peers(given: str) -> frozenset[str]:
    known = environments.names()
    if given in ("all", "none"):
        return frozenset(known if given == "all" else ())
    asked = frozenset(name.strip() for name in given.split(","))
    if not asked <= set(known):
        raise SystemExit(f"--peers: known are {', '.join(known)}, all and none")
    return asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure taskforge, its floor and its peers.")
    add = parser.add_argument
    add("--quick", action="store_true", help="the short form: fewer jobs and rounds, the key ratios, no peers")
    add("--only", action="append", default=[], metavar="WORD", help="cases with this in their key; may be repeated")
    add("--rounds", type=int, default=0, metavar="N", help="so many rounds of each case")
    add("--peers", default="all", metavar="NAMES", help="all, none, or some by name: celery,rq [all]")
    add("--write", metavar="FILE", help="write the results there, too")
    add("--list", action="store_true", help="show the cases and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
