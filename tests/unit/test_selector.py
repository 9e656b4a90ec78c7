"""The selector of Kafka's clients: the standard one's answers."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from streamer.selector import QuietSelector


class Telling(socket.socket):
    """Counts how often it is described."""

    told = 0

    def __repr__(self) -> str:
        self.told += 1
        return super().__repr__()


@pytest.fixture
def selector() -> Iterator[QuietSelector]:
    with closing(QuietSelector()) as selector:
        yield selector


def test_a_socket_that_is_not_registered_is_not_described(selector: QuietSelector) -> None:
    with Telling() as told:
        with pytest.raises(KeyError):
            selector.get_key(told)
        assert told.told == 0


def test_keys_by_object_and_by_number_until_the_socket_is_unregistered(selector: QuietSelector) -> None:
    with socket.socket() as known:
        key = selector.register(known, selectors.EVENT_READ, "data")
        assert selector.get_key(known) == selector.get_key(known.fileno()) == key
        selector.modify(known, selectors.EVENT_WRITE, "other")
        assert selector.get_key(known).data == "other"
        selector.unregister(known)
        with pytest.raises(KeyError):
            selector.get_key(known)


def test_a_socket_that_was_closed_while_registered_is_still_known(selector: QuietSelector) -> None:
    known = socket.socket()
    key = selector.register(known, selectors.EVENT_READ)
    known.close()
    assert selector.get_key(known) == key


def test_a_client_that_is_closed_with_something_to_send_leaves_no_socket_open() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        network = NetworkSelector(selector=QuietSelector)
        connection = KafkaTCPTransport(network, near)
        connection.write(b"a request")
        connection.close()
        network.close()
        assert near.fileno() == -1
