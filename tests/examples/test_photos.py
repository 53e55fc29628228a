"""The photo example does what its README says, and says clearly when it cannot."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from examples.photos import pictures
from examples.photos.album import SIZES, Album
from examples.photos.tasks import QUEUE, app, describe
from taskforge import JobCancelled, Taskforge
from tests.servers import wait_until

DEMO = Path(__file__).parents[2] / "examples" / "photos" / "demo.py"
PHOTOS = DEMO.parent / "photos"
READABLE = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "retina", "rocket")
#: Seconds one run of the demo may take on a busy machine.
LIMIT = 60


def demo_command(*arguments: object) -> list[str]:
    return [sys.executable, str(DEMO), *map(str, arguments)]


def run_demo(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKFORGE_")}
    command = demo_command(*arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env={**clean, **environment})


def cells(said: str, task: str, photo: str = "") -> list[str]:
    """The row of the demo's table for this job."""
    [row] = [line for line in said.splitlines() if re.match(rf"{task} +{photo or '(succeeded|dead)'} ", line)]
    return re.split(r" {2,}", row)


def assert_all_is_made(out: Path, said: str) -> None:
    catalogue = {entry["file"]: entry for entry in json.loads((out / "catalogue.json").read_bytes())["photos"]}
    assert list(catalogue) == sorted([*(f"{name}.jpg" for name in READABLE), "broken.jpg"])
    for name in READABLE:
        entry = catalogue[f"{name}.jpg"]
        with Image.open(PHOTOS / f"{name}.jpg") as photo:
            assert (entry["width"], entry["height"]) == photo.size
        assert re.fullmatch("#[0-9a-f]{6}", entry["colours"]["average"])
        assert list(entry["thumbnails"]) == list(SIZES)
        for size, file in entry["thumbnails"].items():
            with Image.open(out / file) as made:
                assert max(made.size) == min(SIZES[size], entry["width"], max(photo.size))
    with Image.open(out / "contact-sheet.jpg") as sheet:
        assert sheet.width > 3 * SIZES["medium"]
        assert len(sheet.getcolors(1 << 24) or []) > 10_000, "the sheet shows photos"
    assert (out / "store" / "contact-sheet.jpg").read_bytes() == (out / "contact-sheet.jpg").read_bytes()
    assert not (out / "scratch").exists(), "the clean-up came last"

    dead = cells(said, "describe", "broken.jpg")
    assert dead[2:4] == ["dead", "1"]
    assert dead[-1].startswith("error: broken.jpg cannot be read: image file is truncated")
    assert cells(said, "upload")[1:3] == ["succeeded", "3"]
    assert "29 of 29 jobs, 1 dead" in said


def test_it_works_on_sqlite(tmp_path: Path) -> None:
    done = run_demo("--out", tmp_path / "out")

    assert (done.returncode, done.stderr) == (0, "")
    assert_all_is_made(tmp_path / "out", done.stdout)


def test_it_works_on_redis(tmp_path: Path, redis_url: str) -> None:
    done = run_demo("--out", tmp_path / "out", "--broker", redis_url)

    assert (done.returncode, done.stderr) == (0, "")
    assert_all_is_made(tmp_path / "out", done.stdout)


def test_it_may_be_run_again_in_the_same_folder_with_other_photos(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in ("first photo.png", "first photo.jpg"):
        Image.new("RGB", (900, 300), "red").save(photos / name)
    run_demo("--out", out, "--photos", photos)
    (photos / "first photo.jpg").unlink()

    done = run_demo("--out", out, "--photos", photos, TASKFORGE_BROKER="")

    assert (done.returncode, done.stderr) == (0, "")
    [entry] = json.loads((out / "catalogue.json").read_bytes())["photos"]
    assert entry["thumbnails"]["small"] == "thumbnails/small/first photo.png.jpg"
    assert sorted(file.name for file in (out / "thumbnails" / "small").iterdir()) == ["first photo.png.jpg"]
    assert len(list(out.glob("jobs-*.db"))) == 1


def test_photos_that_all_are_damaged_leave_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("not a picture")

    done = run_demo("--out", tmp_path / "out", "--photos", tmp_path / "photos")

    assert done.returncode == 1
    assert "a.jpg cannot be read: no known picture format" in done.stdout
    assert "discarded: none of the photos can be read" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--photos", "{tmp}/missing"], 2, "there is no folder"),
        (["--photos", "{tmp}/empty"], 2, "no photos in"),
        (["--out", "{tmp}/mine"], 2, "has other things in it"),
        (["--broker", "foo://x"], 2, "no scheme of a broker"),
        (["--broker", "memory://"], 2, "lives inside one process"),
        (["--processes", "0"], 2, "must be at least 1"),
        (["--broker", "redis://127.0.0.1:1/0"], 3, "no answer from redis://127.0.0.1:1/0"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(tmp_path: Path, arguments: list[str], code: int, why: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")

    done = run_demo("--out", tmp_path / "out", *(word.replace("{tmp}", str(tmp_path)) for word in arguments))

    assert done.returncode == code
    assert why in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_missing_pillow_is_said(tmp_path: Path) -> None:
    (tmp_path / "PIL.py").write_text("raise ModuleNotFoundError('No module named PIL', name='PIL')")

    done = run_demo("--out", tmp_path / "out", PYTHONPATH=str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == "The demo needs Pillow: pip install Pillow, or run `make demo`\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_workers_first(tmp_path: Path, number: signal.Signals) -> None:
    command = demo_command("--out", tmp_path / "out")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        wait_until(lambda: "worker_started" in _log(tmp_path), LIMIT, "a worker starting")

        demo.send_signal(number)
        _, complaint = demo.communicate(timeout=LIMIT)

    assert demo.returncode == 130
    assert complaint.strip() == "photos: interrupted; what had not started is cancelled"
    assert _log(tmp_path).count("worker_stopped") == _log(tmp_path).count("worker_started")
    [jobs] = (tmp_path / "out").glob("jobs-*.db")
    with Taskforge("photos", broker=f"sqlite:///{jobs}") as left:
        counts = left.inspector.counts(QUEUE)
    assert (counts.ready, counts.delayed, counts.running) == (0, 0, 0)


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    command = demo_command("--out", tmp_path / "out")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()

        demo.stdout.close()

        assert demo.wait(LIMIT) == 128 + signal.SIGPIPE
        assert demo.stderr.read() == ""


@pytest.fixture
def own_app(sqlite_url: str) -> Iterator[None]:
    """The example's app in this process, on a broker of its own."""
    app.close()
    app.configure(broker=sqlite_url)
    yield
    app.close()


@pytest.mark.usefixtures("own_app")
def test_jobs_of_an_album_that_was_replaced_are_discarded(tmp_path: Path) -> None:
    earlier = Album.of(PHOTOS, tmp_path / "out")
    earlier.begin()
    job = describe.enqueue(earlier, "chelsea.jpg")
    later = Album.of(PHOTOS, tmp_path / "out")
    later.begin()

    with app.worker(threads=1), pytest.raises(JobCancelled, match="discarded"):
        job.result(timeout=LIMIT)

    assert not later.notes_file("chelsea.jpg").exists()


def test_exif_is_noted_without_the_position_and_the_picture_turned_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Leica"
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = 2.8
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 0.0)
    data = io.BytesIO()
    Image.new("RGB", (40, 20), "#3366cc").save(data, "JPEG", exif=exif)

    notes = pictures.describe(data.getvalue())

    assert notes["exif"] == {"Make": "Leica", "Orientation": 6, "FNumber": "2.8"}
    assert (notes["width"], notes["height"]) == (20, 40)


def test_what_is_transparent_is_shown_on_white() -> None:
    data = io.BytesIO()
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(data, "PNG")

    made = pictures.thumbnail(data.getvalue(), 10)

    assert Image.open(io.BytesIO(made)).getpixel((5, 5)) == (255, 255, 255)


def _log(folder: Path) -> str:
    log = folder / "out" / "worker.log"
    return log.read_text() if log.exists() else ""
