"""Redis servers that are down, too old, read-only, full, or that tell little about themselves."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable

import pytest

from taskforge import (
    BrokerRefused,
    BrokerUnavailable,
    BrokerUnsupported,
    EnqueueFailed,
    JobState,
    Taskforge,
)
from tests.bad_input.fake_redis import closed_port, fake_redis
from tests.bad_input.harness import LIMIT, an_app, assert_alive, run_ready, seconds_of
from tests.servers import Engine, Server, serve, start, stop, wait_until

#: How much later than its deadline (seconds) a call may give up: one pause between two tries, and a busy machine.
LATE = 1.5


def _add(a: int) -> int:
    return a + 1


# A broker that does not answer


def test_enqueuing_on_a_broker_that_is_down_gives_up_at_the_deadline_and_says_what_to_check() -> None:
    url = f"redis://127.0.0.1:{closed_port()}"
    with an_app(url, call_timeout=1) as app:

        def enqueue() -> None:
            with pytest.raises(BrokerUnavailable) as caught:
                app.enqueue("shop.add", 1)
            said = str(caught.value)
            assert url in said
            assert "check that it runs, and the URL" in said

        assert 0.5 < seconds_of(enqueue) < 1 + LATE


def test_enqueuing_on_a_broker_that_never_answers_gives_up_at_the_deadline() -> None:
    with fake_redis(None) as url, an_app(url, call_timeout=1) as app:

        def enqueue() -> None:
            with pytest.raises(BrokerUnavailable, match="check that it runs, and the URL"):
                app.enqueue("shop.add", 1)

        assert 0.9 < seconds_of(enqueue) < 1 + LATE


def test_the_deadline_counts_for_the_call_not_for_each_of_its_tries() -> None:
    with fake_redis(None) as url, an_app(url, call_timeout=6) as app:

        def enqueue() -> None:
            with pytest.raises(BrokerUnavailable):
                app.enqueue("shop.add", 1)

        assert seconds_of(enqueue) < 6 + LATE


def test_a_sync_enqueue_inside_a_loop_blocks_it_for_a_second_at_most() -> None:
    async def main(app: Taskforge) -> None:
        with pytest.raises(BrokerUnavailable):
            app.enqueue("shop.add", 1)

    with fake_redis(None) as url, an_app(url, call_timeout=4) as app, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert seconds_of(lambda: asyncio.run(main(app))) < 1 + LATE


def test_a_broker_lost_between_two_enqueues_leaves_the_second_ones_ids_with_the_caller(engine: Engine) -> None:
    with serve(engine) as server, an_app(server.url, call_timeout=0.3) as app:
        app.enqueue("shop.add", 1)
        _kill(server)

        with pytest.raises(EnqueueFailed) as caught:
            app.by_name("shop.add").using(job_id="mine").enqueue(2)

    assert caught.value.unknown == ("mine",)
    assert "mine" in str(caught.value)
    assert "safe" in str(caught.value)


def test_a_broker_that_was_never_reached_leaves_the_ids_with_the_caller() -> None:
    with an_app(f"redis://127.0.0.1:{closed_port()}", call_timeout=0.2) as app:
        with pytest.raises(EnqueueFailed) as caught:
            app.by_name("shop.add").using(job_id="mine").enqueue(2)

        assert caught.value.unsent == ("mine",)


@pytest.mark.parametrize(
    "read",
    [
        lambda app: app.job("x", "default").state(),
        lambda app: app.job("x").info(),
        lambda app: app.job("x").cancel(),
        lambda app: app.job("x").redrive(),
        lambda app: app.job("x", "default").result(0.1),
        lambda app: app.inspector.queues(),
        lambda app: app.broker.open(),
    ],
    ids=["state", "info", "cancel", "redrive", "result", "queues", "open"],
)
def test_every_call_on_a_broker_that_is_down_says_what_to_check(read: Callable[[Taskforge], object]) -> None:
    with an_app(f"redis://127.0.0.1:{closed_port()}", call_timeout=0.2) as app:

        def call() -> None:
            with pytest.raises(BrokerUnavailable, match="check that it runs, and the URL"):
                read(app)

        assert seconds_of(call) < 0.2 + LATE


def test_a_worker_does_not_start_without_its_broker() -> None:
    with an_app(f"redis://127.0.0.1:{closed_port()}", call_timeout=0.2) as app:
        before = threading.enumerate()

        with pytest.raises(BrokerUnavailable), app.worker():
            raise AssertionError("it started")

        assert not set(threading.enumerate()) - set(before)
        gc.collect()  # an event loop left open would be told of here


def test_a_worker_outlives_a_restart_of_its_broker(engine: Engine) -> None:
    with serve(engine, "--appendonly", "yes", "--appendfsync", "always") as server, an_app(server.url) as app:
        app.task(name="shop.add")(_add)
        with app.worker(threads=1) as worker:
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            _kill(server)
            again = start(engine, server.folder, ("--appendonly", "yes"))
            try:
                job = app.enqueue("shop.add", 2)
                assert job.result(LIMIT) == 3
                assert_alive(worker)
                worker.stop()
            finally:
                app.close()
                stop(again)


def _kill(server: Server) -> None:
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)  # `serve` collects it


# A server that cannot serve


def test_a_redis_older_than_7_0_is_refused_naming_both_versions() -> None:
    with fake_redis("redis_version:6.2.14\r\nrole:master\r\n") as url, an_app(url) as app:
        for call in (app.broker.open, lambda: app.enqueue("shop.add", 1), lambda: app.inspector.queues()):
            with pytest.raises(BrokerUnsupported, match=r"is Redis 6\.2\.14; it takes 7\.0 or newer, or Valkey"):
                call()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_may_drop_jobs_is_refused_with_the_remedy(engine: Engine, policy: str) -> None:
    with serve(engine, "--maxmemory-policy", policy) as server, an_app(server.url) as app:
        with pytest.raises(BrokerUnsupported, match=rf"may drop jobs \(maxmemory-policy {policy}\); set noeviction"):
            app.broker.open()
        with pytest.raises(BrokerUnsupported, match="set noeviction"):
            app.enqueue("shop.add", 1)


def test_a_server_that_may_forget_senders_is_warned_of(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with serve(engine, "--maxmemory-policy", "volatile-lru") as server, an_app(server.url) as app:
        app.broker.open()

    assert "set noeviction" in caplog.text


def test_a_replica_is_refused_naming_the_remedy(engine: Engine) -> None:
    with serve(engine, "--replicaof", "127.0.0.1", str(closed_port())) as server, an_app(server.url) as app:
        with pytest.raises(BrokerRefused, match="is a replica; name the master in the broker's URL"):
            app.enqueue("shop.add", 1)


def test_a_master_that_becomes_a_replica_refuses_and_loses_nothing(engine: Engine) -> None:
    with serve(engine) as server, an_app(server.url) as app, server.client() as client:
        app.task(name="shop.add")(_add)
        kept = app.enqueue("shop.add", 1)
        client.execute_command("REPLICAOF", "127.0.0.1", str(closed_port()))

        with pytest.raises(BrokerRefused, match="nothing happened.*check that the URL names the master"):
            app.enqueue("shop.add", 2)

        client.execute_command("REPLICAOF", "NO", "ONE")
        run_ready(app)
        assert kept.result(0) == 2
        assert app.enqueue("shop.add", 3).new


def test_a_worker_outlives_a_time_as_a_replica(engine: Engine) -> None:
    with serve(engine) as server, an_app(server.url) as app, server.client() as client:
        app.task(name="shop.add")(_add)
        running, go_on = threading.Event(), threading.Event()

        @app.task(name="shop.hold")
        def hold() -> int:
            running.set()
            assert go_on.wait(LIMIT)
            return 7

        with app.worker(threads=1) as worker:
            held = hold.enqueue()
            assert running.wait(LIMIT)
            client.execute_command("REPLICAOF", "127.0.0.1", str(closed_port()))
            lost = threading.Event()
            app.signals.broker_lost.connect(lambda *_, **__: lost.set(), weak=False)
            go_on.set()
            assert lost.wait(LIMIT)

            client.execute_command("REPLICAOF", "NO", "ONE")

            assert held.result(LIMIT) == 7
            assert held.info().attempts == 0 or held.state() is JobState.SUCCEEDED
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            assert_alive(worker)


def test_out_of_memory_refuses_new_jobs_settles_old_ones_and_passes(engine: Engine) -> None:
    with serve(engine) as server, an_app(server.url) as app, server.client() as client:
        app.task(name="shop.add")(_add)
        running, go_on = threading.Event(), threading.Event()

        @app.task(name="shop.hold")
        def hold() -> int:
            running.set()
            assert go_on.wait(LIMIT)
            return 7

        with app.worker(threads=1) as worker:
            held, waiting = hold.enqueue(), app.enqueue("shop.add", 1)
            assert running.wait(LIMIT)
            client.config_set("maxmemory", "1")

            with pytest.raises(BrokerRefused, match=r"nothing happened.*check its maxmemory"):
                app.enqueue("shop.add", 2)
            with pytest.raises(BrokerRefused, match=r"check its maxmemory"):
                app.by_name("shop.add").using(queue="another").enqueue(2)
            go_on.set()
            wait_until(lambda: held.state() is JobState.SUCCEEDED, LIMIT, "the settlement without memory")
            wait_until(lambda: waiting.state() is JobState.SUCCEEDED, LIMIT, "the claim without memory")

            client.config_set("maxmemory", "0")
            assert app.enqueue("shop.add", 3).result(LIMIT) == 4
            assert (held.result(LIMIT), waiting.result(LIMIT)) == (7, 2)
            assert_alive(worker)


def test_out_of_memory_leaves_the_operators_verbs_that_free_some(engine: Engine) -> None:
    with serve(engine) as server, an_app(server.url) as app, server.client() as client:
        one, two = app.enqueue("shop.add", 1), app.enqueue("shop.add", 2)
        client.config_set("maxmemory", "1")

        assert one.cancel() == "cancelled"
        purged = app.client.change(lambda stamp: app.inspector.purge("default", JobState.READY, stamp))

        assert purged == 1
        assert not app.inspector.find(two.id)


def test_keys_of_another_program_under_our_names_are_told_of_and_left_alone(server: Server, redis_url: str) -> None:
    with an_app(redis_url) as app, server.client() as client:
        app.enqueue("shop.add", 1)
        name = next(key for key in client.keys("tf:shop:*") if key.endswith(b":ready"))
        client.delete(name)
        client.set(name, "not ours")

        with pytest.raises(BrokerUnsupported, match="WRONGTYPE"):
            app.enqueue("shop.add", 2)

        assert client.get(name) == b"not ours"


def test_a_layout_of_another_epoch_is_refused_with_what_to_do(server: Server, redis_url: str) -> None:
    with an_app(redis_url) as app, server.client() as client:
        app.enqueue("shop.add", 1)
        (meta,) = client.keys("tf:shop:*:meta")
        client.setrange(meta, 0, b"\0\x09")

        with pytest.raises(BrokerUnsupported, match=r"layout .*use the release that wrote it"):
            app.enqueue("shop.add", 2)
        with pytest.raises(BrokerUnsupported, match="layout"):
            app.inspector.counts("default")


# Managed servers that tell little


def test_a_user_who_may_not_ask_for_info_or_config_is_served_and_the_log_says_what_was_not_checked(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(engine) as server, server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "clerk", "on", ">s3cret-word", "~tf:*", "&*", "+@all", "-info", "-config"
        )
        url = f"unix://clerk:s3cret-word@{server.socket}"

        with an_app(url) as app:
            app.task(name="shop.add")(_add)
            with app.worker(threads=1):
                assert app.enqueue("shop.add", 1).result(LIMIT) == 2
            assert app.inspector.queues() == ["default"]

    assert "does not answer INFO" in caplog.text
    assert "maxmemory-policy noeviction" in caplog.text
    assert "s3cret-word" not in caplog.text


def test_a_server_whose_info_and_config_are_renamed_away_serves(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("--rename-command", "INFO", "", "--rename-command", "CONFIG", "")
    with serve(engine, *options) as server, an_app(server.url) as app:
        app.task(name="shop.add")(_add)
        with app.worker(threads=1):
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2

    assert "does not answer INFO" in caplog.text


def test_dangerous_commands_are_not_needed(engine: Engine) -> None:
    dangerous = ("KEYS", "FLUSHALL", "FLUSHDB", "DEBUG", "MONITOR", "SAVE", "SHUTDOWN")
    options = [word for name in dangerous for word in ("--rename-command", name, "")]
    with serve(engine, *options) as server, an_app(server.url) as app:
        app.task(name="shop.add")(_add)

        with app.worker(threads=1):
            assert app.enqueue("shop.add", 1).result(LIMIT) == 2


def test_a_wrong_password_is_refused_with_what_to_check(engine: Engine) -> None:
    with serve(engine) as server:
        with server.client() as client:
            client.config_set("requirepass", "right")
        for url in (server.url, f"unix://:wrong@{server.socket}"):
            with an_app(url) as app, pytest.raises(BrokerUnsupported, match="check user and password") as caught:
                app.enqueue("shop.add", 1)
            assert "wrong@" not in str(caught.value)


def test_a_user_without_a_right_that_is_needed_is_refused_naming_the_acl(engine: Engine) -> None:
    with serve(engine) as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "clerk", "on", ">s3cret-word", "~other:*", "&*", "+@all")

        with (
            an_app(f"unix://clerk:s3cret-word@{server.socket}") as app,
            pytest.raises(BrokerRefused, match=r"nothing happened.*rights of its user \(ACL\)"),
        ):
            app.enqueue("shop.add", 1)


@pytest.mark.parametrize("durability, says", [("disk", "WAITAOF|appendonly yes"), ("replicated", "needs a replica")])
def test_a_durability_that_the_server_cannot_give_is_refused(engine: Engine, durability: str, says: str) -> None:
    with serve(engine) as server, an_app(server.url, durability=durability) as app:
        with pytest.raises(BrokerUnsupported, match=says):
            app.enqueue("shop.add", 1)


def test_what_is_no_redis_is_not_taken_for_one() -> None:
    with fake_redis("<html>404</html>") as url, an_app(url, call_timeout=0.2) as app:
        # The version is missing, so it is older than any that serves.
        with pytest.raises(BrokerUnsupported, match="it takes 7.0 or newer"):
            app.enqueue("shop.add", 1)
