"""A broker behind sentinels: it is found, it is followed, and what is wrong with the URL is said."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import redis

from taskforge import BrokerRefused, BrokerUnavailable, BrokerUnsupported, EnqueueFailed, SettingsError, Taskforge
from taskforge.brokers.protocol import BrokerSettings
from taskforge.brokers.redis import RedisBroker
from taskforge.brokers.stamp import Sender
from taskforge.job import NewJob
from tests.bad_input.fake_redis import closed_port
from tests.faults.durability import BODIES
from tests.faults.under_load import LIMIT
from tests.sentinels import NAME, Watched, watched
from tests.servers import Engine, wait_until


@pytest.fixture(scope="module")
def standing(newest: Engine) -> Iterator[Watched]:
    """A primary with a replica and sentinels, for tests that do not make it move."""
    with watched(newest, password="s3cret") as setting:
        yield setting


def a_broker(url: str) -> RedisBroker:
    return RedisBroker(url, BrokerSettings("t"))


def with_password(setting: Watched) -> str:
    return setting.url.replace("://", "://:s3cret@")


def test_the_master_is_found_and_named_without_a_password(standing: Watched) -> None:
    broker = a_broker(with_password(standing))

    broker.open()

    sentinels = ",".join(f"127.0.0.1:{node.port}" for node in standing.sentinels)
    master = f"127.0.0.1:{standing.servers[0].port}"
    assert broker.describe() == f"redis+sentinel://{sentinels}/{NAME}/0 (master {master})"
    assert broker.enqueue([NewJob("a", "q", b"")], Sender().stamp())[0].new
    broker.close()


def test_a_sentinel_that_does_not_answer_is_passed_over(standing: Watched) -> None:
    standing.sentinels[0].process.send_signal(signal.SIGSTOP)
    try:
        broker = a_broker(with_password(standing).replace("://:s3cret@", f"://:s3cret@127.0.0.1:{closed_port()},"))

        broker.open()

        broker.close()
    finally:
        standing.sentinels[0].process.send_signal(signal.SIGCONT)


def test_a_sentinel_that_names_a_replica_is_not_believed(standing: Watched) -> None:
    replica = str(standing.servers[1].port)
    with _sentinel_that_says("127.0.0.1", replica) as port:
        broker = a_broker(with_password(standing).replace("s3cret@", f"s3cret@127.0.0.1:{port},"))

        broker.open()

        assert broker.describe().endswith(f"(master 127.0.0.1:{standing.servers[0].port})")
        broker.close()


def test_an_unknown_master_is_refused_with_the_known_ones(standing: Watched) -> None:
    with pytest.raises(BrokerRefused, match=f"knows no master 'shoo' .it knows {NAME}.; check the name"):
        a_broker(with_password(standing).replace(f"/{NAME}", "/shoo")).open()


def test_no_sentinel_in_reach_is_told_of_each(standing: Watched) -> None:
    ports = closed_port(), closed_port()

    with pytest.raises(BrokerUnavailable, match=f"sentinel 127.0.0.1:{ports[0]}: .*sentinel 127.0.0.1:{ports[1]}: "):
        a_broker(f"redis+sentinel://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/{NAME}").open()


def test_a_wrong_password_of_the_server_is_told(standing: Watched) -> None:
    with pytest.raises(BrokerUnsupported, match="check user and password in the broker's URL"):
        a_broker(standing.url.replace("://", "://:wrong@")).open()


def test_a_sentinel_that_wants_a_password_says_where_it_goes(standing: Watched) -> None:
    node = standing.sentinels[0]
    url = f"redis+sentinel://:s3cret@127.0.0.1:{node.port}/{NAME}"
    with node.client() as client:
        client.execute_command("ACL", "SETUSER", "default", ">guard")
    try:
        with pytest.raises(BrokerUnsupported, match="sentinel_password"):
            a_broker(url).open()

        a_broker(f"{url}?sentinel_password=guard").open()
        assert "guard" not in a_broker(f"{url}?sentinel_password=guard").describe()
    finally:
        with redis.Redis(port=node.port, password="guard") as client:
            client.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://one,two", "names no master"),
        ("redis+sentinel://one:x/shop", "its sentinel 'one:x'"),
        ("redis+sentinel://one/shop/first", "must be a number"),
        ("redis+cluster://one", "not supported yet"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_at_once(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said), Taskforge("shop", broker=url) as app:
        app.broker.open()


def test_a_master_that_was_replaced_on_order_is_left_before_it_knows(newest: Engine) -> None:
    with watched(newest) as setting, Taskforge("shop", broker=setting.url) as app:
        app.by_name("shop.work").enqueue()
        old = setting.master()
        with setting.sentinels[1].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", NAME)
        new = setting.wait_for_new_master(old)

        with new.client() as client:
            wait_until(lambda: client.hexists(BODIES, app.by_name("shop.work").enqueue().id), LIMIT, "the new master")

        with old.client() as client:
            assert client.role()[0] == "master"  # it will be told in some seconds, and lose what it accepted since


def test_an_answer_lost_in_a_failover_is_told_as_unknown_and_the_same_call_makes_it_good(newest: Engine) -> None:
    with watched(newest) as setting, Taskforge("shop", broker=setting.url, call_timeout=0.3) as app:
        app.by_name("shop.work").enqueue()
        old = setting.master()
        old.process.send_signal(signal.SIGSTOP)  # it gets the request, and nobody will ever have its answer
        with pytest.raises(EnqueueFailed, match="unknown") as caught:
            app.by_name("shop.work").using(job_id="mine").enqueue()
        old.kill()
        new = setting.wait_for_new_master(old)

        wait_until(partial(_enqueued, app, "mine"), LIMIT, "the same enqueue, confirmed")

        assert caught.value.unknown == ("mine",)
        with new.client() as client:
            assert client.hexists(BODIES, "mine")


def _enqueued(app: Taskforge, job: str) -> bool:
    with suppress(BrokerUnavailable):
        app.by_name("shop.work").using(job_id=job).enqueue()
        return True
    return False


@contextmanager
def _sentinel_that_says(host: str, port: str) -> Iterator[int]:
    """The port of one that names this master, whatever it is asked, in words that are new."""
    master = b"*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(host), host.encode(), len(port), port.encode())
    facts = b"*2\r\n$12\r\nconfig-epoch\r\n$2\r\n99\r\n"

    def answer() -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = listener.accept()
                with connection:
                    while request := connection.recv(4096):
                        connection.sendall(master if b"GET-MASTER" in request else facts)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(LIMIT)
