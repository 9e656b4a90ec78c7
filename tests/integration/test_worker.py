"""A worker between a real Kafka and a real Redis: what it writes for what it is given."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY

from consumers import commit
from consumers.state import StateReader
from streamer.errors import StreamerError, UsageError
from streamer.mirror import Keys, connect_redis
from streamer.moments import unix_ms
from streamer.records import EndHeader, FrameId
from streamer.results import Events
from streamer.topics import topic_names
from tests.integration.producer_rig import broker_frozen
from tests.integration.worker_rig import (
    DOOR,
    Rig,
    changed,
    ends,
    header,
    jpeg,
    make_model,
    outline,
    read_records,
    running,
    start_process,
    wait_until,
)


def test_every_frame_once_in_order_and_redis_the_same(rig: Rig) -> None:
    rig.define("a", "b")
    with running(rig.settings):
        rig.put_run("a", 30)
        rig.put_run("b", 10)
        rows = rig.detections(ends("a", "b"))
    assert outline(rows, "a") == [*map(str, range(30)), "30 end"]
    assert outline(rows, "b") == [*map(str, range(10)), "10 end"]
    for stream in ("a", "b"):
        assert rig.mirrored(stream) == [row for row in rows if row["sensorId"] == stream]
    first = next(row for row in rows if row["sensorId"] == "a")
    # The network's box, 16x8 around its middle, in a letterbox of scale 1/2, in JPEGs of half the source's size.
    assert [o["bbox"] for o in first["objects"]] == [{"leftX": 96.0, "topY": 48.0, "rightX": 160.0, "bottomY": 80.0}]
    assert first["objects"][0]["type"] == "thing"
    assert set(first["latencyMs"]) == {"transport", "wait", "decode", "detect"}


def test_repeats_are_done_once_and_holes_are_gaps(rig: Rig) -> None:
    rig.define("a")
    with running(rig.settings):
        for sequence in (0, 1, 1, 0, 2, 6, 5, 7):
            rig.put(header("a", sequence))
        rig.put(header("a", 0, epoch=5))
        rig.put(EndHeader("a", FrameId(5, 3), 1))
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == ["0", "1", "2", "3-5 dropped", "6", "7", "8-None dropped", "0", "1-2 dropped", "3 end"]
    assert rig.mirrored("a") == rows


def test_still_scenes_cost_no_inference(rig: Rig) -> None:
    rig.define("a", motion_gate_s=1.0)
    rig.define("b")
    with running(changed(rig.settings, sessions=1)):
        for sequence in range(25):
            rig.put(header("a", sequence, source_time=sequence / 10), jpeg(5))
            rig.put(header("b", sequence, source_time=sequence / 10), jpeg(5))
        rig.put(header("a", 25, source_time=2.5), jpeg(5)[:-40])
        for stream, count in (("a", 26), ("b", 25)):
            rig.put(EndHeader(stream, FrameId(1, count), 1))
        rows = rig.detections(ends("a", "b"))
    covered = {
        sequence: row.get("reason", "result")
        for row in rows
        if row["sensorId"] == "a" and row["kind"] != "end"
        for sequence in range(row.get("first", row.get("sequence")), row.get("last", row.get("sequence")) + 1)
    }
    expected = {sequence: "unchanged" if sequence % 10 else "result" for sequence in range(25)}
    assert covered == {**expected, 25: "dead"}
    assert outline(rows, "b") == [*map(str, range(25)), "25 end"]


def test_dead_frames_and_strangers_do_not_stop_the_rest(rig: Rig) -> None:
    rig.define("a")
    with running(rig.settings):
        rig.put(header("a", 0))
        rig.put(header("a", 1), b"this is no JPEG")
        rig.put(header("a", 2), jpeg(2)[:200])
        rig.put(header("a", 3), jpeg(3, 32, 32))
        rig.put_raw(b"a", b"a stranger's record")
        rig.put(header("a", 4))
        rig.put(EndHeader("a", FrameId(1, 5), 1))
        rows = rig.detections(ends("a"))
        dead = read_records(rig.settings, topic_names(rig.settings.kafka).dead, lambda found: len(found) >= 4)
    kinds = [(kind, row.get("reason")) for row in rows for kind in [row["kind"]] * (row.get("count") or 1)]
    assert kinds == [("frame", None), *[("gap", "dead")] * 3, ("frame", None), ("end", None)]
    values = {dict(record.headers)["dead_offset"]: record.value for record in dead}
    assert sorted(values.values(), key=lambda v: v or b"") == sorted(
        [None, b"this is no JPEG", jpeg(2)[:200], jpeg(3, 32, 32)], key=lambda v: v or b""
    )
    assert all(dict(record.headers)["dead_reason"] for record in dead)


def test_latest_covers_what_it_skips(rig: Rig) -> None:
    rig.define("a", freshness="latest")
    rig.put(header("a", 0, age_ms=60_000))
    for sequence in range(1, 200):
        rig.put_raw(
            b"a",
            jpeg(0),
            header("a", sequence, age_ms=60_000 - sequence).to_headers(),
            unix_ms() - 60_000,
        )
    with running(rig.settings):
        rig.put(header("a", 200))
        rig.put(EndHeader("a", FrameId(1, 201), 1))
        rows = rig.detections(ends("a"))
    covered = [
        n
        for row in rows
        if row["kind"] != "end"
        for n in (range(row["first"], row["last"] + 1) if row["kind"] == "gap" else [row["sequence"]])
    ]
    assert covered == list(range(201))
    assert {row["reason"] for row in rows if row["kind"] == "gap"} == {"stale"}


def test_two_pipelines_over_the_same_frames(rig: Rig, tmp_path: Path) -> None:
    rig.define("both", pipelines=("main", "other"))
    rig.define("mine")
    other = changed(rig.settings, pipeline="other", model=str(make_model(tmp_path / "o.onnx", score=0.5)))
    with running(rig.settings), running(other):
        rig.put_run("both", 12)
        rig.put_run("mine", 5)
        rows = rig.detections(
            lambda rows: ends("both", "mine")(rows) and len([r for r in rows if r["kind"] == "end"]) == 3
        )
    expected = [*map(str, range(12)), "12 end"]
    assert outline(rows, "both") == outline(rows, "both", "other") == expected
    assert outline(rows, "mine", "other") == []
    confidences = {row["pipeline"]: row["objects"][0]["confidence"] for row in rows if row["kind"] == "frame"}
    assert confidences == {"main": 0.9, "other": 0.5}
    assert len(rig.mirrored("both", "other")) == 13


def test_a_killed_worker_s_frames_go_to_the_others_once(rig: Rig) -> None:
    streams = [f"s{n}" for n in range(6)]
    rig.define(*streams)
    victim = start_process(rig.settings, "detect", "--model", rig.settings.detect.model)
    try:
        for sequence in range(40):
            for stream in streams:
                rig.put(header(stream, sequence))
        rig.detections(lambda rows: len(rows) > 20)
        victim.kill()
        with running(rig.settings, "survivor"):
            for stream in streams:
                rig.put(EndHeader(stream, FrameId(1, 40), 1))
            rows = rig.whole(*streams, timeout_s=40)
    finally:
        victim.kill()
        victim.communicate()
    for stream in streams:
        assert outline(rows, stream) == [*map(str, range(40)), "40 end"]


@pytest.mark.parametrize("killed", [True, False])
def test_tracks_and_events_outlive_the_worker(rig: Rig, killed: bool) -> None:
    rig.define("a", track=True, zones=[DOOR])
    worker = start_process(rig.settings, "detect", "--model", rig.settings.detect.model)
    try:
        for sequence in range(6):
            rig.put(header("a", sequence, source_time=sequence / 10))
        rig.detections(lambda rows: len(rows) == 6)
    finally:
        worker.kill() if killed else worker.terminate()
        worker.communicate(timeout=20)
    client = connect_redis(rig.settings.redis)
    client.delete(Keys(rig.settings.redis.prefix).events("main", "a"))
    client.close()
    for sequence in range(6, 12):
        rig.put(header("a", sequence, source_time=sequence / 10))
    rig.put(EndHeader("a", FrameId(1, 12), 1))
    with running(rig.settings):
        rows = rig.detections(ends("a"))
        events = rig.events(lambda rows: any(row["event"]["type"] == "end" for row in rows))
        wait_until(lambda: rig.mirrored_events("a") == events)
    objects = [row["objects"][0] for row in rows if row["kind"] == "frame"]
    assert [one["id"] for one in objects] == ["1"] * 12
    # A track that is begun anew would be tentative again.
    assert [one["info"] for one in objects] == [{"track": "tentative"}] * 2 + [{}] * 10
    assert [event["event"]["type"] for event in events] == ["new", "enter", "leave", "end"]
    with Events(rig.settings, follow=False) as reader:
        assert [event.redis_id for event in reader] == ["1-0", "1-1", "1-2", "1-3"]


def test_tracks_are_looked_for_of_streams_that_have_some(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    load, wanted = StateReader.load, set[str]()

    def looking(self: StateReader, partition: int, streams: Collection[str]) -> dict[str, bytes]:
        wanted.update(streams)
        return load(self, partition, streams)

    rig.define("a", "b", track=True)
    rig.define("later")
    with running(rig.settings):
        for stream in ("a", "later"):
            rig.put_run(stream, 2)
        rig.put(header("b", 0), b"no JPEG")
        rig.detections(lambda rows: ends("a", "later")(rows) and outline(rows, "b") != [])
    rig.define("later", track=True)
    monkeypatch.setattr(StateReader, "load", looking)
    with running(rig.settings):
        rig.put_run("b", 1, epoch=2)
        rig.detections(ends("b"))
    assert wanted == {"a"}


def test_two_workers_share_and_a_clean_stop_hands_over_at_once(rig: Rig) -> None:
    streams = [f"s{n}" for n in range(6)]
    rig.define(*streams)
    with running(rig.settings, "one"):
        with running(rig.settings, "two"):
            for sequence in range(20):
                for stream in streams:
                    rig.put(header(stream, sequence))
        for stream in streams:
            rig.put(header(stream, 20))
            rig.put(EndHeader(stream, FrameId(1, 21), 1))
        rows = rig.detections(ends(*streams))
    for stream in streams:
        assert outline(rows, stream) == [*map(str, range(21)), "21 end"]


def test_pictures_too_small_for_the_model_are_refused_unless_allowed(rig: Rig, tmp_path: Path) -> None:
    rig.define("a")
    large = changed(rig.settings, model=str(make_model(tmp_path / "large.onnx", side=160)))
    with running(large):
        rig.put(header("a", 0))
        rig.put(EndHeader("a", FrameId(1, 1), 1))
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == ["0-0 refused", "1 end"]
    with running(changed(large, allow_upscale=True)):
        rig.put(header("a", 0, epoch=2))
        rig.put(EndHeader("a", FrameId(2, 1), 1))
        rows = rig.detections(lambda rows: len(rows) >= 4)
    assert outline(rows, "a")[2:] == ["0", "1 end"]


def test_a_worker_is_not_ready_while_kafka_does_not_answer(rig: Rig) -> None:
    rig.define("a")
    with running(rig.settings) as worker:
        rig.put(header("a", 0))
        rig.detections(lambda rows: len(rows) == 1)
        assert worker.not_ready is None
        with broker_frozen(rig.settings):
            wait_until(lambda: re.fullmatch(r"Kafka has not answered for \d+ s", worker.not_ready or ""))
        wait_until(lambda: worker.not_ready is None)


def test_the_age_of_a_stream_s_results_is_told_by_the_worker_that_has_it(rig: Rig) -> None:
    def age() -> float | None:
        return REGISTRY.get_sample_value("streamer_detect_stream_age_seconds", {"pipeline": "main", "stream": "aged"})

    rig.define("aged")
    with running(rig.settings):
        rig.put(header("aged", 0, age_ms=5_000))
        wait_until(age)
        assert (age() or 0) > 5
    assert age() is None


def test_a_worker_whose_commits_fail_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [True]
    send = commit.send_offsets

    def send_offsets(*arguments: Any) -> None:
        if failing:
            raise KafkaTimeoutError("not in time")
        send(*arguments)

    monkeypatch.setattr(commit, "send_offsets", send_offsets)
    rig.define("a")
    with running(rig.settings) as worker:
        rig.put(header("a", 0))
        wait_until(lambda: worker.not_ready == "results can't be committed: KafkaTimeoutError: not in time")
        failing.clear()
        rig.detections(lambda rows: len(rows) == 1)
        wait_until(lambda: worker.not_ready is None)


def test_a_pipeline_has_one_model(rig: Rig, tmp_path: Path) -> None:
    other = changed(rig.settings, model=str(make_model(tmp_path / "other.onnx", score=0.3)))
    rig.define("a")
    with running(rig.settings):
        rig.put(header("a", 0))
        rig.detections(lambda rows: len(rows) == 1)
    with pytest.raises(UsageError, match=r"pipeline main runs thing\.onnx .* --replace-model"), running(other):
        pass
    with pytest.raises(StreamerError, match=r"runs other\.onnx now"), running(rig.settings) as old:  # noqa: PT012
        wait_until(lambda: old.not_ready is None)
        with running(other, "new", replace_model=True) as new:
            wait_until(lambda: new.not_ready is None)
            wait_until(lambda: old.not_ready is not None)
