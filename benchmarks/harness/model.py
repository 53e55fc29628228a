"""What a case is made of: contestants that are measured side by side, and figures worked out of what they report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Options = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program, started anew for each round with these options; it prints one JSON object of numbers.

    `peer` names the environment of a rival; without it the program is a module of benchmarks.programs. `server` is the
    Redis it gets: plain, aof (appendfsync everysec), slow (aof, behind a proxy that adds a millisecond), or none.
    """

    name: str
    program: str
    options: Options = field(default_factory=dict)
    server: str = "plain"
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure must be at least (or at most) this; `least` is what counts as done where that is out of reach."""

    number: float
    least: float | None = None
    at_most: bool = False

    def met_by(self, value: float) -> bool:
        return value <= self.number if self.at_most else value >= self.number

    def least_met_by(self, value: float) -> bool:
        if self.least is None:
            return False
        return value <= self.least if self.at_most else value >= self.least


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a contestant ("ours.rate"), or its ratio to another's in the same round (`over`)."""

    title: str
    of: str
    over: str = ""
    unit: str = "×"
    bound: Bound | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison. `limit` is how long (seconds) one program of it may take."""

    key: str
    title: str
    contestants: tuple[Contestant, ...]
    figures: tuple[Figure, ...]
    rounds: int = 5
    limit: float = 60.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """Whether to measure in full, or shortly for daily work."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(slots=True)
class Result:
    """What the rounds of a case brought: per contestant a list of its reports, one a round; or why there is none."""

    case: Case
    reports: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def numbers(self, path: str) -> list[float]:
        """The numbers behind "contestant.key", one a round."""
        name, _, key = path.rpartition(".")
        return [report[key] for report in self.reports.get(name, []) if key in report]

    def figure(self, figure: Figure) -> list[float]:
        """A figure's values, one a round; empty when a contestant failed."""
        above = self.numbers(figure.of)
        if not figure.over:
            return above
        return [a / b for a, b in zip(above, self.numbers(figure.over), strict=False) if b]
