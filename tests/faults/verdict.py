"""What a chaos run has shown: the ledger and the broker, held against each other and against the faults dealt."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from taskforge import JobError, JobState, Taskforge
from tests.faults.kinds import QUEUES, id_of, kind_of, number_of
from tests.faults.ledger import Ledger, Line

#: Of so many jobs the record is read and held against the ledger; and so many are named where something is wrong.
SAMPLE, NAMED = 500, 5
#: Runs may seem to overlap by as much (seconds): a line is written a moment before its process dies of a signal.
BLUR = 0.05
#: Seconds from the end of a fault to the next run, at most: three times what is promised, for a busy machine.
RECOVERY = 15.0


class Dealt(NamedTuple):
    """A fault, from when to when (monotonic)."""

    name: str
    at: float
    until: float


@dataclass
class Verdict:
    """`complaints` is empty if every promise was kept."""

    complaints: list[str] = field(default_factory=list)
    runs: int = 0
    extra_runs: int = 0
    #: Fault → seconds from its end to the next begin of a run, each time that no other fault came between.
    recovered: dict[str, list[float]] = field(default_factory=dict)

    def complain(self, what: str, numbers: Sequence[int]) -> None:
        if numbers:
            named = ", ".join(f"{id_of(each)} ({kind_of(each).name})" for each in numbers[:NAMED])
            self.complaints.append(f"{len(numbers)} {what}: {named}")


def judge(
    app: Taskforge,
    ledger: Ledger,
    jobs: int,
    dealt: Sequence[Dealt],
    killed: Mapping[str, float],
    frozen: Mapping[str, float],
) -> Verdict:
    """Look at everything. `killed` and `frozen` tell when the processes died, or went on."""
    verdict = Verdict()
    began, settled = array("B", bytes(jobs)), array("B", bytes(jobs))
    begins = array("d")
    for line in ledger.lines("began", "succeeded", "buried"):
        number = number_of(line.id)
        if line.what == "began":
            began[number] += 1
            begins.append(line.at)
        else:
            settled[number] += 1
    verdict.runs = len(begins)
    verdict.complain("never ran", [each for each in range(jobs) if not began[each]])
    verdict.complain("settled more than once", [each for each in range(jobs) if settled[each] > 1])
    _judge_runs(verdict, ledger, [each for each in range(jobs) if began[each] > 1], killed, frozen)
    _judge_counts(verdict, app, jobs)
    _judge_records(verdict, app, jobs, began)
    verdict.recovered = _recoveries(sorted(begins), dealt)
    slow = {name: max(each) for name, each in verdict.recovered.items() if each and max(each) > RECOVERY}
    verdict.complaints += [f"no run for {seconds:.1f} s after {name}" for name, seconds in slow.items()]
    return verdict


def _judge_runs(
    verdict: Verdict, ledger: Ledger, numbers: Sequence[int], killed: Mapping[str, float], frozen: Mapping[str, float]
) -> None:
    """Of jobs that ran more than once: no run too many, and no two at a time."""
    wanted, lines = set(numbers), defaultdict(list)
    for line in ledger.lines("began", "ended"):
        if (number := number_of(line.id)) in wanted:
            lines[number].append(line)
    too_many, at_once = [], []
    for number in numbers:
        runs = list(_runs(lines[number], killed, frozen))
        extra = len(runs) - kind_of(number).runs
        verdict.extra_runs += max(0, extra)
        if extra > sum(process in killed or process in frozen for _, _, process in runs):
            too_many.append(number)
        ordered = sorted((begin, end) for begin, end, process in runs if process not in frozen)
        if any(begin < end - BLUR for (_, end), (begin, _) in pairwise(ordered)):
            at_once.append(number)
    verdict.complain("ran more often than they were cut short", too_many)
    verdict.complain("had two runs at a time", at_once)


def _runs(
    lines: Sequence[Line], killed: Mapping[str, float], frozen: Mapping[str, float]
) -> Iterator[tuple[float, float, str]]:
    """Begin, end and process of each run of one job. One that was cut short ended with its process."""
    by_process = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.at):
        by_process[line.process].append(line)
    for process, its in by_process.items():
        for index, line in enumerate(its):
            if line.what == "began":
                after = its[index + 1] if index + 1 < len(its) else None
                ended = after.at if after is not None else killed.get(process, frozen.get(process, line.at))
                yield line.at, ended, process


def _judge_counts(verdict: Verdict, app: Taskforge, jobs: int) -> None:
    """Everything has ended, once, and as it should."""
    for queue in QUEUES:
        kinds = [kind_of(each) for each in range(jobs) if kind_of(each).queue == queue]
        dead = sum(kind.fails for kind in kinds)
        counts = app.inspector.counts(queue)
        expected = (0, 0, 0, len(kinds) - dead, dead, 0)
        found = (counts.ready, counts.delayed, counts.running, counts.succeeded, counts.dead, counts.cancelled)
        if found != expected:
            verdict.complaints.append(
                f"queue {queue} has (ready, delayed, running, succeeded, dead, cancelled) {found}, not {expected}"
            )


def _judge_records(verdict: Verdict, app: Taskforge, jobs: int, began: array[int]) -> None:
    """What the broker says of some jobs agrees with what they did."""
    chosen = range(0, jobs, max(1, jobs // SAMPLE))
    verdict.complain(
        "have a record that does not fit", [each for each in chosen if not _record_fits(app, each, began[each])]
    )


def _record_fits(app: Taskforge, number: int, runs: int) -> bool:
    kind = kind_of(number)
    handle = app.job(id_of(number), kind.queue)
    try:
        info = handle.info()
        if info.state is not (JobState.DEAD if kind.fails else JobState.SUCCEEDED) or info.crashes > runs:
            return False
        return not kind.returns or handle.result(1) == number
    except JobError:
        return False  # there is no record, or no result


def _recoveries(begins: Sequence[float], dealt: Sequence[Dealt]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for index, fault in enumerate(dealt):
        place = bisect_left(begins, fault.until)
        next_at = dealt[index + 1].at if index + 1 < len(dealt) else float("inf")
        measured = found[fault.name]
        if place < len(begins) and begins[place] < next_at:
            measured.append(begins[place] - fault.until)
    return dict(found)
