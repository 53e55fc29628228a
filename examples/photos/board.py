"""Board: the jobs of one album as seen from outside, for a progress bar and a table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from examples.photos.album import SIZES, Album
from examples.photos.tasks import QUEUE
from taskforge import Fail, JobHandle, JobInfo, JobNotFound, JobState, Taskforge

BAR = 30
#: What a job that was never asked for is called, where a job's state would stand.
NEVER = "never"


@dataclass
class Row:
    """One job that the album may come to have: the one after `after`, which ask for it when they succeed."""

    task: str
    photo: str
    handle: JobHandle[object]
    after: Sequence[Row] = ()
    info: JobInfo | None = None
    never: bool = field(default=False, init=False)

    @property
    def settled(self) -> bool:
        return self.never or (self.info is not None and self.info.state.ended)

    @property
    def state(self) -> str:
        return NEVER if self.never else self.info.state if self.info else "to come"

    @property
    def as_expected(self) -> bool:
        """Succeeded; or dead because the task itself said that no attempt can help: the photo is damaged."""
        if self.info is None or self.info.state is JobState.SUCCEEDED:
            return True
        verdict = f"{Fail.__module__}.{Fail.__qualname__}"
        return self.info.state is JobState.DEAD and [error.type for error in self.info.errors[-1:]] == [verdict]

    @property
    def attempts(self) -> int:
        """Every failed attempt has left its error; one that succeeded comes on top."""
        return len(self.info.errors) + (self.info.state is JobState.SUCCEEDED) if self.info else 0

    @property
    def milliseconds(self) -> str:
        """How long the last run took."""
        if self.info is None or self.info.started_at is None or self.info.ended_at is None:
            return ""
        return f"{(self.info.ended_at - self.info.started_at).total_seconds() * 1000:.0f}"

    @property
    def reason(self) -> str:
        """Why it ended as it did, if there is anything to say; for a success, what went wrong before."""
        if self.info is None:
            return ""
        errors = [error.message for error in self.info.errors[-1:]]
        if self.info.state is JobState.SUCCEEDED:
            return f"before: {errors[0]}" if errors else ""
        return ": ".join(filter(None, [self.info.reason, *errors]))

    def look(self) -> None:
        """Ask the broker, if there can be anything new."""
        if self.settled or not all(row.settled for row in self.after):
            return
        try:
            self.info = self.handle.info()
        except JobNotFound:
            # What a job enqueues on success exists from the very moment it has ended: not there now means never.
            self.never = True


class Board:
    """All jobs of an album. Their ids are known beforehand, most of the jobs come to be along the way."""

    def __init__(self, app: Taskforge, album: Album) -> None:
        def row(task: str, photo: str = "", size: str = "", after: Sequence[Row] = ()) -> Row:
            handle = app.job(album.job_id(task, photo, size), QUEUE)
            return Row(f"{task} {size}".strip(), photo, handle, after)

        described = {photo: row("describe", photo) for photo in album.photos}
        small = [row("thumbnail", photo, size, [described[photo]]) for photo in album.photos for size in SIZES]
        photos = [*described.values(), *small]
        catalogue = row("catalogue", after=photos)
        sheet = row("contact_sheet", after=[catalogue])
        upload = row("upload", after=[sheet])
        self.rows = [*photos, catalogue, sheet, upload, row("clean_up", after=[upload])]

    @property
    def settled(self) -> bool:
        return all(row.settled for row in self.rows)

    @property
    def as_expected(self) -> bool:
        """Whether every job ended as it should, the last of them included."""
        return all(row.as_expected for row in self.rows) and not self.rows[-1].never

    def look(self) -> None:
        for row in self.rows:
            row.look()

    def cancel(self) -> None:
        """Cancel what has not ended."""
        for row in self.rows:
            if not row.settled:
                try:
                    row.handle.cancel()
                except JobNotFound:
                    continue

    def bar(self) -> str:
        """How far all is, in one line."""
        real = [row for row in self.rows if not row.never]
        done = sum(row.settled for row in real)
        states = Counter(row.state for row in real)
        filled = BAR * done // len(real)
        facts = [f"{states[state]} {state}" for state in (JobState.RUNNING, JobState.DELAYED, JobState.DEAD)]
        shown = ", ".join(fact for fact in facts if not fact.startswith("0 "))
        return f"[{'#' * filled}{'.' * (BAR - filled)}] {done} of {len(real)} jobs{shown and ', ' + shown}"

    def table(self) -> list[str]:
        """What happened to each job, in the order in which they ended."""
        rows = sorted((row for row in self.rows if row.info), key=lambda row: _ended(row.info))
        head = ["task", "photo", "state", "attempts", "ms", "reason"]
        cells = [[row.task, row.photo, row.state, str(row.attempts), row.milliseconds, row.reason] for row in rows]
        widths = [max(len(line[at]) for line in [head, *cells]) for at in range(len(head) - 1)]
        return [_line(line, widths) for line in [head, ["-" * width for width in widths] + ["-" * 6], *cells]]


class ProgressLine:
    """Shows a line that changes: in place on a terminal, below each other elsewhere."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, line: str) -> None:
        if line == self._shown:
            return
        if sys.stdout.isatty():
            print(f"\r{line.ljust(len(self._shown))}", end="", flush=True)
        else:
            print(line, flush=True)
        self._shown = line

    def end(self) -> None:
        """Leave the last line standing."""
        if self._shown and sys.stdout.isatty():
            print()


def _ended(info: JobInfo | None) -> float:
    return info.ended_at.timestamp() if info and info.ended_at else float("inf")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Numbers to the right, the rest to the left."""
    padded = [
        cell.rjust(width) if at in (3, 4) else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return "  ".join([*padded, *cells[len(widths) :]]).rstrip()
