"""The Lua scripts: read, joined with the fragments they include, and bound by name."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TypeAlias

FOLDER = Path(__file__).with_name("lua")

#: One or more lines of the same indent; with one, they stand inside a function.
_INCLUDES = re.compile(r"^( *)-- include: \w+\n(?:\1-- include: \w+\n)*", re.MULTILINE)
_ARGUMENT = re.compile(r"^local (\w+) *= ARGV\[(\d+)\]", re.MULTILINE)

Value: TypeAlias = str | bytes | int

_by_sha: dict[str, Script] = {}


class Script:
    """One verb as Redis runs it. The head of its file says which arguments it takes."""

    def __init__(self, name: str) -> None:
        text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        self.name = name
        self.arguments = tuple(_arguments(name, text))
        self.source = _joined(text, set())
        self.sha = hashlib.sha1(self.source.encode()).hexdigest()

    def call(self, keys: tuple[str, ...], **arguments: Value) -> tuple[Value, ...]:
        """The command that runs it. A missing or surplus argument is a TypeError."""
        if (*arguments,) != self.arguments:
            arguments = self._ordered(arguments)
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments.values())

    def _ordered(self, arguments: dict[str, Value]) -> dict[str, Value]:
        for name in self.arguments:
            if name not in arguments:
                raise TypeError(f"{self.name}.lua needs the argument {name!r}")
        surplus = arguments.keys() - set(self.arguments)
        if surplus:
            raise TypeError(f"{self.name}.lua takes no argument {', '.join(sorted(surplus))}")
        return {name: arguments[name] for name in self.arguments}


@cache
def script(name: str) -> Script:
    """The script of this name, read once."""
    made = Script(name)
    _by_sha[made.sha] = made
    return made


def script_of(command: tuple[Value, ...]) -> Script:
    """The script that this command runs."""
    return _by_sha[str(command[1])]


def _arguments(name: str, text: str) -> list[str]:
    found = _ARGUMENT.findall(text)
    if [int(number) for _, number in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the head of {name}.lua does not number its arguments from 1 without a gap")
    return [argument for argument, _ in found]


def _joined(text: str, included: set[str]) -> str:
    """The text with each fragment put in where it is first asked for, and once.

    What a function includes is its own: for steps that few calls take, because making the functions of a fragment
    costs a call as much as a short command.
    """

    def fragments(match: re.Match[str]) -> str:
        known = set(included) if match[1] else included
        return "".join(_fragment(name, known) for name in re.findall(r": (\w+)", match[0]))

    return _INCLUDES.sub(fragments, text)


def _fragment(name: str, included: set[str]) -> str:
    if name in included:
        return ""
    included.add(name)
    return _joined((FOLDER / "include" / f"{name}.lua").read_text(encoding="utf-8"), included)
