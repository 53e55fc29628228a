"""Results as text: lines for a terminal, tables for RESULTS.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.harness.model import Bound, Figure, Result
from benchmarks.harness.spread import said, spread

PROMISED = (
    "`ok`: reached. `least`: short of it, but within what counts as done where careful profiling shows the first out "
    "of reach. `short`: neither. A × is a ratio to the floor or the peer named, measured in the same round."
)
#: More contestants than this are shown below each other.
WIDE = 4


def lines(result: Result) -> list[str]:
    """A case's figures, one a line."""
    found = [f"{result.case.key}: {result.case.title}"]
    if not result.case.figures:
        found += [f"  {row[0]:<52} {' · '.join(row[1:])}" for row in _rows(result)[1]]
    for figure in result.case.figures:
        values = result.figure(figure)
        unit = figure.unit if figure.unit == "×" else f" {figure.unit}"
        found.append(f"  {figure.title:<52} {spread(values)}{unit if values else ''}{_verdict_words(figure, values)}")
    return found


def document(
    results: Sequence[Result], facts: Mapping[str, str], peers: Mapping[str, str], head: str, tail: str
) -> str:
    """The whole of RESULTS.md."""
    parts = [head.strip(), "## Machine and versions", _bullets(facts)]
    parts += ["Peers, each in an environment of its own:", _bullets(peers)] if peers else []
    parts += ["## The figures that are promised", PROMISED, _promised(results)]
    for family in dict.fromkeys(result.case.key.partition(".")[0] for result in results):
        parts.append(f"## {family}")
        parts += [_section(each) for each in results if each.case.key.partition(".")[0] == family]
    return "\n\n".join([*parts, tail.strip()]) + "\n"


def verdict(bound: Bound | None, values: Sequence[float]) -> str:
    """ok, least (only what counts as done where the bound is out of reach), short, or not measured."""
    if bound is None:
        return ""
    if not values:
        return "not measured"
    middle = statistics.median(values)
    if bound.met_by(middle):
        return "ok"
    return "least" if bound.least_met_by(middle) else "short"


def _verdict_words(figure: Figure, values: Sequence[float]) -> str:
    if figure.bound is None:
        return ""
    return f"   {_asked(figure.bound, figure.unit)}: {verdict(figure.bound, values)}"


def _asked(bound: Bound, unit: str) -> str:
    sign = "≤" if bound.at_most else "≥"
    return f"{sign} {said(bound.number)}{unit if unit == '×' else f' {unit}'}"


def _promised(results: Sequence[Result]) -> str:
    rows = [
        (
            result.case.title,
            figure.title,
            _asked(figure.bound, figure.unit),
            spread(values),
            verdict(figure.bound, values),
        )
        for result in results
        for figure in result.case.figures
        if figure.bound is not None
        for values in [result.figure(figure)]
    ]
    return _table(("case", "figure", "must reach", "reached: median (min–max)", ""), rows)


def _section(result: Result) -> str:
    case = result.case
    parts = [f"### {case.title}", f"`--only {case.key}`, {_rounds(result)}.{f' {case.note}' if case.note else ''}"]
    figures = [(figure.title, spread(result.figure(figure)), figure.unit) for figure in case.figures]
    if figures:
        parts.append(_table(("figure", "median (min–max)", ""), figures))
    if result.reports:
        parts.append(_reports(result))
    parts += [f"Left out: {name}: {_one_line(reason)}" for name, reason in result.failures.items()]
    return "\n\n".join(parts)


def _rounds(result: Result) -> str:
    count = max((len(reports) for reports in result.reports.values()), default=0)
    return f"{count} round{'' if count == 1 else 's'}"


def _reports(result: Result) -> str:
    """What the contestants reported: a column each, or, of many, a row each."""
    names, rows = _rows(result)
    if len(names) <= WIDE:
        return _table(("reported", *names), rows)
    turned = [(name, *(row[at] for row in rows)) for at, name in enumerate(names, 1)]
    return _table(("", *(row[0] for row in rows)), turned)


def _rows(result: Result) -> tuple[list[str], list[tuple[str, ...]]]:
    """The contestants that reported, and for each thing reported what they said."""
    names = [each.name for each in result.case.contestants if each.name in result.reports]
    keys = list(dict.fromkeys(key for name in names for report in result.reports[name] for key in report))
    rows = [(key, *(spread(result.numbers(f"{name}.{key}")) for name in names)) for key in keys]
    return names, rows


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    ruled = "|".join(["---", *["---:"] * (len(head) - 1)])
    return "\n".join([f"| {' | '.join(head)} |", f"|{ruled}|", *(f"| {' | '.join(row)} |" for row in rows)])


def _bullets(facts: Mapping[str, str]) -> str:
    return "\n".join(f"* {name}: {text}" for name, text in facts.items())


def _one_line(text: str) -> str:
    lines = text.strip().splitlines()
    telling = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
    return " ".join(telling.split())[:300]
