"""The port that says how a process is: what it answers, and that nobody who asks can harm it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from taskforge.errors import BrokerUnavailable, SettingsError
from taskforge.worker import health as health_module
from taskforge.worker.health import CONNECTIONS, REQUEST_BYTES, Health, HealthServer
from tests.servers import wait_until

LIMIT = 25.0
HERE = "127.0.0.1"
WELL = Health(True, {"loop_age": 0.25})


@contextmanager
def serving(
    alive: Callable[[], Health] = lambda: WELL,
    ready: Callable[[], Health] = lambda: WELL,
    load: Callable[[], Mapping[str, object]] = dict,
) -> Iterator[HealthServer]:
    with HealthServer(0, HERE, alive=alive, ready=ready, load=load) as server:
        yield server


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, object]:
    connection = http.client.HTTPConnection(HERE, server.port, timeout=LIMIT)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None
    finally:
        connection.close()


def test_what_is_well_is_said_with_200_and_the_facts() -> None:
    with serving(ready=lambda: Health(True, {"claiming": True})) as server:
        said = [get(server, path) for path in ("/healthz", "/readyz?verbose=1")]

    assert said == [(200, {"ok": True, "loop_age": 0.25}), (200, {"ok": True, "claiming": True})]


def test_what_is_not_well_is_said_with_503_and_the_facts() -> None:
    with serving(ready=lambda: Health(False, {"last_exchange": 61.0})) as server:
        assert get(server, "/readyz") == (503, {"ok": False, "last_exchange": 61.0})
        assert get(server, "/healthz")[0] == 200


def test_scale_is_the_document_as_it_is_made() -> None:
    with serving(load=lambda: {"total": {"wanted": 3}}) as server:
        assert get(server, "/scale") == (200, {"total": {"wanted": 3}})


def test_a_broker_that_is_away_makes_scale_503_with_its_words() -> None:
    def load() -> Mapping[str, object]:
        raise BrokerUnavailable("redis://x does not answer")

    with serving(load=load) as server:
        assert get(server, "/scale") == (503, {"ok": False, "error": "redis://x does not answer"})


def test_a_check_that_fails_is_503_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Health:
        raise KeyError("x")

    with serving(alive=broken) as server:
        status, said = get(server, "/healthz")

    assert (status, said) == (503, {"ok": False, "error": "KeyError: 'x'"})
    assert [record.message for record in caplog.records] == ["health_not_told"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/metrics", 404), ("POST", "/healthz", 405), ("HEAD", "/healthz", 200)],
)
def test_other_questions_get_their_status(method: str, path: str, status: int) -> None:
    with serving() as server:
        assert get(server, path, method)[0] == status


def test_only_the_head_of_the_answer_is_sent_to_whom_asks_for_that() -> None:
    with serving() as server, socket.create_connection((HERE, server.port), timeout=LIMIT) as client:
        client.sendall(b"HEAD /healthz HTTP/1.1\r\n\r\n")
        with client.makefile("rb") as answer:
            said = answer.read()

    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\n")


def test_a_broker_that_hangs_keeps_nobody_from_learning_that_the_process_is_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_module, "LOAD_PATIENCE", 0.05)
    let_go, asked = threading.Event(), []

    def load() -> Mapping[str, object]:
        asked.append(1)
        let_go.wait(LIMIT)
        return {"wanted": len(asked)}

    with serving(load=load) as server:
        hanging = [get(server, "/scale")[0] for _ in range(3)]
        alive = get(server, "/healthz")[0]
        let_go.set()
        wait_until(lambda: get(server, "/scale")[0] == 200, LIMIT, "the broker's answer")

    assert (hanging, alive) == ([503] * 3, 200)
    assert len(asked) == 2  # those who ask meanwhile wait for the same answer


def test_where_no_thread_is_left_scale_is_503_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    full = [True]

    def no_more(thread: threading.Thread) -> None:
        if full and thread.name == "taskforge-load":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with serving(load=lambda: {"wanted": 1}) as server:
        refused = get(server, "/scale")
        full.clear()
        answered = get(server, "/scale")

    assert (refused[0], answered) == (503, (200, {"wanted": 1}))


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"GET /healthz", b"GET /healthz HTTP/1.1\r\nHost:", b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n"],
    ids=["nothing", "half a line", "half a head", "garbage", "no path", "an empty head"],
)
def test_a_client_that_speaks_no_http_is_let_go(request_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "PATIENCE", 0.05)
    with serving() as server, socket.create_connection((HERE, server.port), timeout=LIMIT) as client:
        client.sendall(request_bytes)

        answer = client.recv(65_536)

        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        assert get(server, "/healthz")[0] == 200


def test_a_request_that_is_too_long_is_let_go() -> None:
    with serving() as server, socket.create_connection((HERE, server.port), timeout=LIMIT) as client:
        client.sendall(b"GET /" + b"x" * 2 * REQUEST_BYTES)

        try:
            answer = client.recv(65_536)
        except ConnectionResetError:
            answer = b""

        assert answer == b""
        assert get(server, "/healthz")[0] == 200


def test_more_connections_than_are_served_are_let_go_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_module, "PATIENCE", 10 * LIMIT)
    with serving() as server:
        clients = [socket.create_connection((HERE, server.port), timeout=LIMIT) for _ in range(CONNECTIONS)]
        with socket.create_connection((HERE, server.port), timeout=LIMIT) as beyond:
            assert beyond.recv(1) == b""
        for client in clients:
            client.close()

        wait_until(lambda: _answers(server), LIMIT, "an answer")


def _answers(server: HealthServer) -> bool:
    try:
        return get(server, "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_port_in_use_is_refused_at_once_with_what_to_do() -> None:
    with (
        serving() as server,
        pytest.raises(SettingsError, match=rf"health port {server.port} on {HERE}.*in use.*--health"),
    ):
        HealthServer(server.port, HERE, alive=lambda: WELL, ready=lambda: WELL, load=dict)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), (HERE, 70_000), (HERE, -1)])
def test_a_place_that_is_none_is_refused_in_words(host: str, port: int) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        HealthServer(port, host, alive=lambda: WELL, ready=lambda: WELL, load=dict)


def test_after_it_has_stopped_the_port_is_free() -> None:
    with serving() as server:
        port = server.port

    HealthServer(port, HERE, alive=lambda: WELL, ready=lambda: WELL, load=dict).stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("taskforge-health")]
