"""What a stream's thread does with the pictures of its connections."""

import queue
from collections.abc import Iterator
from unittest.mock import Mock

import av
import pytest

from producers.picture import Picture
from producers.position import start_from
from producers.runner import Runner, Treatment
from streamer.lifecycle import Deadline
from streamer.records import FrameHeader
from tests.clips import definition, quick_settings
from tests.waiting import eventually


class OnePicture:
    """A camera that breaks off behind its first picture; time begins with each connection."""

    live, faults = True, 0

    def open(self) -> None:
        pass

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        yield Picture(av.VideoFrame(64, 48, "yuv420p"), start_index, None, 0.0, None, 0, 0)

    def describe(self) -> str:
        return "one picture"

    def close(self) -> None:
        pass


class Rig:
    """A stream of a camera that connects again and again; `published`: the frames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("producers.runner.open_source", lambda *_: OnePicture())
        publisher, self.published = Mock(), queue.SimpleQueue[FrameHeader]()
        lane = publisher.lane.return_value
        lane.stamp = lambda captured_ms: captured_ms
        lane.put = lambda header, _: self.published.put(header) or True
        treatment = Treatment(definition("synthetic:", fps=0.001), None)
        quick = quick_settings(reconnect_min_s=0.01, reconnect_max_s=0.02)
        self.runner = Runner(treatment, start_from(None, True, 1000), publisher, quick, live=True)

    def __enter__(self) -> "Rig":
        self.runner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.stop(Deadline(5))
        eventually(lambda: self.runner.over, "it ends")


def test_each_connection_begins_with_a_picture_however_few_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rig(monkeypatch) as rig:
        assert [rig.published.get(timeout=20).id.sequence for _ in range(3)] == [0, 1, 2]
