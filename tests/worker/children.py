"""Small programs in the place of worker processes: they say what they are told to, and write down what they hear."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from taskforge.settings import Settings
from taskforge.worker import shared
from taskforge.worker.parent.crew import Crew
from taskforge.worker.parent.errands import Death
from taskforge.worker.parent.plan import Plan
from taskforge.worker.shared import ChildState

LIMIT = 25.0

#: It writes into the shared memory by itself, for to import us would take ten times as long. Its words, in order: a
#: number ends it with that exit code; `ready`, `replace_me`, `waiting` are states; `done=3` and `held=1` figures;
#: `beat` beats once, `beats` again and again; `deaf` hears nothing any more; `sleep` leaves a process behind in its
#: session. Then it obeys.
CHILD = f"""
import mmap, os, select, signal, struct, subprocess, sys, time
book, words = sys.argv[1], sys.argv[2].split()
quota, pipe, memory = sys.argv[3:-4], int(sys.argv[-3]), mmap.mmap(int(sys.argv[-1]), 0)

def put(word, form, value):
    struct.pack_into("=" + form, memory, 8 * word, value)

def say(*said):
    with open(book, "a") as file:
        print(os.getpid(), *said, file=file, flush=True)

signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGUSR1, lambda *_: say("stacks"))
name = b"host.%d.cafe" % os.getpid()
memory[{128 * 8}:{128 * 8} + len(name)] = name
put({shared._NAME}, "Q", len(name))
say("born", os.getsid(0) == os.getpid(), *quota)
states = {{{", ".join(f"{state.name.lower()!r}: {state.value}" for state in ChildState)}}}
beats = False
for word in words:
    if word.isdigit():
        os._exit(int(word))
    elif word in states:
        put({shared._STATE}, "Q", states[word])
        say(word)
    elif word.startswith("done="):
        put({shared._FIGURES}, "d", float(word[5:]))
    elif word.startswith("held="):
        put({shared._FIGURES + 3}, "d", float(word[5:]))
    elif word in ("beat", "beats"):
        put({shared._BEAT}, "d", time.monotonic())
        beats = word == "beats"
    elif word == "sleep":
        say("left", subprocess.Popen(["sleep", "600"]).pid)
    elif word == "deaf":
        while True:
            time.sleep(600)
while True:
    while beats and not select.select([pipe], [], [], 0.02)[0]:
        put({shared._BEAT}, "d", time.monotonic())
    order = os.read(pipe, 1)
    if not order:
        break
    say(order.decode())
    if order in b"dh":
        os._exit(0)
"""


@dataclass
class Household:
    """A crew of such children, what they wrote, and what was given back of them."""

    book: Path
    words: str = "ready"
    deaths: list[Death] = field(default_factory=list)
    crew: Crew = field(init=False)

    def plan(self, **given: object) -> Plan:
        command = [sys.executable, "-S", "-E", "-c", CHILD, str(self.book), self.words]
        settings = Settings(grace=Settings().grace * 0, stop_grace=Settings().stop_grace * 0)
        plan = Plan(command=command, processes=1, settings=settings, cells=4, first_wait=0.001)
        return replace(plan, **given)  # type: ignore[arg-type]

    def start(self, **given: object) -> Crew:
        self.book.touch()
        self.crew = Crew(self.plan(**given), self.deaths.append)
        return self.crew

    def until(self, condition: Callable[[], object], what: str = "the condition") -> None:
        """Tend the crew until this holds."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come true:\n{self.book.read_text()}"
            self.crew.tend(time.monotonic())
            time.sleep(0.002)

    def until_said(self, *said: str, times: int = 1) -> None:
        """Until so many children have said this."""
        self.until(lambda: len(self.who(*said)) >= times, f"{times} × {' '.join(said)}")

    def who(self, *said: str) -> list[int]:
        """The children that said this, in order."""
        return [int(line.split()[0]) for line in self.lines() if line.split()[1:] == list(said)]

    def born(self) -> list[int]:
        return [int(line.split()[0]) for line in self.lines() if line.split()[1] == "born"]

    def lines(self) -> list[str]:
        return self.book.read_text().splitlines()

    def end(self) -> None:
        """Kill who is left."""
        self.crew.stopping = True
        for child in self.crew.children:
            child.kill()
        self.until(lambda: self.crew.gone, "the end of all")
