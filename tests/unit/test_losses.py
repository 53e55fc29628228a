"""The note that a broker leaves among a job's errors when its worker was silent for a whole lease."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskforge.brokers.losses import Loss, pack_loss, read_loss
from taskforge.codec import Codec
from taskforge.info import RunError, pack_error, read_error

AT, CLAIMED = 1_900_000_060_123, 1_900_000_000_000
WORKER = "mill.4711.5ca1ab1e"


def test_a_note_tells_when_and_whose_the_lease_was() -> None:
    loss = read_loss(pack_loss(AT, CLAIMED, WORKER))

    assert loss == Loss(
        datetime(2030, 3, 17, 17, 47, 40, 123_000, UTC), datetime(2030, 3, 17, 17, 46, 40, 0, UTC), WORKER
    )


def test_it_is_shown_as_the_error_of_no_attempt() -> None:
    error = read_error(Codec(), pack_loss(AT, CLAIMED, WORKER))

    at = datetime(2030, 3, 17, 17, 47, 40, 123_000, UTC)
    said = f"its worker {WORKER} was silent for its lease; claimed at 2030-03-17 17:46:40+00:00"
    assert error == RunError(0, at, "lost", said, "")


def test_a_name_of_any_length_is_told_as_far_as_it_is_kept() -> None:
    loss = read_loss(pack_loss(AT, CLAIMED, "ü" * 200))

    assert loss is not None
    assert loss.worker.startswith("ü" * 127)
    assert len(loss.worker.encode()) <= 257


def test_what_a_runner_packed_is_no_such_note() -> None:
    packed = pack_error(Codec(), 2, datetime.now(UTC), "ValueError", "why", "")

    assert read_loss(packed) is None
    assert read_error(Codec(), packed).type == "ValueError"


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\xc1" + bytes(11), b"\xc1" + b"\xff" * 12, b"why"])
def test_a_note_that_cannot_be_read_is_said_to_be_unreadable(blob: bytes) -> None:
    assert read_error(Codec(), blob) == RunError(
        0, datetime.fromtimestamp(0, UTC), "unreadable", f"{len(blob)} bytes", ""
    )
