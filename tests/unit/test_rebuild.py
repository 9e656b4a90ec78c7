"""A stream that begins while the Kafka producer below all streams is replaced."""

from unittest.mock import Mock

import pytest

from producers.publisher import Publisher
from streamer.settings import Settings
from tests.integration.producer_rig import frame


def test_a_lane_that_is_made_during_a_rebuild_publishes_through_the_new_link(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Mock(), Mock()
    publisher = Publisher(Settings())
    publisher._partitions, publisher._link = [0], old
    monkeypatch.setattr("producers.publisher.connect", lambda *_: new)
    monkeypatch.setattr(publisher, "_share_out", lambda: publisher._rebuild(old, OSError("gone")))  # in its midst
    lane = publisher.lane("gate", waits=True)
    assert lane.put(frame("gate", 1, 0, 0), b"jpeg")
    assert new.send.call_count == 1
    assert old.send.call_count == 0
