"""What a Redis or its network may do to a worker under load: nothing is lost, nothing runs or is settled twice."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import redis

from taskforge import BrokerUnavailable, Taskforge
from taskforge.testing.proxy import Proxy
from tests.faults.under_load import LIMIT, Load
from tests.servers import Engine, Server, serve, start, stop, wait_until


@pytest.fixture
def own(engine: Engine) -> Iterator[Server]:
    """A server for this test alone, for it is treated badly."""
    with serve(engine, "--enable-debug-command", "yes") as server:
        yield server


@pytest.fixture
def proxy(newest: Engine) -> Iterator[Proxy]:
    """The network to a server of the newest engine: what networks do is the same for all of them."""
    with serve(newest) as server, Proxy(server.url) as between:
        yield between


def test_a_forgotten_script_is_loaded_again(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        client.script_flush()
        load.assert_recovers()

    assert load.outages() == (0, 0)


def test_killed_connections_are_made_anew(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)
        load.assert_recovers()

    lost, back = load.outages()
    assert lost == back <= 1


def test_a_pause_of_the_server_is_waited_for(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        client.client_pause(300)
        load.assert_recovers()

    assert load.outages() == (0, 0)


def test_a_server_that_hangs_is_waited_for(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        client.execute_command("DEBUG", "SLEEP", "0.3")
        load.assert_recovers()

    assert load.outages() == (0, 0)


def test_a_frozen_server_is_an_outage_of_which_the_log_tells_once(
    own: Server, caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(own.url, caplog)

    with load.running():
        os.kill(own.pid, signal.SIGSTOP)
        try:
            load.wait_for_outage()
            load.assert_idle(0.5)
        finally:
            os.kill(own.pid, signal.SIGCONT)
        load.assert_recovers()

    load.assert_one_outage()


def test_a_restarted_server_is_found_again(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    options = ("--appendonly", "yes")
    with serve(engine, *options) as own, ExitStack() as restarted:
        load = Load(own.url, caplog)

        with load.running():
            _kill(own)
            load.wait_for_outage()
            load.assert_idle(0.5)
            restarted.callback(stop, start(engine, own.folder, options))
            load.assert_recovers()

    load.assert_one_outage()


def test_a_blackholed_network_is_an_outage_of_which_the_log_tells_once(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(proxy.url, caplog)

    with load.running():
        proxy.blackhole()
        load.wait_for_outage()
        load.assert_idle(0.5)
        proxy.restore()
        load.assert_recovers()

    load.assert_one_outage()


def test_what_a_dead_network_swallowed_for_good_is_sent_again(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(proxy.url, caplog)

    with load.running():
        proxy.blackhole()
        load.wait_for_outage()
        proxy.cut()
        proxy.restore()
        load.assert_recovers()

    load.assert_one_outage()


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_reply_cut_in_the_middle_is_asked_for_again(
    proxy: Proxy, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    load = Load(proxy.url, caplog)

    with load.running():
        for _ in range(5):
            proxy.cut_reply_after(size)
            load.assert_recovers()

    lost, back = load.outages()
    assert lost == back <= 5


def test_a_slow_network_is_only_slow(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(proxy.url, caplog)

    with load.running():
        proxy.delay(0.2)
        load.assert_recovers(LIMIT)
        proxy.restore()

    assert load.outages() == (0, 0)


def test_a_network_that_refuses_is_knocked_at_without_haste(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(proxy.url, caplog)

    with load.running():
        proxy.refuse()
        load.wait_for_outage()
        load.assert_idle(2.5)  # long enough for several exchanges to be tried
        proxy.restore()
        load.assert_recovers()

    load.assert_one_outage()


def test_a_full_memory_refuses_new_jobs_and_the_old_ones_end(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        client.config_set("maxmemory", 1)
        wait_until(lambda: load.told, LIMIT, "the refusal")
        wait_until(lambda: len(load.settled) == len(load.confirmed), LIMIT, "the settlements without memory")
        client.config_set("maxmemory", 0)
        load.assert_recovers()

    assert all("check its maxmemory" in str(error) for error in load.told)
    assert load.outages() == (0, 0)


def test_a_master_that_is_made_a_replica_and_back_has_lost_nothing(
    own: Server, caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        load.wait_for_outage()
        load.assert_idle(0.5)
        client.execute_command("REPLICAOF", "NO", "ONE")
        load.assert_recovers()

    load.assert_one_outage()
    assert all("nothing happened" in str(error) or "is a replica" in str(error) for error in load.told)


def test_a_server_that_cannot_write_its_disk_refuses_and_passes(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(engine, "--save", "3600 1", "--dbfilename", "jobs.rdb") as own:
        load = Load(own.url, caplog)

        with load.running(), own.client() as client:
            blocked = own.folder / "jobs.rdb"
            blocked.unlink(missing_ok=True)
            blocked.mkdir()  # a snapshot is renamed to this name at its end, and cannot be
            client.bgsave()
            load.wait_for_outage()
            load.assert_idle(0.5)
            blocked.rmdir()
            client.bgsave()
            load.assert_recovers()

    assert any("check its disk" in str(error) for error in load.told)
    load.assert_one_outage()


def test_a_server_without_room_for_another_client_is_asked_again(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    load = Load(own.url, caplog)

    with load.running(), own.client() as client:
        crowd = [redis.Redis(unix_socket_path=str(own.socket)) for _ in range(4)]
        for each in crowd:
            each.ping()
        client.config_set("maxclients", 1)
        client.client_kill_filter(_type="normal", skipme=True)
        client.config_set("maxclients", 1)
        load.wait_for_outage()
        client.config_set("maxclients", 100)
        load.assert_recovers()
        for each in crowd:
            with suppress(redis.RedisError):
                each.close()

    load.assert_one_outage()


def test_a_server_without_room_is_one_that_does_not_answer_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        full = threading.Thread(target=_say, args=(listener, b"-ERR max number of clients reached\r\n"), daemon=True)
        full.start()

        with Taskforge("shop", broker=f"redis://127.0.0.1:{listener.getsockname()[1]}") as app:
            with pytest.raises(BrokerUnavailable, match="max number of clients"):
                app.broker.open()

        listener.shutdown(socket.SHUT_RDWR)
        full.join(LIMIT)


def test_workers_go_on_after_a_restart_with_empty_memory(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with serve(engine) as own, ExitStack() as restarted:
        load = Load(own.url, caplog)

        with load.running():
            _kill(own)
            load.wait_for_outage()
            load.forget()
            restarted.callback(stop, start(engine, own.folder))
            load.assert_recovers()

    load.assert_one_outage()


def _kill(server: Server) -> None:
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)  # `serve` collects it


def _say(listener: socket.socket, reply: bytes) -> None:
    """Answer the first request of every connection so, until the listener is closed."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)
