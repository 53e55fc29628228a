"""Runs cases: every contestant once a round, each round in another order, so that a noisy minute hurts all alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import environments, programs
from benchmarks.harness.model import Case, Contestant, Result
from benchmarks.harness.programs import ProgramFailed
from benchmarks.harness.servers import Missing, Servers

Say = Callable[[str], None]


class Rounds:
    """Measures cases on the servers of one run."""

    def __init__(self, servers: Servers, say: Say) -> None:
        self._servers, self._say = servers, say

    def measure(self, case: Case, rounds: int) -> Result:
        """Every contestant `rounds` times. One that fails is left out of the later rounds, and the reason is kept."""
        result = Result(case)
        for number in range(rounds):
            turn = number % len(case.contestants)
            for contestant in case.contestants[turn:] + case.contestants[:turn]:
                if contestant.name not in result.failures:
                    self._once(case, contestant, result)
        for name in result.failures:
            result.reports.pop(name, None)  # half a series would be compared with whole ones
        return result

    def _once(self, case: Case, contestant: Contestant, result: Result) -> None:
        try:
            report = self._run(contestant, case.limit)
        except (ProgramFailed, Missing) as error:
            result.failures[contestant.name] = str(error)
            self._say(f"  {case.key}: {contestant.name} left out: {error}")
        else:
            result.reports.setdefault(contestant.name, []).append(report)

    def _run(self, contestant: Contestant, limit: float) -> dict[str, float]:
        spec = dict(contestant.options)
        if contestant.server != "none":
            place = self._servers.place(contestant.server)
            spec |= {"url": place.url, "port": place.port, "direct": place.direct}
        if contestant.peer:
            command = environments.command(contestant.peer, contestant.program)
        else:
            command = programs.ours(contestant.program)
        # On a disk, not in memory: a user's database is on one, too.
        with tempfile.TemporaryDirectory(prefix="tf-bench-", dir="/var/tmp") as scratch:
            return programs.run(command, {**spec, "scratch": str(Path(scratch))}, limit)
