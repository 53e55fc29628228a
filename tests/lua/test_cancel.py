"""cancel.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, NOW, RETENTION, Bench, packed, place


def test_waiting_jobs_end_and_running_ones_are_asked_to_stop(bench: Bench) -> None:
    bench.enqueue(["running", b"", 0])
    bench.exchange(1)
    bench.enqueue(["ready", b"", 0, False, False, 900, False], ["delayed", b"", 3, 50, False, False, False])

    ids = ["ready", "delayed", "running", "unknown", "ready"]
    answer = bench.run("cancel", keep=HOUR, retention=RETENTION, ids=ids)
    before = bench.state()

    assert answer == b"ccree"
    assert before["cancelled"] == {b"ready": NOW + HOUR, b"delayed": NOW + HOUR}
    assert before["stopping"] == {b"running": b"%d" % HOUR}
    assert before.keys() == {"jobs", "running", "facts", "cancelled", "stopping", "bell"}
    assert before["facts"][b"delayed"][18:25] == packed(place(0, 3))
    assert bench.run("cancel", keep=HOUR, retention=RETENTION, ids=ids, again=True) == answer
    assert bench.state() == before
