"""What is done to pictures: bytes in, bytes or facts out. Knows nothing of queues or folders."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps

JPEG_QUALITY = 88
PALETTE = 5

# The contact sheet, in pixels.
COLUMNS, CELL, GAP, CAPTION, SWATCH, TITLE = 3, 320, 24, 44, 8, 72
PAPER, INK, FAINT = "#16181d", "#eceff4", "#8b93a3"


class Unreadable(Exception):
    """The bytes are no picture that can be shown."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture on a contact sheet."""

    picture: bytes
    caption: str
    facts: str
    palette: Sequence[str]


def describe(data: bytes) -> dict[str, object]:
    """Size, format, EXIF and colours of a picture. Raises Unreadable."""
    image = _decoded(data)
    shown = _upright(image)
    palette = _palette(shown)
    return {
        "format": image.format,
        "bytes": len(data),
        "width": shown.width,
        "height": shown.height,
        "exif": _exif(image),
        "colours": {"average": _hex(shown.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))), "palette": palette},
    }


def thumbnail(data: bytes, longest: int) -> bytes:
    """A JPEG whose longer side has at most so many pixels; never enlarged, without the EXIF. Raises Unreadable."""
    image = _upright(_decoded(data))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return _jpeg(image)


def contact_sheet(title: str, frames: Sequence[Frame], footer: str = "") -> bytes:
    """All pictures on one sheet, as a JPEG."""
    columns = min(COLUMNS, len(frames))
    rows = -(-len(frames) // columns)
    step = CELL + CAPTION + GAP
    width = max(GAP + columns * (CELL + GAP), 640)
    sheet = Image.new("RGB", (width, TITLE + rows * step + (TITLE // 2 if footer else 0)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, TITLE // 2), title, INK, ImageFont.load_default(28), anchor="lm")
    for at, frame in enumerate(frames):
        _place(sheet, draw, frame, GAP + at % columns * (CELL + GAP), TITLE + at // columns * step)
    if footer:
        font = ImageFont.load_default(14)
        draw.text((GAP, sheet.height - TITLE // 3), _fitted(footer, width - 2 * GAP, font), FAINT, font, anchor="lm")
    return _jpeg(sheet)


def _place(sheet: Image.Image, draw: ImageDraw.ImageDraw, frame: Frame, left: int, top: int) -> None:
    """One picture in the middle of its cell, its colours and its caption below."""
    picture = _decoded(frame.picture)
    picture.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    sheet.paste(picture, (left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2))
    below, wide = top + CELL + 6, CELL // PALETTE
    for at, colour in enumerate(frame.palette):
        draw.rectangle((left + at * wide, below, left + (at + 1) * wide - 1, below + SWATCH - 1), colour)
    line, name, facts = below + SWATCH + 14, ImageFont.load_default(16), ImageFont.load_default(13)
    room = CELL - int(draw.textlength(frame.facts, facts)) - 12
    draw.text((left, line), _fitted(frame.caption, room, name), INK, name, anchor="lm")
    draw.text((left + CELL, line), frame.facts, FAINT, facts, anchor="rm")


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, cut short where it is wider than there is room."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _decoded(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:
        # The bytes are in memory: whatever a decoder raises now (it may be anything), it will raise again.
        raise Unreadable(_plainly(error)) from error
    return image


def _plainly(error: Exception) -> str:
    """Pillow's words, without the address of the buffer that it could not identify."""
    return "no known picture format" if "cannot identify" in str(error) else str(error) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    """As it is meant to be seen: turned as the camera says, in RGB, on white where it is transparent."""
    image = ImageOps.exif_transpose(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image.convert("RGBA"))
    return flat.convert("RGB")


def _exif(image: Image.Image) -> dict[str, object]:
    """The EXIF tags by name. The position is left out: who publishes a catalogue rarely means to publish an address."""
    found = image.getexif()
    tags = {**found, **found.get_ifd(ExifTags.IFD.Exif)}
    pointers = {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop, ExifTags.Base.MakerNote}
    return {ExifTags.TAGS.get(tag, f"tag {tag}"): _plain(value) for tag, value in tags.items() if tag not in pointers}


def _plain(value: object) -> object:
    """An EXIF value as JSON can hold it."""
    match value:
        case str():
            return value.strip("\0 ")
        case bool() | int():
            return value
        case bytes():
            return value.decode("ascii", "replace").strip("\0 ") if len(value) <= 64 else f"{len(value)} bytes"
        case _:
            return str(value)


def _palette(image: Image.Image) -> list[str]:
    """The colours that stand for the picture, the most frequent first."""
    small = image.copy()
    small.thumbnail((128, 128))
    colours = small.quantize(PALETTE, Image.Quantize.MEDIANCUT).convert("RGB").getcolors() or []
    return [_hex(colour) for _, colour in sorted(colours, key=lambda each: each[0], reverse=True)]


def _hex(colour: object) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour) if isinstance(colour, tuple) else "#000000"


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return out.getvalue()
