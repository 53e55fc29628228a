"""Where a chaos run takes place: a broker with faults of its own, worker parents that are started again, a client."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.faults.crew import PATIENCE, Crew, children, descendants, kill, living
from tests.faults.grounds import Place
from tests.faults.ledger import identity
from tests.servers import wait_until

#: Parents, worker processes of each, threads of each.
PARENTS, PROCESSES, THREADS = 2, 2, 6
SLOTS = PARENTS * PROCESSES * THREADS
#: Seconds. Every outage is shorter by more than a beat (a quarter), so that none costs a lease.
LEASE = 8.0
#: The exit code of a worker that does not find its broker; and how long (seconds) one is at its start.
NO_BROKER, YOUNG = 3, 15.0
#: Exit codes of a parent that was told to end: 1 says that a child of it has ended in disorder at some time.
ORDERLY = (0, 1)


@dataclass
class Field:
    """The place, the crew, and what has been dealt. `client` starts the client at the next job to be confirmed."""

    place: Place
    crew: Crew
    client: Callable[[], subprocess.Popen[bytes]]
    parents: list[subprocess.Popen[bytes]] = field(default_factory=list)
    #: Process → when (monotonic) it was killed, or was frozen until.
    killed: dict[str, float] = field(default_factory=dict)
    frozen: dict[str, float] = field(default_factory=dict)
    #: Parent → when it was started.
    born: dict[int, float] = field(default_factory=dict)
    #: What should not have happened.
    complaints: list[str] = field(default_factory=list)
    enqueuing: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.parents = [self._parent() for _ in range(PARENTS)]
        self.enqueuing = self.client()

    def watch(self) -> None:
        """Start again what has ended, as a service manager does; that workers end unasked is a complaint."""
        for index, parent in enumerate(self.parents):
            if parent.poll() is not None:
                young = time.monotonic() < self.born[parent.pid] + YOUNG
                # Who cannot even start because the broker is away says so and ends: that is promised.
                if parent.returncode != NO_BROKER or not young:
                    self.complaints.append(f"a parent ended by itself, with {parent.returncode}: {self.crew.log()}")
                self.parents[index] = self._parent()
        if self.enqueuing is not None and self.enqueuing.poll() not in (None, 0):
            self.complaints.append(f"the client ended with {self.enqueuing.returncode}: {self.crew.log()}")
            self.enqueuing = self.client()

    def kill_child(self, which: int) -> None:
        self._kill(_chosen(self._workers(), which))

    def kill_isolated_child(self, which: int) -> None:
        """Of a parent that serves: one that cannot start its first child takes that for a defect of the app."""
        now = time.monotonic()
        serving = [parent for parent in self.parents if now > self.born[parent.pid] + YOUNG]
        workers = [worker for parent in serving for worker in children(parent.pid)]
        self._kill(_chosen([each for worker in workers for each in children(worker)], which))

    def kill_half(self, which: int) -> None:
        """Every worker process of one parent."""
        self._kill(children(self.parents[which % PARENTS].pid))

    def kill_parent(self, which: int) -> None:
        """Its children end their runs in order and go by themselves."""
        index = which % PARENTS
        orphans = children(self.parents[index].pid)
        kill(self.parents[index].pid)
        self.parents[index].wait(PATIENCE)
        self.parents[index] = self._parent()
        try:
            wait_until(lambda: not set(orphans) & living(), PATIENCE)
        except AssertionError:
            self.complaints.append(f"children outlived their parent by {PATIENCE} s: {self.crew.log()}")
            self._kill(orphans)

    def kill_all(self, _which: int) -> None:
        everyone = [pid for parent in self.parents for pid in (parent.pid, *descendants(parent.pid))]
        self._kill(everyone)
        for parent in self.parents:
            parent.wait(PATIENCE)
        self.parents = [self._parent() for _ in range(PARENTS)]

    def replace_parent(self, which: int) -> None:
        """SIGTERM to one, and another in its place: a deploy."""
        index = which % PARENTS
        old, self.parents[index] = self.parents[index], self._parent()
        kill(old.pid, signal.SIGTERM)
        try:
            if (code := old.wait(PATIENCE + 30)) not in ORDERLY:
                self.complaints.append(f"a parent that was told to end did so with {code}: {self.crew.log()}")
        except subprocess.TimeoutExpired:
            self.complaints.append("a parent that was told to end did not")
            self._kill([old.pid, *descendants(old.pid)])

    def restart(self, which: int) -> None:
        """SIGHUP: children are replaced, one after the other, without a gap."""
        self._signal(which, signal.SIGHUP)

    def rest(self, which: int) -> None:
        """SIGTSTP and SIGCONT: nothing new is taken for a while."""
        self._signal(which, signal.SIGTSTP)
        time.sleep(1)
        self._signal(which, signal.SIGCONT)

    def dump(self, which: int) -> None:
        """SIGUSR1: all stacks go into the log."""
        self._signal(which, signal.SIGUSR1)

    def freeze_child(self, which: int) -> None:
        """For longer than its lease."""
        for pid in _chosen(self._workers(), which):
            who = identity(pid)
            kill(pid, signal.SIGSTOP)
            time.sleep(LEASE * 1.4)
            kill(pid, signal.SIGCONT)
            self.frozen[who] = time.monotonic()

    def freeze_parent(self, which: int) -> None:
        parent = self.parents[which % PARENTS]
        kill(parent.pid, signal.SIGSTOP)
        time.sleep(2)
        kill(parent.pid, signal.SIGCONT)

    def kill_client(self, _which: int) -> None:
        if self.enqueuing is not None and self.enqueuing.poll() is None:
            self.enqueuing.kill()
            self.enqueuing.wait(PATIENCE)
            self.enqueuing = self.client()

    def call_the_roll(self, enqueue: Callable[[], object]) -> None:
        """Every worker process takes one of the jobs that `enqueue` makes, or is alive and deaf: a complaint."""

        deaf: set[int] = set()
        for _ in range(int(PATIENCE)):
            enqueue()
            time.sleep(1)
            deaf = {pid for pid in self._workers() if "present" not in self.crew.ledger.tail(pid)}
            if not deaf:
                return
        self.complaints.append(f"alive and deaf: {deaf} of {self._workers()}")

    def close(self) -> None:
        """End the workers in order; whoever does not is a complaint."""
        left = [pid for parent in self.parents for pid in descendants(parent.pid)]
        with ExitStack() as stack:
            stack.callback(self.place.close)
            stack.callback(self.crew.close)
            for parent in self.parents:
                parent.send_signal(signal.SIGTERM)
            for parent in self.parents:
                if (code := parent.wait(PATIENCE + 30)) not in ORDERLY:
                    self.complaints.append(f"at the end a parent ended with {code}: {self.crew.log()}")
            wait_until(lambda: not set(left) & living(), PATIENCE, "the end of all processes")

    def _parent(self) -> subprocess.Popen[bytes]:
        parent = self.crew.start(
            *("--threads", str(THREADS), "--slots", "20"), processes=PROCESSES, lease=LEASE, grace=25, call_timeout=10
        )
        self.born[parent.pid] = time.monotonic()
        return parent

    def _signal(self, which: int, how: signal.Signals) -> None:
        """To a parent, unless it has hardly begun: it hears signals once it has children."""
        parent = self.parents[which % PARENTS]
        if children(parent.pid):
            kill(parent.pid, how)

    def _workers(self) -> list[int]:
        return [child for parent in self.parents for child in children(parent.pid)]

    def _kill(self, pids: Sequence[int]) -> None:
        for pid in pids:
            # Whatever it has started dies with it, or does wrong.
            for each in (pid, *descendants(pid)):
                self.killed[identity(each)] = time.monotonic()
            kill(pid)


def _chosen(pids: Sequence[int], which: int) -> list[int]:
    return [pids[which % len(pids)]] if pids else []
