"""The tasks: from a folder of photos to thumbnails, a catalogue and a contact sheet.

    describe (each photo) ─→ thumbnail (each size) ─┐
    describe (each photo) ─→ thumbnail (each size) ─┴→ catalogue ─→ contact_sheet ─→ upload ─→ clean_up (delayed)

A job may run more than once: a worker can die after the work and before it could say so. Every task here may be
repeated without harm, because it reads what earlier steps have finished and writes each file whole (`Album.write`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from examples.photos import pictures
from examples.photos.album import SIZES, Album
from taskforge import Call, Discard, Exponential, Fail, Retry, Run, Taskforge, current_job

QUEUE = "photos"

app = Taskforge("photos")
# Short waits, so that the demo is: a real store deserves the defaults (from 5 s, with full jitter).
app.queue(QUEUE, timeout=60, retry=Retry(attempts=4, backoff=Exponential(0.3, cap=5, jitter="equal")))

#: People look at the previews first: they overtake whatever else is waiting.
PREVIEW, PREVIEW_PRIORITY = "small", 10


@app.around_job
def only_for_the_current_album(run: Run) -> Iterator[None]:
    """Drop what an interrupted run has left in the queue, once its folder is another album's."""
    album = run.args[0]
    if isinstance(album, Album) and not album.current:
        raise Discard(f"album {album.id} has been replaced")
    yield


@app.task(queue=QUEUE)
def describe(album: Album, photo: str) -> None:
    """Note a photo's size, EXIF and colours, then ask for its thumbnails. A file that is no picture is dead at once."""
    # Reading may fail for a moment (a network share), which is worth a retry. Damaged bytes stay damaged.
    data = album.original(photo).read_bytes()
    try:
        notes = pictures.describe(data)
    except pictures.Unreadable as error:
        album.write_notes(photo, {"unreadable": str(error)})
        if album.complete:
            # A run that fails enqueues nothing on success, so this job is sent at once.
            finish(album).enqueue(album)
        raise Fail(f"{photo} cannot be read: {error}") from error
    album.write_notes(photo, notes)
    for size in SIZES:
        job = thumbnail.using(
            job_id=album.job_id("thumbnail", photo, size), priority=PREVIEW_PRIORITY if size == PREVIEW else 0
        )
        current_job().enqueue_on_success(job, album, photo, size)


@app.task(queue=QUEUE)
def thumbnail(album: Album, photo: str, size: str) -> None:
    """Make one thumbnail; the last one of all asks for the catalogue."""
    data = album.original(photo).read_bytes()
    album.write(album.thumbnail(photo, size), pictures.thumbnail(data, SIZES[size]))
    # Each run writes first and looks then, so whichever writes last sees that nothing is missing. Two may both see
    # it, or one that is repeated may see it again: they ask for the same job id, and that job exists once.
    if album.complete:
        current_job().enqueue_on_success(finish(album), album)


@app.task(queue=QUEUE)
def catalogue(album: Album) -> None:
    """Merge the notes of all photos into one file. One job writes it, so no lock is needed."""
    entries = [album.notes(photo) for photo in album.photos]
    for entry in entries:
        if "unreadable" not in entry:
            files = {size: album.thumbnail(str(entry["file"]), size) for size in SIZES}
            entry["thumbnails"] = {size: str(file.relative_to(album.folder)) for size, file in files.items()}
    album.write_catalogue(entries)
    current_job().enqueue_on_success(contact_sheet.using(job_id=album.job_id("contact_sheet")), album)


@app.task(queue=QUEUE)
def contact_sheet(album: Album) -> None:
    """All photos on one sheet; then it is uploaded."""
    readable = [photo for photo in album.photos if "unreadable" not in album.notes(photo)]
    broken = [photo for photo in album.photos if photo not in readable]
    if not readable:
        raise Discard("none of the photos can be read: there is nothing to show")
    frames = [_frame(album, photo) for photo in readable]
    footer = f"not shown, for it cannot be read: {', '.join(broken)}" if broken else ""
    album.write(album.contact_sheet, pictures.contact_sheet(f"{len(frames)} photos", frames, footer))
    current_job().enqueue_on_success(upload.using(job_id=album.job_id("upload")), album)


@app.task(queue=QUEUE)
def upload(album: Album) -> Path:
    """Put the contact sheet into the store (a local folder in place of one on the network); then clean up, with delay.

    A real store is busy now and then. This one says so to the first two attempts, so that there is a retry to see.
    """
    if current_job().attempt <= 2:
        raise ConnectionError("503 Slow Down (this store says so twice, on purpose)")
    stored = album.store / album.contact_sheet.name
    album.write(stored, album.contact_sheet.read_bytes())
    current_job().enqueue_on_success(clean_up.using(job_id=album.job_id("clean_up"), delay=1), album)
    return stored


@app.task(queue=QUEUE)
def clean_up(album: Album) -> None:
    """Remove the notes of single photos, and what workers that died have left half-written."""
    shutil.rmtree(album.scratch, ignore_errors=True)


def finish(album: Album) -> Call[[Album], None]:
    """The catalogue's job, under the id that makes it one however often it is asked for."""
    return catalogue.using(job_id=album.job_id("catalogue"))


def _frame(album: Album, photo: str) -> pictures.Frame:
    notes = album.notes(photo)
    colours = notes["colours"]
    palette = colours["palette"] if isinstance(colours, dict) else []
    facts = f"{notes['width']} x {notes['height']}"
    return pictures.Frame(album.thumbnail(photo, "medium").read_bytes(), photo, facts, palette)
