"""The demo: enqueues an album, starts workers, shows how far they are, and tells what became of each job.

python examples/photos/demo.py [--broker URL] [--photos FOLDER] [--out FOLDER] [--processes N]

Exit codes: 0 all ended as expected (a photo that cannot be read ends as a dead job: that is expected); 1 something else
went wrong; 2 wrong usage, a folder that cannot be used, or Pillow is missing; 3 the broker cannot be used; 130
interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # when run as a script: the tasks are the module examples.photos.tasks for every process

try:
    from examples.photos.album import Album
    from examples.photos.board import Board, ProgressLine
    from examples.photos.tasks import app, describe
    from taskforge import BrokerError, SettingsError
except ModuleNotFoundError as error:
    if error.name != "PIL":
        raise
    sys.stderr.write("The demo needs Pillow: pip install Pillow, or run `make demo`\n")
    raise SystemExit(2) from None

#: Seconds between two looks at the jobs; seconds the workers get to end.
LOOK_EVERY, STOP_WITHIN = 0.1, 40.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; its exit code."""
    options = _options(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        code = run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone away, as `| head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (OSError, SettingsError) as problem:
        return _complain(f"photos: {problem}", 2)
    except BrokerError as problem:
        return _complain(f"photos: {problem}", 3)
    except KeyboardInterrupt:
        return _complain("\nphotos: interrupted; what had not started is cancelled", 130)
    return code


def run(options: argparse.Namespace) -> int:
    """The whole of the demo, in order."""
    album = Album.of(options.photos, options.out)
    broker = options.broker or f"sqlite:///{album.jobs_file}"
    app.configure(broker=broker)
    app.broker.open()
    album.begin()

    print(f"{len(album.photos)} photos, {options.processes} worker processes, {app.broker.describe()}")
    board = Board(app, album)
    try:
        for photo in album.photos:
            describe.using(job_id=album.job_id("describe", photo)).enqueue(album, photo)
        with workers(broker, options.processes, album.folder / "worker.log") as process:
            finished = watch(board, process)
    finally:
        with suppress(BrokerError):
            board.cancel()  # nothing of an interrupted run is left in the queue

    print("", *board.table(), "", sep="\n")
    if not finished:
        log = album.folder / "worker.log"
        return _complain(f"photos: the workers ended too early; {log} ends with:\n{_last_line(log)}", 1)
    for what in (album.contact_sheet, album.catalogue, album.folder / "thumbnails", album.store):
        print(f"{what.stem.replace('-', ' '):>14}  {what}")
    return 0 if board.as_expected else 1


@contextmanager
def workers(broker: str, processes: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Worker processes for the length of a `with`; at its end they finish what they run, and go."""
    command = [sys.executable, "-m", "taskforge", "-A", "examples.photos.tasks", "worker", f"--processes={processes}"]
    # By the environment, because everyone on the machine can read a command line, and a URL may have a password in it.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "TASKFORGE_BROKER": broker, "PYTHONPATH": path}
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C reaches this process alone, which then stops the workers in order.
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except BaseException:  # they would not end, or a second Ctrl-C came
            process.kill()
            raise


def watch(board: Board, process: subprocess.Popen[bytes]) -> bool:
    """Show how far the jobs are until all have ended; False if the workers end before."""
    progress = ProgressLine()
    try:
        while True:
            board.look()
            progress.show(board.bar())
            if board.settled:
                return True
            try:
                process.wait(LOOK_EVERY)
            except subprocess.TimeoutExpired:
                continue
            return False
    finally:
        progress.end()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Photos become thumbnails, a catalogue and a contact sheet.")
    here = Path(__file__).resolve().parent / "photos"
    broker = os.environ.get("TASKFORGE_BROKER")
    add = parser.add_argument
    add("--broker", metavar="URL", default=broker, help="where jobs wait [TASKFORGE_BROKER, else a new SQLite file]")
    add("--photos", metavar="FOLDER", type=Path, default=here, help="the photos [six of the demo's, one damaged]")
    add("--out", metavar="FOLDER", type=Path, default=Path("out/photos"), help="for all that is made [out/photos]")
    add("--processes", metavar="N", type=int, default=2, help="worker processes [2]")
    options = parser.parse_args(arguments)
    options.photos = options.photos.expanduser()  # not every shell does it after PHOTOS=
    if options.processes < 1:
        parser.error("--processes must be at least 1")
    if (options.broker or "").startswith("memory:"):
        parser.error("memory:// lives inside one process, and the workers are processes of their own")
    return options


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, workers first, when the demo is told to end or its terminal is closed."""
    raise KeyboardInterrupt


def _complain(problem: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{problem}\n")
    return code


def _last_line(log: Path) -> str:
    return "".join(log.read_text(errors="replace").splitlines()[-1:])


if __name__ == "__main__":
    sys.exit(main())
