"""Frames of the past on topics of their own: a worker there does them, and nothing live notices."""

import pytest

from streamer.aside import FramesAside, aside
from streamer.errors import UsageError
from streamer.settings import Settings
from streamer.topics import topic_names
from streamer.topics_admin import delete_topics
from tests.integration.worker_rig import Rig, ends, header, jpeg, outline, read_topic, running

DAY_MS = 24 * 3600 * 1000


def test_a_worker_aside_does_every_frame_and_nothing_live_notices(rig: Rig) -> None:
    rig.define("a", freshness="latest")
    with running(rig.settings), FramesAside(rig.settings, "again") as frames:
        frames.define(["a", "unknown"])
        for stream, epoch, sequences in (("a", 1, (0, 1, 4)), ("a", 2, (0,)), ("unknown", 1, (0, 1))):
            for sequence in sequences:
                head = header(stream, sequence, epoch, age_ms=DAY_MS)
                frames.put(head, jpeg(sequence), head.to_headers())
        frames.finish()
        with running(frames.settings, "aside"):
            topic = topic_names(frames.settings.kafka).detections
            rows = read_topic(frames.settings, topic, lambda rows: [row["kind"] for row in rows].count("end") == 3)
        rig.put_run("a", 3)
        live = rig.detections(ends("a"))
    delete_topics(frames.settings)
    assert outline(rows, "a", "again") == ["0", "1", "2-3 dropped", "4", "5 end", "0", "1 end"]
    assert outline(rows, "unknown", "again") == ["0", "1", "2 end"]
    assert {row["pipeline"] for row in live} == {"main"}
    assert outline(live, "a")[-1] == "3 end"
    assert rig.mirrored("a") == live


@pytest.mark.parametrize("name", ["", "a b", "../frames", "n" * 60])
def test_a_replay_needs_a_name_that_topics_can_have(settings: Settings, name: str) -> None:
    with pytest.raises(UsageError, match=r"^(pipeline|replay) "):
        aside(settings, name)
