"""The proxy that is a bad network."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from taskforge import Taskforge
from taskforge.testing import Proxy
from tests.servers import wait_until

#: Seconds that something may take which happens at once.
PATIENCE = 20.0
#: Seconds in which nothing is to happen. The test is as good if this is too short; it cannot fail by it.
WATCHED = 0.1


class Echo:
    """A server that answers whatever it is sent with the same, and keeps what it was sent."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.heard = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                self.heard += data
                connection.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Echo(listener)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.target) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy that has been answered."""
    with connect(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        yield client


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(proxy.address, PATIENCE)


def ask(client: socket.socket, request: bytes) -> bytes:
    client.sendall(request)
    return receive(client, len(request))


def receive(client: socket.socket, size: int) -> bytes:
    """This many bytes, or fewer if the connection ends before."""
    received = b""
    while len(received) < size and (data := client.recv(size - len(received))):
        received += data
    return received


def silent(client: socket.socket) -> bool:
    client.settimeout(WATCHED)
    try:
        return not client.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)


def test_what_is_sent_arrives_whole_in_both_directions(client: socket.socket) -> None:
    much = bytes(range(256)) * 20_000  # more than any buffer on the way holds

    sender = threading.Thread(target=client.sendall, args=(much,))
    sender.start()
    received = receive(client, len(much))
    sender.join(PATIENCE)

    assert received == much


def test_the_end_of_what_one_side_says_reaches_the_other(client: socket.socket, proxy: Proxy) -> None:
    client.sendall(b"bye")
    client.shutdown(socket.SHUT_WR)

    assert receive(client, 100) == b"bye"
    wait_until(lambda: proxy.connections == 0, PATIENCE)


def test_cut_resets_every_connection_and_serves_new_ones(client: socket.socket, proxy: Proxy) -> None:
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with connect(proxy) as another:
        assert ask(another, b"again") == b"again"


def test_refuse_resets_new_connections_until_it_is_restored(client: socket.socket, proxy: Proxy) -> None:
    proxy.refuse()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError), connect(proxy) as another:
        another.recv(1)
    proxy.restore()
    with connect(proxy) as another:
        assert ask(another, b"again") == b"again"


def test_a_blackhole_passes_nothing_and_keeps_connections_open(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.blackhole()
    client.sendall(b"lost?")
    with connect(proxy) as another:
        another.sendall(b"and this?")

        assert silent(client)
        assert silent(another)
        assert bytes(echo.heard) == b"hello"


def test_what_a_blackhole_held_back_arrives_afterwards(client: socket.socket, proxy: Proxy) -> None:
    proxy.blackhole()
    client.sendall(b"late")
    proxy.restore()

    assert receive(client, 4) == b"late"


def test_a_request_arrives_though_its_client_has_gone_meanwhile(
    client: socket.socket, proxy: Proxy, echo: Echo
) -> None:
    proxy.blackhole()
    client.sendall(b"late")
    client.close()
    proxy.restore()

    wait_until(lambda: bytes(echo.heard) == b"hellolate", PATIENCE)


def test_a_blackhole_swallows_only_so_much(client: socket.socket, proxy: Proxy) -> None:
    proxy.blackhole()
    client.settimeout(WATCHED)
    swallowed = 0

    with suppress(TimeoutError):
        while swallowed < 64 << 20:
            swallowed += client.send(bytes(1 << 20))

    assert swallowed < 64 << 20


def test_what_is_cut_in_a_blackhole_never_arrives(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.blackhole()
    client.sendall(b"lost")
    proxy.cut()
    proxy.restore()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with connect(proxy) as another:
        assert ask(another, b"new") == b"new"
    assert bytes(echo.heard) == b"hellonew"


def test_a_delayed_reply_comes_that_much_later_and_in_order(client: socket.socket, proxy: Proxy) -> None:
    proxy.delay(0.2)
    before = time.monotonic()
    for word in (b"one", b"two", b"three"):
        client.sendall(word)
    received = receive(client, 11)

    assert received == b"onetwothree"
    assert time.monotonic() - before >= 0.2


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_reply_is_cut_after_so_many_bytes_and_only_one(
    client: socket.socket, proxy: Proxy, echo: Echo, size: int
) -> None:
    proxy.cut_reply_after(size)
    received = ask(client, b"reply")

    assert received == b"reply"[:size]
    assert bytes(echo.heard) == b"helloreply"
    with connect(proxy) as another:
        assert ask(another, b"again") == b"again"


def test_the_count_of_a_cut_reply_goes_on_over_several_pieces(client: socket.socket, proxy: Proxy) -> None:
    proxy.cut_reply_after(7)

    assert ask(client, b"first") == b"first"
    assert ask(client, b"second") == b"se"


def test_restore_takes_back_a_cut_that_has_not_happened(client: socket.socket, proxy: Proxy) -> None:
    proxy.cut_reply_after(0)
    proxy.restore()

    assert ask(client, b"whole") == b"whole"


def test_a_target_that_is_away_looks_so_through_the_proxy(tmp_path: Path) -> None:
    nobody = str(tmp_path / "nobody")

    with Proxy(nobody) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)


def test_closing_it_resets_what_is_open_and_leaves_no_thread(echo: Echo) -> None:
    with Proxy(echo.target) as proxy:
        client = connect(proxy)
        ask(client, b"hello")

    with client, pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "proxy"], PATIENCE)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("redis://ada:secret@example.org:6380/2?protocol=3", "redis://ada:secret@{}/2?protocol=3"),
        ("unix:///run/redis.sock?db=1", "redis://{}?db=1"),
        ("unix://ada:secret@/run/redis.sock", "redis://ada:secret@{}"),
        ("/run/redis.sock", "redis://{}"),
        ("127.0.0.1:6379", "redis://{}"),
    ],
)
def test_its_url_is_the_targets_with_another_address(target: str, url: str) -> None:
    with Proxy(target) as proxy:
        assert proxy.url == url.format("{}:{}".format(*proxy.address))


def test_an_app_works_through_it_though_a_reply_is_lost(redis_url: str) -> None:
    with Proxy(redis_url) as proxy, Taskforge("photos", broker=proxy.url) as app:
        app.task(name="job")(lambda: "done")
        first = app.enqueue("job")
        proxy.cut_reply_after(0)
        second = app.enqueue("job")
        with app.worker():
            results = [job.result(PATIENCE) for job in (first, second)]

        assert results == ["done", "done"]
        assert app.inspector.counts("default").succeeded == 2
