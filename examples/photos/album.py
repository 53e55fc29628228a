"""Album: where the files of one run lie, and how they are written."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Longest side of the thumbnails, in pixels.
SIZES: Mapping[str, int] = {"small": 128, "medium": 320, "large": 800}
#: What may be a photo, by the end of its name. Whether it is one, a task finds out.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Album:
    """One run over a folder of photos.

    A value small enough to travel with every job: what grows with the number of photos lies in its folder. That
    folder is shared by all workers; with workers on several machines it would be a bucket.
    """

    id: str
    source: Path
    folder: Path

    @classmethod
    def of(cls, source: Path, folder: Path) -> Album:
        """An album that is not begun yet. Raises FileNotFoundError or FileExistsError when it cannot be."""
        if not source.is_dir():
            raise FileNotFoundError(f"there is no folder {source}")
        album = cls(secrets.token_hex(4), source.resolve(), folder.resolve())
        if not album._found():
            raise FileNotFoundError(f"no photos in {source} (looked for {', '.join(sorted(SUFFIXES))})")
        if folder.exists() and not album._list.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} has other things in it, and no earlier album: choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        return album

    def begin(self) -> None:
        """Take the folder over from an earlier album, whose files are removed, and fix the list of photos."""
        earlier = [path for path in self.folder.glob("jobs-*") if not path.name.startswith(self.jobs_file.name)]
        made = (self.scratch, self.folder / "thumbnails", self.store, self.catalogue, self.contact_sheet)
        for path in (*made, *earlier):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.write(self._list, _json({"id": self.id, "photos": self._found()}))

    @property
    def current(self) -> bool:
        """Whether the folder still is this album's: False once a later run has used it again."""
        try:
            return bool(json.loads(self._list.read_bytes())["id"] == self.id)
        except FileNotFoundError:
            return False

    @property
    def photos(self) -> list[str]:
        """The names of the photos, fixed when the album was begun."""
        return [str(name) for name in json.loads(self._list.read_bytes())["photos"]]

    @property
    def complete(self) -> bool:
        """Whether every photo has its notes, and each that can be read all its thumbnails."""
        return all(
            self.notes_file(photo).exists()
            and ("unreadable" in self.notes(photo) or all(self.thumbnail(photo, size).exists() for size in SIZES))
            for photo in self.photos
        )

    def job_id(self, step: str, photo: str = "", size: str = "") -> str:
        """The id of the job that does this step. Known beforehand, a second enqueue of it changes nothing."""
        number = f"-{self.photos.index(photo)}" if photo else ""
        return f"{self.id}-{step}{number}{size and '-' + size}"

    def original(self, photo: str) -> Path:
        """The photo itself; it is only ever read."""
        return self.source / photo

    def thumbnail(self, photo: str, size: str) -> Path:
        """A JPEG, whatever the photo is: scan.png becomes scan.png.jpg, for there may be a scan.jpg as well."""
        name = photo if photo.lower().endswith((".jpg", ".jpeg")) else f"{photo}.jpg"
        return self.folder / "thumbnails" / size / name

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue.json"

    @property
    def contact_sheet(self) -> Path:
        return self.folder / "contact-sheet.jpg"

    @property
    def store(self) -> Path:
        """Stands in for a store on the network."""
        return self.folder / "store"

    @property
    def jobs_file(self) -> Path:
        """Where the album's jobs wait when no broker is named."""
        return self.folder / f"jobs-{self.id}.db"

    @property
    def scratch(self) -> Path:
        """What is of no use once the album is finished: notes of single photos, and half-written files."""
        return self.folder / "scratch"

    def notes_file(self, photo: str) -> Path:
        return self.scratch / f"{photo}.json"

    def notes(self, photo: str) -> dict[str, object]:
        """What is known of one photo."""
        found: dict[str, object] = json.loads(self.notes_file(photo).read_bytes())
        return found

    def write_notes(self, photo: str, notes: Mapping[str, object]) -> None:
        """Keep what is known of one photo, in a file of its own: no two workers ever write the same one."""
        self.write(self.notes_file(photo), _json({"file": photo, **notes}))

    def write_catalogue(self, entries: list[dict[str, object]]) -> None:
        self.write(self.catalogue, _json({"photos": entries}))

    def write(self, path: Path, data: bytes) -> None:
        """Write a file so that it is there whole or not at all, and writing it again does no harm.

        A worker may be killed at any byte, and its job then runs again, perhaps beside the first run's last breath. So
        each run writes a file of its own, and renames it: a step that the operating system does not do by halves.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.scratch.mkdir(parents=True, exist_ok=True)
        draft = self.scratch / f"{secrets.token_hex(8)}.draft"
        draft.write_bytes(data)
        os.replace(draft, path)

    @property
    def _list(self) -> Path:
        return self.folder / "album.json"

    def _found(self) -> list[str]:
        files = [file for file in self.source.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()]
        return sorted(file.name for file in files)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
