"""The wire of the tests does what it says: passes on, stands still, resets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with Proxy(listener.getsockname()[1]) as proxy:
            yield proxy


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # the test is over
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection, suppress(ConnectionResetError):
        while data := connection.recv(100):
            connection.sendall(data)


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def said(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(100)


def test_what_is_cut_stands_still_and_goes_on_where_it_stood(proxy: Proxy) -> None:
    with connect(proxy) as one:
        assert said(one, b"before") == b"before"
        proxy.cut()
        one.sendall(b"meanwhile")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(100)
        proxy.mend()
        one.settimeout(5)
        assert one.recv(100) == b"meanwhile"


def test_what_is_reset_is_over_and_new_ones_get_through_once_it_is_mended(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert said(one, b"before") == said(other, b"before") == b"before"
        proxy.reset()
        for each in (one, other):
            with pytest.raises(ConnectionResetError):
                each.recv(100)
    with pytest.raises(ConnectionResetError), connect(proxy) as refused:
        refused.recv(100)
    proxy.mend()
    with connect(proxy) as again:
        assert said(again, b"after") == b"after"


def test_a_server_that_is_down_for_a_while_is_found_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Proxy(port) as proxy:
        with pytest.raises(ConnectionResetError), connect(proxy) as refused:
            refused.recv(100)
        with socket.create_server(("127.0.0.1", port)) as listener:
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            with connect(proxy) as one:
                assert said(one, b"back") == b"back"
