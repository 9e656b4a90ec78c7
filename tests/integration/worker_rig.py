"""A worker under test: frames put on the topic by hand, and everything that comes out, read independently."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import simplejpeg
from onnx import TensorProto, helper, numpy_helper

from consumers.worker import Worker
from streamer.broker import assign_from_beginning, connect_consumer, connect_producer
from streamer.catalog import write_definition
from streamer.mirror import Keys, connect_redis
from streamer.moments import unix_ms
from streamer.records import EndHeader, FrameHeader, FrameId
from streamer.records.stream import StreamDefinition
from streamer.settings import Settings
from streamer.topics import topic_names

WIDTH, HEIGHT, SIDE = 128, 64, 64
DOOR = {"name": "door", "points": [[80, 40], [180, 40], [180, 100], [80, 100]]}
"""A zone that make_model's thing is in."""


def changed(settings: Settings, **detect: Any) -> Settings:
    """The settings with others for workers."""
    return settings.model_copy(update={"detect": settings.detect.model_copy(update=detect)})


def make_model(path: Path, score: float = 0.9, side: int = SIDE) -> Path:
    """A network in YOLOv8 layout that finds one box of class `thing` in every picture, whatever is in it."""
    places = sum((side // stride) ** 2 for stride in (8, 16, 32))
    box = np.zeros((1, 5, places), np.float32)
    box[0, :, 0] = (side / 2, side / 2, 16, 8, score)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["box", "nothing"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "thing",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, side, side))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, (1, 5, places))],
        [numpy_helper.from_array(box, "box"), numpy_helper.from_array(np.float32(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"names": "{0: 'thing'}", "task": "detect", "stride": "8"})
    onnx.save(model, path)
    return path


def jpeg(number: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A picture of its own for every number."""
    picture = np.full((height, width, 3), number % 200, np.uint8)
    data: bytes = simplejpeg.encode_jpeg(picture, quality=90)
    return data


def header(stream: str, sequence: int, epoch: int = 1, age_ms: int = 0, **changes: Any) -> FrameHeader:
    """A frame captured `age_ms` ago."""
    values: dict[str, Any] = {
        "stream": stream,
        "id": FrameId(epoch, sequence),
        "captured_ms": unix_ms() - age_ms,
        "index": sequence,
        "width": WIDTH,
        "height": HEIGHT,
        "source_width": WIDTH * 2,
        "source_height": HEIGHT * 2,
        "matrix": (2.0, 0.0, 0.0, 0.0, 2.0, 0.0),
    }
    return FrameHeader(**{**values, **changes})


@dataclass
class Rig:
    """One pipeline's surroundings."""

    settings: Settings
    sent: int = 0
    _producer: Any = None
    streams: list[str] = field(default_factory=list)

    def define(self, *names: str, freshness: str = "every", **changes: Any) -> None:
        """Writes stream definitions."""
        for name in names:
            definition = StreamDefinition(id=name, source="synthetic:", freshness=freshness, **changes)
            topic = topic_names(self.settings.kafka).streams
            write_definition(self.settings.kafka, topic, name, definition.to_json())

    def put(self, head: FrameHeader | EndHeader, data: bytes | None = None) -> None:
        """Puts one record on `frames`, as a producer does."""
        if isinstance(head, FrameHeader) and data is None:
            data = jpeg(head.id.sequence)
        self.put_raw(head.stream.encode(), data, head.to_headers(), head.captured_ms)

    def put_raw(self, key: bytes, value: bytes | None, headers: Any = (), timestamp_ms: int | None = None) -> None:
        """Puts any record on `frames`."""
        if self._producer is None:
            self._producer = connect_producer(self.settings.kafka, max_request_size=9 << 20)
        topic = topic_names(self.settings.kafka).frames
        self._producer.send(topic, value, key, headers=list(headers), timestamp_ms=timestamp_ms).get(timeout=20)

    def put_run(self, stream: str, count: int, epoch: int = 1) -> None:
        """A whole run of a source: frames 0 to count - 1 and its end."""
        for sequence in range(count):
            self.put(header(stream, sequence, epoch))
        self.put(EndHeader(stream, FrameId(epoch, count), unix_ms()))

    def detections(self, until: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 30) -> list[dict[str, Any]]:
        """All records of `detections`, in order per stream, read until a condition holds."""
        return read_topic(self.settings, topic_names(self.settings.kafka).detections, until, timeout_s)

    def events(self, until: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 30) -> list[dict[str, Any]]:
        """All records of `events`, in order per stream, read until a condition holds."""
        return read_topic(self.settings, topic_names(self.settings.kafka).events, until, timeout_s)

    def mirrored(self, stream: str, pipeline: str | None = None) -> list[dict[str, Any]]:
        """What Redis holds of a stream."""
        return self._held(Keys(self.settings.redis.prefix).detections(self._pipeline(pipeline), stream))

    def whole(self, *streams: str, timeout_s: float = 30) -> list[dict[str, Any]]:
        """All records of `detections` once these streams' runs are over, and Redis holds the same of them."""
        rows = self.detections(ends(*streams), timeout_s)
        for stream in streams:
            own = [row for row in rows if row["sensorId"] == stream]
            wait_until(lambda stream=stream, own=own: self.mirrored(stream) == own)
        return rows

    def mirrored_events(self, stream: str, pipeline: str | None = None) -> list[dict[str, Any]]:
        """What Redis holds of a stream's events."""
        return self._held(Keys(self.settings.redis.prefix).events(self._pipeline(pipeline), stream))

    def _pipeline(self, given: str | None) -> str:
        return given or self.settings.detect.pipeline

    def _held(self, key: str) -> list[dict[str, Any]]:
        client = connect_redis(self.settings.redis)
        rows: Any = client.xrange(key)
        client.close()
        return [orjson.loads(values[b"record"]) for _, values in rows]

    def close(self) -> None:
        """Ends the connection."""
        if self._producer is not None:
            self._producer.close(timeout=2)


def read_topic(
    settings: Settings, topic: str, until: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 30
) -> list[dict[str, Any]]:
    """Committed JSON values of a topic from its beginning, until a condition holds; fails after `timeout_s`."""
    return [
        orjson.loads(record.value)
        for record in read_records(
            settings, topic, lambda rows: until([orjson.loads(row.value) for row in rows]), timeout_s
        )
    ]


def read_records(
    settings: Settings, topic: str, until: Callable[[list[Any]], bool], timeout_s: float = 30
) -> list[Any]:
    """Committed records of a topic from its beginning, until a condition holds; fails after `timeout_s`."""
    from kafka import TopicPartition

    consumer = connect_consumer(settings.kafka)
    try:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        assign_from_beginning(consumer, partitions)
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while not until(found):
            assert time.monotonic() < deadline, f"after {timeout_s} s: {[str(row.value)[:150] for row in found[-20:]]}"
            for records in consumer.poll(timeout_ms=100).values():
                found += records
        return found
    finally:
        consumer.close()


def ends(*streams: str) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether the runs of these streams are over."""
    return lambda rows: set(streams) <= {row["sensorId"] for row in rows if row["kind"] == "end"}


def outline(rows: Sequence[dict[str, Any]], stream: str, pipeline: str = "main") -> list[str]:
    """A stream's records in short: `3`, `4-6 stale`, `7 end`."""
    short = []
    for row in rows:
        if row["sensorId"] != stream or row["pipeline"] != pipeline:
            continue
        if row["kind"] == "gap":
            short.append(f"{row['first']}-{row['last']} {row['reason']}")
        else:
            short.append(str(row["sequence"]) + (" end" if row["kind"] == "end" else ""))
    return short


@contextmanager
def running(settings: Settings, instance: str = "w", replace_model: bool = False) -> Iterator[Worker]:
    """A worker in a thread of this process; it is stopped, and its failure raised, at the end."""
    worker, stopping = Worker(settings, instance), threading.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(stopping, replace_model)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()
        if failure:
            raise failure[0]


def start_process(settings: Settings, *arguments: str) -> "subprocess.Popen[str]":
    """`streamer ...` as a process of its own with the test's settings."""
    return subprocess.Popen(
        [sys.executable, "-m", "streamer", *arguments],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def environment(settings: Settings) -> dict[str, str]:
    """The environment that makes another process use the same Kafka, Redis, topics and keys."""
    import os

    return {
        **os.environ,
        "STREAMER_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "STREAMER_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "STREAMER_REDIS__URL": settings.redis.url,
        "STREAMER_REDIS__PREFIX": settings.redis.prefix,
    }


def wait_until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    """Waits for a condition; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
