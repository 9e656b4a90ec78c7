"""What outlives a worker, and what its leaving and coming costs the others."""

import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

import engines.detector
from consumers import intake
from engines.detector import Detector, open_detector
from streamer.broker import connect_consumer
from streamer.records import EndHeader, FrameId
from streamer.settings import Settings
from tests.integration.worker_rig import (
    DOOR,
    Rig,
    changed,
    ends,
    header,
    outline,
    running,
    start_process,
    wait_until,
)
from tests.unit.networks import constant_network

MINUTE = 60.0
KERB = {"name": "kerb", "start": [140, 0], "end": [140, 200]}


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.settings = changed(rig.settings, sessions=1)
    return rig


def model_of_white(path: Path) -> Path:
    """A network that finds its one box in white pictures only."""
    box = np.zeros((1, 5, 84), np.float32)
    box[0, :, 0] = (32, 32, 16, 8, 0.9)
    names = {"names": "{0: 'thing'}", "task": "detect", "stride": "8"}
    return constant_network(path, {"output0": box}, metadata=names, brightness=True)


def put(rig: Rig, minute: int, right: float, there: bool = True) -> None:
    """A frame of that minute, with the thing standing at 128 + `right`, 80."""
    picture = np.full((64, 64, 3), 255 if there else 0, np.uint8)  # square: no grey border, which would count as light
    matrix = (2.0, 0.0, 64 + right, 0.0, 2.0, 8.0)
    head = header("a", minute, source_time=minute * MINUTE, width=64, height=64, matrix=matrix)
    rig.put(head, simplejpeg.encode_jpeg(picture, quality=95))


def test_an_hour_s_dwell_a_line_s_counts_and_a_hidden_track_survive_a_kill(rig: Rig, tmp_path: Path) -> None:
    """It is in the zone all the time; the line is at 140. In the last minute before the kill it is hidden."""
    rig.settings = changed(rig.settings, model=str(model_of_white(tmp_path / "white.onnx")))
    rig.define("a", track=True, zones=[DOOR | {"dwell_s": 60 * MINUTE}], lines=[KERB])
    places = [0, 0, 0, 10, 20, 30, 30, 20, 10, 0, 0, 0, 0, 10, 20, 30]
    hidden = 11
    victim = start_process(rig.settings, "detect", "--model", rig.settings.detect.model)
    try:
        for minute in range(hidden + 1):
            put(rig, minute, places[minute], there=minute != hidden)
        rig.detections(lambda rows: len(rows) == hidden + 1)
    finally:
        victim.kill()
        victim.communicate()
    for minute in range(hidden + 1, 70):
        put(rig, minute, places[minute] if minute < len(places) else places[-1])
    rig.put(EndHeader("a", FrameId(1, 70), 1))
    with running(rig.settings):
        rows = rig.detections(ends("a"))
        events = rig.events(lambda rows: any(row["event"]["type"] == "end" for row in rows))
    assert [[one["id"] for one in row["objects"]] for row in rows if row["kind"] == "frame"] == [
        ["1"] if minute != hidden else [] for minute in range(70)
    ]
    told = [(event["event"]["type"], event.get("counts")) for event in events if event["event"]["type"] != "update"]
    assert told == [
        ("new", None),
        ("enter", {"inside": 1, "entered": 1}),
        ("cross", {"left": 1, "right": 0}),
        ("cross", {"left": 1, "right": 1}),
        ("cross", {"left": 2, "right": 1}),
        ("dwell", {"inside": 1, "entered": 1}),
        ("leave", {"inside": 0, "entered": 1}),
        ("end", None),
    ]
    dwell = next(event for event in events if event["event"]["type"] == "dwell")
    assert 60 * MINUTE <= dwell["timeInterval"] < 62 * MINUTE


def until_tracked(rig: Rig, tracked: bool, first: int) -> int:
    """Has the definition say so, and puts frames from `first` on until a worker does; the next frame's number."""
    rig.define("a", track=tracked)
    sequence, last = first, not tracked
    while last is not tracked:
        rig.put(header("a", sequence))
        sequence += 1
        rows = rig.detections(lambda rows, count=sequence: len(rows) == count)  # type: ignore[misc]
        last = "candidates" in rows[-1]
    return sequence


def test_tracking_that_is_switched_off_and_on_numbers_on_whoever_has_the_stream(rig: Rig) -> None:
    with running(rig.settings, "first"):
        sequence = until_tracked(rig, True, 0)
        for number in range(sequence, sequence + 3):
            rig.put(header("a", number))
        sequence = until_tracked(rig, False, sequence + 3)
    with running(rig.settings, "second"):
        rig.put(header("a", sequence))
        rig.detections(lambda rows: len(rows) == sequence + 1)  # it has taken over, while tracking is off
        sequence = until_tracked(rig, True, sequence + 1)
        for number in range(sequence, sequence + 3):
            rig.put(header("a", number))
        events = rig.events(lambda rows: len(rows) == 3)
        wait_until(lambda: rig.mirrored_events("a") == events)
    told = [(event["id"], event["event"]["type"], event["object"]["id"]) for event in events]
    assert told == [("1-0", "new", "1"), ("1-1", "end", "1"), ("1-2", "new", "2")]


SHORT_S = 2.0


@pytest.fixture
def impatient_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that removes who has not polled for a short while."""
    short = partial(connect_consumer, max_poll_interval_ms=round(SHORT_S * 1000))
    monkeypatch.setattr(intake, "connect_consumer", short)


def joins(caplog: pytest.LogCaptureFixture) -> int:
    """How often a worker was given its share anew."""
    return sum(record.getMessage().startswith("has partitions") for record in caplog.records)


def removals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of members that did not poll in time."""
    words = ("poll timeout", "max_poll_interval", "taken away")
    return [line for record in caplog.records if any(word in (line := record.getMessage()) for word in words)]


def test_an_engine_that_is_built_for_long_is_built_before_the_worker_joins(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So there is no group yet whose patience it could try."""
    rig.define("a")
    rig.put_run("a", 5)
    begun, go_on, steps = threading.Event(), threading.Event(), list[str]()

    def slow(*arguments: Any) -> Detector:
        begun.set()
        assert go_on.wait(20)
        steps.append("built")
        return open_detector(*arguments)

    def joining(*arguments: Any, **options: Any) -> Any:
        steps.append("joins")
        return connect_consumer(*arguments, **options)

    monkeypatch.setattr(engines.detector, "open_detector", slow)
    monkeypatch.setattr(intake, "connect_consumer", joining)
    with running(rig.settings) as worker:
        assert begun.wait(20)
        assert worker.not_ready == "starting"
        go_on.set()
        assert outline(rig.detections(ends("a")), "a") == [*map(str, range(5)), "5 end"]
    assert steps == ["built", "joins"]


def test_a_network_that_is_slower_than_the_group_s_patience_keeps_its_place(
    rig: Rig, impatient_group: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.define("a")
    rig.put_run("a", 2)
    detect = Detector.detect

    def slow(*arguments: Any) -> Any:
        time.sleep(1.5 * SHORT_S)  # the network's own time: it is longer than the group's
        return detect(*arguments)

    monkeypatch.setattr(Detector, "detect", slow)
    with running(changed(rig.settings, queue=1)):
        assert outline(rig.detections(ends("a")), "a") == ["0", "1", "2 end"]
    assert not removals(caplog)


def test_partitions_are_not_taken_over_while_they_are_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assigned and revoked before the poller came to them; the consumer names them until others are assigned."""
    rig.define("a")
    rig.put_run("a", 3)
    steps: list[None] = []
    gate = threading.Event()
    with running(rig.settings) as worker:
        rig.detections(ends("a"))
        poller, refresh = worker._intake, worker._treatments.refresh

        def held() -> None:
            steps.append(None)
            gate.wait()
            refresh()

        monkeypatch.setattr(worker._treatments, "refresh", held)
        wait_until(lambda: len(steps) == 1)
        assert poller._consumer is not None
        ours = poller._consumer.assignment()
        poller.assigned(ours)
        poller.given_up(ours, 5)
        gate.set()
        wait_until(lambda: len(steps) > 3)
        assert not any(worker._ledger.owns(partition.partition) for partition in ours)
        poller.assigned(ours)
        rig.put_run("a", 4, epoch=2)
        rows = rig.detections(lambda rows: len(outline(rows, "a")) == 9)
    assert outline(rows, "a") == ["0", "1", "2", "3 end", "0", "1", "2", "3", "4 end"]


def static(settings: Settings, instance: str) -> Settings:
    """A worker that keeps its place over restarts."""
    kafka = settings.kafka.model_copy(update={"instance": instance})
    return changed(settings, static_membership=True).model_copy(update={"kafka": kafka})


def test_a_static_member_that_is_restarted_disturbs_nobody(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consumers.intake")
    streams = [f"s{n}" for n in range(6)]
    rig.define(*streams)
    with running(static(rig.settings, "one"), "one"):
        with running(static(rig.settings, "two"), "two"):
            wait_until(lambda: joins(caplog) >= 2)
            for stream in streams:
                rig.put(header(stream, 0))
            rig.detections(lambda rows: len(rows) == 6)
        before = joins(caplog)
        for stream in streams:
            rig.put(header(stream, 1))
        with running(static(rig.settings, "two"), "two"):
            for stream in streams:
                rig.put(EndHeader(stream, FrameId(1, 2), 1))
            rows = rig.detections(ends(*streams))
            assert joins(caplog) == before + 1
    for stream in streams:
        assert outline(rows, stream) == ["0", "1", "2 end"]
