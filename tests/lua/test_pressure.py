"""pressure.lua"""

from __future__ import annotations

from tests.lua.conftest import HOUR, NOW, RETENTION, Bench


def commands(bench: Bench) -> int:
    stats: dict[str, dict[str, int]] = bench.client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if not name.startswith(("cmdstat_info", "cmdstat_config")))


def test_it_tells_ready_oldest_soon_and_running(bench: Bench) -> None:
    bench.enqueue(["running", b"", 0])
    bench.exchange(1)
    bench.enqueue(["a", b"", 0], ["b", b"", 7], ["fallen", b"", 0, 5, False, False, False])
    bench.enqueue(["soon", b"", 0, 3_000, False, False, False], ["later", b"", 0, 3_001, False, False, False])
    bench.now += 1_000

    assert bench.run("pressure", within=2_000) == [3, 1_000, 1, 1]
    assert bench.run("pressure", "unused", within=2_000) == [0, -1, 0, 0]


def test_it_asks_as_much_of_many_jobs_as_of_few(bench: Bench) -> None:
    bench.enqueue(["first", b"", 3], ["second", b"", -3])
    before = commands(bench)
    bench.run("pressure", within=0)
    few = commands(bench) - before
    ready, delayed = bench.key("ready"), bench.key("delayed")
    for start in range(0, 100_000, 10_000):
        ids = range(start, start + 10_000)
        bench.client.zadd(ready, {f"r{n}": 97 * 2**45 + 10 + n for n in ids})
        bench.client.zadd(delayed, {f"d{n}": (NOW - 1_000 + n) * 256 + 100 for n in ids})

    before = commands(bench)
    answer = bench.run("pressure", within=HOUR)

    assert commands(bench) - before <= few + 1  # the first of the delayed ones
    assert answer == [100_002 + 1_001, 1_000, 100_000 - 1_001, 0]


def test_of_many_seconds_every_other_one_is_kept(bench: Bench) -> None:
    for n in range(1_100):
        bench.client.zadd(bench.key("delayed"), {f"j{n}": (NOW + n * 1_000) * 256 + 100})
        bench.client.hset(bench.key("jobs"), f"j{n}", NOW.to_bytes(6, "big") + bytes(7))
    bench.now += 2_000_000
    for _ in range(6):
        bench.exchange(0)

    seconds = bench.state()["turns"]

    assert 500 < len(seconds) <= 1_000
    assert bench.run("pressure", within=0) == [1_100, 2_000_000, 0, 0]
    assert max(seconds.values()) == 1_100


def test_the_seconds_go_with_the_last_ready_job(bench: Bench) -> None:
    bench.enqueue(["a", b"", 0, 5, False, False, False])
    bench.now += 5
    bench.exchange(0)
    assert bench.state()["turns"] == {b"%d" % (bench.now // 1_000): 1}

    bench.run("cancel", keep=0, retention=RETENTION, ids=["a"])
    bench.now += 1_000
    bench.exchange(0)

    assert "turns" not in bench.state()
