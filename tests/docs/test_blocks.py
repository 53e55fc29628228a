"""Every code block of the README and the docs runs, but for those listed here with their reasons."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.blocks import Reader, blocks, fault

ROOT = Path(__file__).parents[2]

#: (document, reason) → how many of its blocks say so.
NOT_RUN = {
    ("docs/how-to/first-app.md", "needs a Redis server"): 1,
}


def documents() -> list[Path]:
    return [*ROOT.glob("README.md"), *sorted(ROOT.glob("docs/**/*.md"))]


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def test_every_block_says_what_it_is() -> None:
    faults = [fault(block) for document in documents() for block in blocks(document)]

    assert not [each for each in faults if each]


def test_the_blocks_that_are_not_run_are_known() -> None:
    found = Counter((name(document), block.not_run) for document in documents() for block in blocks(document))

    assert {key: count for key, count in found.items() if key[1] is not None} == NOT_RUN


@pytest.mark.parametrize("document", documents(), ids=name)
def test_every_block_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Reader(tmp_path) as reader:
        for variable in set(os.environ) - set(reader.environment):
            monkeypatch.delenv(variable)
        for variable, value in reader.environment.items():
            monkeypatch.setenv(variable, value)

        for block in blocks(document):
            if block.not_run is None:
                reader.run(block)
