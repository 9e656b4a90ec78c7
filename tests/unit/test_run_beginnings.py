"""A run is begun by who certainly has the stream, with one frame alone; and then goes on, whoever has it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from producers.lane import Lane
from producers.link import Link
from streamer.lifecycle import Deadline
from streamer.records import EndHeader, FrameId, parse_headers
from tests.integration.producer_rig import frame


class Rig:
    """A lane, and the client behind it; the stream is `ours`. sent: (epoch, sequence) of what the client has got."""

    def __init__(self, waits: bool) -> None:
        self.ours, self.asked, self.sent = True, 0, list[tuple[int, int]]()
        self._unacknowledged: list[Callable[[Any], None]] = []
        self.lane = Lane("cam", 0, waits, lambda: None, lambda *_: None, self._is_ours)
        self.lane.connect(cast(Link, SimpleNamespace(send=self._send)))

    def put(self, epoch: int, *sequences: int) -> None:
        for sequence in sequences:
            assert self.lane.put(frame("cam", epoch, sequence, self.lane.stamp(1)), b"jpeg")

    def acknowledge(self) -> None:
        """All that the client has; and the publisher looks."""
        while self._unacknowledged:
            self._unacknowledged.pop(0)(SimpleNamespace(offset=0))
        self.lane.advance()

    def lose_link(self) -> None:
        self._unacknowledged.clear()
        self.lane.disconnect(1)
        self.lane.connect(cast(Link, SimpleNamespace(send=self._send)))

    def _is_ours(self) -> bool:
        self.asked += 1
        return self.ours

    def _send(self, _partition: int, _key: bytes, _value: Any, headers: Any, *rest: Any) -> None:
        captured_ms, acknowledged, _failed = rest
        sent = parse_headers(headers, captured_ms).id
        self.sent.append((sent.epoch, sent.sequence))
        self._unacknowledged.append(acknowledged)


@pytest.fixture(params=[True, False], ids=["file", "camera"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def test_a_run_s_first_frame_goes_alone_and_then_all_do_whoever_has_the_stream(rig: Rig) -> None:
    rig.put(7, 0, 1, 2)
    assert rig.sent == [(7, 0)]
    rig.acknowledge()
    assert rig.sent == [(7, 0), (7, 1), (7, 2)]
    rig.ours, asked = False, rig.asked
    rig.put(7, 3)
    rig.acknowledge()
    rig.put(7, 4, 5)
    assert rig.sent[3:] == [(7, 3), (7, 4), (7, 5)]
    assert rig.asked == asked


def test_the_next_run_is_begun_while_the_last_is_on_its_way(rig: Rig) -> None:
    rig.put(7, 0)
    rig.acknowledge()
    rig.put(7, 1)
    rig.put(8, 0, 1)
    assert rig.sent == [(7, 0), (7, 1), (8, 0)]
    rig.acknowledge()
    assert rig.sent[3:] == [(8, 1)]


def test_a_run_waits_until_the_stream_is_ours(rig: Rig) -> None:
    rig.ours = False
    rig.put(7, 1, 2)  # the first picture could not be encoded
    rig.lane.advance()
    assert rig.sent == []
    rig.ours = True
    rig.lane.advance()
    assert rig.sent == [(7, 1)]


def test_a_run_does_not_go_on_if_its_first_frame_came_too_late(rig: Rig) -> None:
    rig.put(7, 0, 1)
    rig.ours = False
    rig.acknowledge()
    rig.put(7, 2)
    assert rig.sent == [(7, 0)]
    assert not rig.lane.flush(Deadline(0))
    rig.lane.interrupt()
    rig.lane.end(EndHeader("cam", FrameId(7, 3), 1, "given up"))
    assert rig.lane.flush(Deadline(0))
    assert (rig.sent, rig.lane.outstanding_bytes) == ([(7, 0)], 0)


def test_a_first_frame_that_is_sent_again_is_asked_for_again(rig: Rig) -> None:
    rig.put(7, 0, 1)
    rig.ours = False
    rig.lose_link()
    assert rig.sent == [(7, 0)]
    rig.ours = True
    rig.lane.advance()
    assert rig.sent == [(7, 0), (7, 0)]
