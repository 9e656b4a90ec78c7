"""`streamer produce` and `streamer streams` as processes: who serves what, through changes, ends and deaths."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError
from kafka.protocol.consumer import FetchRequest
from kafka.structs import OffsetAndMetadata
from prometheus_client import REGISTRY

from producers.assignment import Assignment
from producers.supervisor import TICK_S, Supervisor
from streamer.__main__ import main
from streamer.broker import assign_from_beginning, connect_consumer
from streamer.catalog import write_definition
from streamer.children import environment_of
from streamer.moments import unix_ms
from streamer.records.stream import PipelineDefinition, StreamDefinition
from streamer.settings import Settings
from streamer.topics import all_topics, topic_names
from tests.integration.producer_rig import (
    HEIGHT,
    WIDTH,
    Process,
    Published,
    broker_frozen,
    first_times,
    make_clip,
    process,
    published,
)
from tests.waiting import eventually

Command = Callable[..., int]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.avi", 150)


@pytest.fixture
def streamer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, in this process."""
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    return lambda *words: main([*map(str, words)])


def frames_of(settings: Settings, stream: str) -> list[Published]:
    return published(settings)[stream]


def test_a_file_goes_on_behind_its_last_record_after_a_kill(settings: Settings, clip: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = ("produce", str(clip), "--freshness", "every")
    with process(settings, log, *words) as first:
        eventually(lambda: len(frames_of(settings, "clip")) > 40, "it runs")
        first.end(signal.SIGKILL)
    before = frames_of(settings, "clip")
    assert len(before) < 140
    assert not before[-1].is_end
    with process(settings, log, *words) as second:
        assert second.wait() == 0
        assert "goes on with picture" in second.said
    records = frames_of(settings, "clip")
    epoch = before[0].header.id.epoch
    assert first_times(records) == [(epoch, sequence) for sequence in range(151)]
    assert records[-1].is_end
    assert records[-1].value is None
    assert [record.header.index for record in records if not record.is_end][-1] == 149
    # That run is over: the next begins a new one.
    with process(settings, log, "produce", str(clip), "--pace", "fast") as third:
        assert third.wait() == 0
    later = [record.at for record in frames_of(settings, "clip")[len(records) :]]
    assert later == [(later[0][0], sequence) for sequence in range(151)]
    assert later[0][0] > epoch


def address_of(running: Process) -> str:
    """Where it tells how it is."""
    address = re.search(r"(http://\S+)/metrics", running.said)
    assert address
    return address[1]


def metrics_of(running: Process) -> str:
    """All that it counts, as text."""
    with urlopen(f"{address_of(running)}/metrics") as answer:
        text: str = answer.read().decode()
    return text


def readiness_of(running: Process) -> str:
    """What /readyz answers."""
    try:
        with urlopen(f"{address_of(running)}/readyz") as answer:
            return str(answer.read().decode().strip())
    except HTTPError as error:
        with error:
            return str(error.read().decode().strip())


def test_a_producer_without_a_stream_is_not_ready_either_while_kafka_does_not_answer(
    settings: Settings, tmp_path: Path
) -> None:
    with process(settings, tmp_path / "log", "produce", "--port", "0") as idle:
        eventually(lambda: "waiting for streams" in idle.said, "it has started")
        eventually(lambda: readiness_of(idle) == "ready", "it is ready")
        with broker_frozen(settings):
            eventually(lambda: readiness_of(idle).startswith("Kafka has not answered for"), "it says why not")
        eventually(lambda: readiness_of(idle) == "ready", "it is ready again")


def counted_frames(running: Process, what: str) -> float:
    """How many frames a producer of one stream has `captured` or `published` (acknowledged), by its own count."""
    found = re.search(rf"^streamer_frames_{what}_total\{{.*\}} (\S+)$", metrics_of(running), re.MULTILINE)
    assert found
    return float(found[1])


def test_what_was_appended_but_never_acknowledged_before_a_kill_is_not_there_anew(
    settings: Settings, clip: Path, tmp_path: Path
) -> None:
    """The kernel takes for the frozen broker what a producer sends, and the broker appends it when it wakes."""
    words = ("produce", str(clip), "--freshness", "every", "--port", "0")
    with process(settings, tmp_path / "log", *words) as first:
        eventually(lambda: len(frames_of(settings, "clip")) > 40, "it runs")
        with broker_frozen(settings):
            begun = counted_frames(first, "captured")
            eventually(lambda: counted_frames(first, "captured") > begun + 20, "it goes on without being answered")
            acknowledged = counted_frames(first, "published")
            first.end(signal.SIGKILL)
        eventually(lambda: len(frames_of(settings, "clip")) > acknowledged, "what was on its way is appended")
    with process(settings, tmp_path / "log", *words) as second:
        assert second.wait() == 0
        assert "goes on with picture" in second.said
    at = [record.at for record in frames_of(settings, "clip")]
    assert at == [(at[0][0], sequence) for sequence in range(151)]


def test_a_frozen_producer_that_wakes_after_its_successor_began_changes_nothing(
    settings: Settings, clip: Path, tmp_path: Path
) -> None:
    words = ("produce", str(clip), "--freshness", "every")
    with process(settings, tmp_path / "a", *words) as first:
        eventually(lambda: len(frames_of(settings, "clip")) > 40, "it runs")
        os.kill(first.pid, signal.SIGSTOP)
        with process(settings, tmp_path / "b", *words) as second:
            eventually(lambda: "goes on with picture" in second.said, "its successor has begun")
            os.kill(first.pid, signal.SIGCONT)
            assert second.wait() == 0
        first.end()
    epoch = frames_of(settings, "clip")[0].at[0]
    assert first_times(frames_of(settings, "clip")) == [(epoch, sequence) for sequence in range(151)]


def test_the_time_of_every_stage_of_every_frame_is_counted(settings: Settings, tmp_path: Path) -> None:
    def counted(stage: str, what: str) -> float:
        return REGISTRY.get_sample_value(f"streamer_produce_stage_seconds_{what}", {"stage": stage}) or 0.0

    # An empty packet behind the last one brings out the pictures that still wait in the decoder.
    stages = {"decode": 21, "transform": 20, "encode": 20, "acknowledge": 20}
    before = {stage: (counted(stage, "count"), counted(stage, "sum")) for stage in stages}
    clip = make_clip(tmp_path / "short.avi", 20)
    definition = StreamDefinition(id="short", source=str(clip), pace="fast", freshness="every")
    began = time.monotonic()
    assert Supervisor(settings).run_named([definition], threading.Event())
    took_s = time.monotonic() - began
    for stage, (count, seconds) in before.items():
        assert counted(stage, "count") - count == stages[stage], stage
        assert 0 < counted(stage, "sum") - seconds < 20 * took_s, stage


def test_each_round_of_a_loop_is_a_run_of_its_own(settings: Settings, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "short.avi", 20)
    words = ("produce", str(clip), "--loop", "--pace", "fast", "--port", "0")
    with process(settings, tmp_path / "log", *words) as running:
        eventually(lambda: rounds(settings, "short") > 3, "several rounds")
        counted = metrics_of(running)
        with urlopen(f"{address_of(running)}/readyz") as answer:
            assert answer.status == 200
        assert running.end() == 0
    for name in ("frames_captured_total", "frames_published_total", "outstanding_bytes", "source_faults"):
        assert f'streamer_{name}{{stream="short"}}' in counted
    records = frames_of(settings, "short")
    assert not any(record.is_end for record in records)
    epochs = sorted({record.at[0] for record in records})
    for epoch in epochs[:-1]:
        assert [record.at[1] for record in records if record.at[0] == epoch] == list(range(20))


def test_two_producers_share_the_streams_and_stand_in_for_each_other(
    settings: Settings, streamer: Command, clip: Path, tmp_path: Path
) -> None:
    names = ["cam0", "cam2", "cam7", "cam14", "cam18", "cam36"]  # on all four partitions
    for name in names:
        assert streamer("streams", "add", name, clip, "--loop", "--freshness", "every") == 0
    with process(settings, tmp_path / "a", "produce") as first:
        eventually(lambda: len(published(settings)) == 6, "the first serves all")
        with process(settings, tmp_path / "b", "produce") as second:
            moved = eventually(lambda: streams_in(second.said), "the second serves some")
            assert 0 < len(moved) < 6, first.said + second.said
            eventually(lambda: len(streams_in(second.said)) == len(moved), "it runs")
            handed_over = published(settings)
            first.end(signal.SIGKILL)
            killed_ms = unix_ms()
            left = set(names) - moved
            eventually(lambda: left <= streams_in(second.said), "the second has taken over all")
            eventually(
                lambda: all(published(settings)[name][-1].timestamp_ms > killed_ms for name in names), "all go on"
            )
            assert second.end() == 0
    # Handed over in order: the first had closed and flushed before the second began, so nothing is there twice.
    for name in moved:
        assert len(first_times(handed_over[name])) == len(handed_over[name]), name
    # After a kill: repeats at most.
    for records in published(settings).values():
        first_times(records)


def streams_in(said: str) -> set[str]:
    return {line.rpartition("stream=")[2].strip() for line in said.splitlines() if ": running" in line}


def test_streams_stay_ours_while_their_topic_can_t_be_read(
    settings: Settings, streamer: Command, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> dict[TopicPartition, list[object]]:
        raise KafkaConnectionError("111 ECONNREFUSED")

    assert streamer("streams", "add", "one", clip) == 0
    assignment = Assignment(settings.kafka, lambda streams: None)
    assignment.open()
    try:
        eventually(lambda: assignment.poll(100).keys() == {"one"}, "it is ours")
        with monkeypatch.context() as broken:
            broken.setattr("producers.assignment.poll_group", failing)
            assert assignment.poll(100).keys() == {"one"}
        assert streamer("streams", "add", "two", clip) == 0
        eventually(lambda: assignment.poll(100).keys() == {"one", "two"}, "so is the next")
    finally:
        assignment.close()


def test_what_comes_from_another_waits_for_no_longer_than_a_look_behind_what_we_have(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind our own fetch, that is, of a topic in which nothing happens: kafka-python sends both by one connection."""
    waits: list[int] = []
    encode = FetchRequest.encode

    def seen(self: FetchRequest, *args: object, **named: object) -> bytes:
        waits.append(self.max_wait_ms)
        return encode(self, *args, **named)

    monkeypatch.setattr(FetchRequest, "encode", seen)
    assignment = Assignment(settings.kafka, lambda streams: None)
    assignment.open()
    try:
        eventually(lambda: assignment.poll(100) or waits, "it fetches")
    finally:
        assignment.close()
    assert max(waits) <= TICK_S * 1000


def test_changes_apply_while_it_runs_and_to_their_stream_only(
    settings: Settings, streamer: Command, clip: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert streamer("streams", "add", name, clip, "--loop") == 0
    streams = topic_names(settings.kafka).streams
    write_definition(settings.kafka, streams, "broken", b'{"id": "broken", "masks": "?"}')
    write_definition(settings.kafka, streams, "other", b'{"id": "other", "source": "nowhere.mp4", "managed": false}')
    with process(settings, tmp_path / "log", "produce") as running:
        eventually(lambda: {"one", "two"} <= published(settings).keys(), "both run")
        assert streamer("streams", "set", "one", "--transport", f"{WIDTH // 2}x{HEIGHT // 2}") == 0
        eventually(lambda: frames_of(settings, "one")[-1].header.width == WIDTH // 2, "smaller pictures")
        assert streamer("streams", "pause", "one") == 0
        eventually(lambda: stands_still(settings, "one", beside="two"), "it is paused")
        assert streamer("streams", "resume", "one") == 0
        count = len(frames_of(settings, "one"))
        eventually(lambda: len(frames_of(settings, "one")) > count, "it goes on")
        assert streamer("streams", "remove", "one") == 0
        eventually(lambda: frames_of(settings, "one")[-1].is_end, "its run is over")
        assert running.end() == 0
        said = running.said
    assert published(settings).keys() == {"one", "two"}
    assert sum("definition can't be used" in line for line in said.splitlines()) == 1
    assert sum("connecting stream=two" in line for line in said.splitlines()) == 1, "left alone"
    # Neither a change of size nor a pause began a new run.
    resumed = [record.at for record in frames_of(settings, "one")]
    assert resumed == sorted(set(resumed))
    first_times(frames_of(settings, "two"))


def stands_still(settings: Settings, stream: str, beside: str) -> bool:
    """Whether none of its frames comes while another stream gets fifteen."""
    before = published(settings)
    eventually(lambda: len(frames_of(settings, beside)) >= len(before[beside]) + 15, f"{beside} goes on")
    return len(frames_of(settings, stream)) == len(before[stream])


def rounds(settings: Settings, stream: str) -> int:
    return len({record.at[0] for record in frames_of(settings, stream)})


def test_a_file_that_has_ended_is_paused_and_played_again_on_resume(
    settings: Settings, streamer: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "short.avi", 20)
    assert streamer("streams", "add", "once", clip, "--pace", "fast") == 0
    with process(settings, tmp_path / "log", "produce") as running:
        eventually(lambda: frames_of(settings, "once") and frames_of(settings, "once")[-1].is_end, "it ends")
        eventually(lambda: '"paused":true' in listed(streamer, capsys), "it is paused")
        assert streamer("streams", "resume", "once") == 0
        eventually(lambda: len(frames_of(settings, "once")) == 42, "it has run twice")
        assert running.end() == 0
    assert rounds(settings, "once") == 2


def listed(streamer: Command, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert streamer("streams", "list", "--json") == 0
    return capsys.readouterr().out


def test_a_password_on_the_command_line_gets_nowhere(settings: Settings, tmp_path: Path) -> None:
    once = settings.model_copy(update={"produce": settings.produce.model_copy(update={"reconnect_attempts": 1})})
    log, secret = tmp_path / "log", "hunter2-s3cret"
    with process(once, log, "produce", f"rtsp://admin:{secret}@127.0.0.1:9/live", "--stream", "gate") as running:
        assert running.wait() == 1
        assert secret not in running.said
        assert "127.0.0.1" in running.said
    end = frames_of(settings, "gate")[-1]
    assert end.is_end
    assert end.header.error
    assert secret.encode() not in everything_on(settings)


def everything_on(settings: Settings) -> bytes:
    """Keys, values and headers of all our topics."""
    consumer = connect_consumer(settings.kafka)
    found = b""
    try:
        for topic in all_topics(settings):
            partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
            assign_from_beginning(consumer, partitions)
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                for records in consumer.poll(timeout_ms=100).values():
                    for record in records:
                        found += record.key + (record.value or b"") + repr(record.headers).encode()
    finally:
        consumer.close()
    assert found
    return found


def test_pictures_travel_at_the_size_of_the_network_once_it_is_known(
    settings: Settings, clip: Path, tmp_path: Path
) -> None:
    words = ("produce", str(clip), "--loop", "--transport", "network", "--pipeline", "main", "--pipeline", "other")
    pipelines = topic_names(settings.kafka).pipelines

    def define(name: str, side: int) -> None:
        definition = PipelineDefinition(
            name=name, model="m.onnx", model_sha256="0", width=side, height=side, classes=("thing",)
        )
        write_definition(settings.kafka, pipelines, name, definition.to_json())

    define("main", 16)
    with process(settings, tmp_path / "log", *words) as running:
        eventually(lambda: frames_of(settings, "clip"), "it runs")
        assert frames_of(settings, "clip")[-1].header.width == WIDTH, "one of its networks is not known yet"
        define("other", 32)
        eventually(lambda: frames_of(settings, "clip")[-1].header.width == 32, "as the larger network needs")
        assert running.end() == 0
        assert running.said.count("running:") == 1, "the source stayed open"


def test_a_file_waits_for_a_reader_before_retention_deletes_what_it_has_not_read(
    settings: Settings, streamer: Command, clip: Path, tmp_path: Path
) -> None:
    short = settings.model_copy(update={"topics": settings.topics.model_copy(update={"frames_retention_s": 10})})
    assert streamer("streams", "add", "clip", clip, "--freshness", "every") == 0
    assert streamer("streams", "add", "other", clip, "--freshness", "latest", "--loop") == 0

    def ended() -> bool:
        read_everything(settings)
        return "ended stream=clip" in running.said

    with process(short, tmp_path / "log", "produce") as running:
        eventually(lambda: "waits: pipeline main" in running.said, "it waits")
        eventually(lambda: stands_still(settings, "clip", beside="other"), "nothing more comes")
        assert len(frames_of(settings, "clip")) < 150
        eventually(ended, "it goes on behind its reader")
        assert running.end() == 0
    assert [sequence for _, sequence in first_times(frames_of(settings, "clip"))] == list(range(151))


def read_everything(settings: Settings) -> None:
    """What a worker does to its group's offsets."""
    names = topic_names(settings.kafka)
    consumer = connect_consumer(settings.kafka, group_id=names.worker_group("main"))
    partitions = [TopicPartition(names.frames, number) for number in range(settings.topics.partitions)]
    assign_from_beginning(consumer, partitions)
    ends = consumer.end_offsets(partitions)
    consumer.commit({partition: OffsetAndMetadata(end, "", -1) for partition, end in ends.items()})
    consumer.close()


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("produce", "no-such.mp4"), "no such file"),
        (("produce", "CLIP", "--pace", "fast", "--freshness", "latest"), "pace fast needs freshness every"),
        (("produce", "CLIP", "CLIP", "--stream", "x"), "--stream is for one source"),
        (("produce", "CLIP", "--transport", "huge"), "use full, network or a size"),
        (("produce", "CLIP", "--stream", "taken"), "choose another --stream"),
        (("streams", "add", "taken", "CLIP"), "exists already"),
        (("streams", "add", "x", "rtsp://u:hunter2@h/live"), "${NAME}"),
        (("streams", "add", "no/name", "CLIP"), "use 1 to 64 letters"),
        (("streams", "set", "taken"), "what is to change"),
        (("streams", "set", "unknown", "--fps", "3"), "no stream is called unknown"),
        (("streams", "remove", "unknown"), "no stream is called unknown"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_mistakes_are_answered_in_one_line(
    streamer: Command, clip: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], advice: str
) -> None:
    if "taken" in words:
        streamer("streams", "add", "taken", clip)
    capsys.readouterr()
    assert streamer(*(clip if word == "CLIP" else word for word in words)) == 2
    said = capsys.readouterr().err.strip()
    assert advice in said
    assert "\n" not in said
    assert "hunter2" not in said
