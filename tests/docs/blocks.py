"""The fenced code blocks of a Markdown document: found, and run in order as a reader would.

A block's info string is its language, then perhaps one word about how it is run:

* `python`: all of a document's share one namespace, and may `await`; one whose first line is `# name.py` is written to
  that file instead, for later blocks to import or run.
* `bash`: run as a script, which must succeed. `bash background`: started, and ended when the document is.
* `console`: the lines after `$ ` are run, the others must be what they print (`…` stands for anything); a command that
  shows no output may print what it likes.
* `LANGUAGE no-run: REASON`: not run. The languages of DATA are not run either.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

CODE = ("python", "bash", "console")
DATA = ("text", "ini", "toml", "json", "yaml", "mermaid")
#: Seconds one block may run; a background one may take as long to end.
LIMIT = 30

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^ *(?P=ticks)`* *$", re.M | re.S)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.py)\n")
#: Told apart from anything a command would print.
_END = "\x1e"


class BlockError(AssertionError):
    """A block did not run as it says."""


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its first line of code."""

    document: Path
    line: int
    info: str
    code: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def how(self) -> str:
        """What the info string says besides the language."""
        return self.info.partition(" ")[2].strip()

    @property
    def not_run(self) -> str | None:
        """Why it is not run, if it says so."""
        return self.how.removeprefix("no-run:").strip() if self.how.startswith("no-run") else None

    @property
    def file(self) -> str | None:
        """The name of the file it is, if it is one."""
        match = _FILE.match(self.code)
        return match["name"] if match else None

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: Path) -> Iterator[Block]:
    """The document's blocks in order."""
    text = document.read_text()
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(document, line, match["info"].strip(), textwrap.dedent(match["code"]))


def fault(block: Block) -> str | None:
    """What is wrong with the block's info string."""
    if block.language not in CODE + DATA:
        return f"{block.place}: the language {block.language!r} is none of {', '.join(CODE + DATA)}"
    if block.not_run == "" or (block.how.startswith("no-run") and ":" not in block.how):
        return f"{block.place}: no-run wants a reason: `{block.language} no-run: needs a Redis server`"
    if block.not_run is None and block.how not in ("", "background"):
        return f"{block.place}: {block.how!r} says nothing about how to run it"
    return None


class Reader:
    """Runs the blocks of one document in a folder, with a broker of its own. Use it in a `with`.

    `programs` is where commands are looked for first: by default beside this interpreter.
    """

    def __init__(self, folder: Path, programs: Path = Path(sys.executable).parent) -> None:
        self.folder, self.programs = folder, programs
        self.module = ModuleType("document")
        self._background: list[tuple[Block, subprocess.Popen[str]]] = []
        self._loaded: set[str] = set()

    @property
    def environment(self) -> dict[str, str]:
        """What the blocks see: the programs, and none of the caller's settings."""
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("TASKFORGE_")}
        path = f"{self.programs}{os.pathsep}{theirs.get('PATH', os.defpath)}"
        broker = f"sqlite:///{self.folder / 'jobs.db'}"
        return {**theirs, "PATH": path, "TASKFORGE_BROKER": broker, "XDG_STATE_HOME": str(self.folder / "state")}

    def run(self, block: Block) -> str:
        """Run one block; what its commands printed. Raises BlockError, or for Python what the code raises."""
        match block.language, block.how:
            case "python", _ if block.file:
                file = self.folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.code)
            case "python", _:
                self._python(block)
            case "bash", "background":
                self._background.append((block, self._start(block.code)))
            case "bash", _:
                return self._bash(block, block.code)
            case "console", _:
                return self._console(block)
        return ""

    def _python(self, block: Block) -> None:
        # Blank lines in front make the line numbers of a traceback those of the document.
        source = "\n" * (block.line - 1) + block.code
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, str(block.document), "exec", flags=flags, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, self.module.__dict__))
        else:
            exec(code, self.module.__dict__)

    def _console(self, block: Block) -> str:
        commands: list[tuple[str, list[str]]] = []
        for line in block.code.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif not commands:
                raise BlockError(f"{block.place}: a console block begins with `$ command`")
            else:
                commands[-1][1].append(line)
        script = "".join(f"{command}\nprintf '\\036'\n" for command, _ in commands)
        printed = self._bash(block, script)
        for (command, lines), output in zip(commands, printed.split(_END), strict=False):
            shown = "\n".join(lines).strip()
            pattern = ".*".join(re.escape(part) for part in re.split(r"…|\.\.\.", shown))
            if shown and not re.fullmatch(pattern, output.strip(), re.S):
                raise BlockError(f"{block.place}: `{command}` prints\n{output}\nnot what is shown:\n{shown}")
        return printed.replace(_END, "")

    def _bash(self, block: Block, script: str) -> str:
        process = self._start(f"set -euo pipefail\n{script}")
        try:
            output, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
            output, _ = process.communicate()
            raise BlockError(f"{block.place}: still running after {LIMIT} s; it printed\n{output}") from None
        if process.returncode:
            raise BlockError(f"{block.place}: exit code {process.returncode}; it printed\n{output}")
        return output

    def _start(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _end(self, started: tuple[Block, subprocess.Popen[str]]) -> str | None:
        """End a background block; what was wrong with it."""
        block, process = started
        early = process.poll() is not None
        self._signal(process, signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
            output, _ = process.communicate()
            return f"{block.place}: did not end within {LIMIT} s of SIGTERM; it printed\n{output}"
        if early or process.returncode not in (0, -signal.SIGTERM):
            how = f"ended {'too early, ' if early else ''}with exit code {process.returncode}"
            return f"{block.place}: {how}; it printed\n{output}"
        return None

    def _signal(self, process: subprocess.Popen[str], which: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, which)

    def __enter__(self) -> Reader:
        self._loaded = set(sys.modules)
        sys.modules[self.module.__name__] = self.module
        sys.path.insert(0, str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.path.remove(str(self.folder))
        for name in set(sys.modules) - self._loaded:
            if name == self.module.__name__ or self._wrote(sys.modules[name]):
                del sys.modules[name]
        faults = [fault for fault in map(self._end, self._background) if fault is not None]
        if error is not None:
            for each in faults:
                error.add_note(each)
        elif faults:
            raise BlockError("\n".join(faults))

    def _wrote(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        return file is not None and Path(file).is_relative_to(self.folder)
