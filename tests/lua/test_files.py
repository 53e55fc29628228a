"""What holds for every Lua file: a head that tells the contract, and nothing below it that goes past that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskforge.brokers.redis.keys import QUEUE_KEYS
from taskforge.brokers.redis.scripts import FOLDER, Script

SCRIPTS = sorted(FOLDER.glob("*.lua"))
FRAGMENTS = sorted((FOLDER / "include").glob("*.lua"))
HEAD = re.compile(r"^(--.*|local \w+ += (ARGV|KEYS)(\[\d+\])?( +-- .+)?| +-- .+)$")


def head_of(path: Path) -> tuple[list[str], list[str]]:
    lines = path.read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not HEAD.match(line))
    return lines[:end], lines[end:]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_begins_with_its_contract(path: Path) -> None:
    head, rest = head_of(path)

    assert head[0].startswith("-- ")
    assert any("Return" in line for line in head)
    assert any("KEYS" in line for line in head)
    assert not re.search(r"KEYS|ARGV", "\n".join(rest))


@pytest.mark.parametrize("path", SCRIPTS + FRAGMENTS, ids=lambda path: path.stem)
def test_lines_are_as_short_as_in_python(path: Path) -> None:
    assert not [line for line in path.read_text().splitlines() if len(line) > 120]


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_a_fragment_defines_what_its_name_says_and_works_on_its_arguments_only(path: Path) -> None:
    text = path.read_text()

    assert re.search(rf"^local (function )?{path.stem}\b", text, re.MULTILINE)
    assert not re.search(r"\bKEYS\b|\bARGV\b", text)


@pytest.mark.parametrize("path", SCRIPTS + FRAGMENTS, ids=lambda path: path.stem)
def test_a_file_includes_what_it_uses_and_uses_what_it_includes(path: Path) -> None:
    text = path.read_text()
    code = re.sub(r"--.*|'[^']*'", "", text)
    included = re.findall(r"^ *-- include: (\w+)$", text, re.MULTILINE)
    others = {fragment.stem for fragment in FRAGMENTS if fragment != path}
    own = set(re.findall(r"local function (\w+)", code))

    used = {name for name in others - own if re.search(rf"(?<![.\w]){name}[.(]", code)}

    assert sorted(included) == sorted(used)


def test_every_fragment_is_used() -> None:
    texts = "".join(path.read_text() for path in SCRIPTS + FRAGMENTS)

    assert {fragment.stem for fragment in FRAGMENTS} == set(re.findall(r"-- include: (\w+)", texts))


def test_only_one_file_asks_for_the_time_and_none_looks_for_keys() -> None:
    calls = {path.stem: set(re.findall(r"redis\.call\('(\w+)'", path.read_text())) for path in SCRIPTS + FRAGMENTS}

    assert [name for name, used in calls.items() if "TIME" in used] == ["clock"]
    assert not [name for name, used in calls.items() if used & {"KEYS", "SCAN", "FCALL", "RANDOMKEY"}]


@pytest.mark.parametrize("name", [path.stem for path in SCRIPTS])
def test_the_arguments_of_a_script_are_bound_by_name(name: str) -> None:
    script = Script(name)
    arguments = dict.fromkeys(script.arguments, "x")

    assert len(script.call(("k",), **arguments)) == 4 + len(arguments)
    with pytest.raises(TypeError, match="takes no argument surplus"):
        script.call(("k",), **arguments, surplus=1)
    arguments.popitem()
    with pytest.raises(TypeError, match="needs the argument"):
        script.call(("k",), **arguments)


def test_the_keys_have_the_same_names_in_python_and_in_lua() -> None:
    listed = re.findall(r"(\w+) = keys\[at \+ (\d+)\]", (FOLDER / "include" / "queue.lua").read_text())

    assert listed == [(name, str(n)) for n, name in enumerate([*QUEUE_KEYS, "sender"], 1)]


def test_every_key_is_told_of_in_the_table() -> None:
    table = (FOLDER.parent / "keys.py").read_text()

    assert not [name for name in QUEUE_KEYS if not re.search(rf"^\| {name} +\|", table, re.MULTILINE)]
