"""What is written to Kafka and isn't stored: the error says why, whatever the client says when it is let go."""

from unittest.mock import Mock

import pytest
from kafka.errors import KafkaTimeoutError

from streamer.aside import FramesAside
from streamer.catalog import write_definition
from streamer.errors import ServiceError
from streamer.settings import KafkaSettings, Settings
from tests.integration.producer_rig import frame


class StuckProducer:
    """kafka-python's, with a record that is neither stored nor given up: closing waits for it first, in vain."""

    def __init__(self, *_: object, **__: object) -> None:
        self._sender = Mock()
        self._sender.force_close = self._give_up
        self._pending = True

    def _give_up(self) -> None:
        self._pending = False

    def send(self, *_: object, **__: object) -> Mock:
        return Mock(get=Mock(side_effect=KafkaTimeoutError("Timeout after waiting for 20 secs.")))

    def close(self, timeout: float) -> None:
        if self._pending:
            raise KafkaTimeoutError("Failed to flush messages.")


@pytest.fixture(autouse=True)
def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("streamer.catalog", "streamer.aside"):
        monkeypatch.setattr(f"{module}.connect_producer", StuckProducer)
    monkeypatch.setattr("streamer.aside.create_topics", lambda _: None)


def test_a_definition_that_is_not_stored() -> None:
    with pytest.raises(ServiceError, match="Timeout after waiting for 20 secs"):
        write_definition(KafkaSettings(bootstrap_servers="broker:9092"), "streams", "gate", b"{}")


def test_frames_that_are_not_stored() -> None:
    def put_one() -> None:
        with FramesAside(Settings(), "again") as frames:
            frames.put(frame("gate", 1, 0, 0), b"jpeg", [])
            frames.finish()

    with pytest.raises(ServiceError, match="Timeout after waiting for 20 secs"):
        put_one()
