"""Producers under test: clips made here, processes as in production, and the topic read independently."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import psutil

from streamer.broker import assign_from_beginning, connect_consumer
from streamer.children import environment_of
from streamer.records import EndHeader, FrameHeader, FrameId, parse_headers
from streamer.settings import Settings
from streamer.topics import topic_names

WIDTH, HEIGHT = 64, 48


def make_clip(path: Path, frames: int, fps: int = 50) -> Path:
    """A clip of small grey pictures; all are key frames, or resuming would be a test of the decoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(frames):
            picture = np.full((HEIGHT, WIDTH, 3), number % 250, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    return path


def frame(stream: str, epoch: int, sequence: int, captured_ms: int) -> FrameHeader:
    """A frame's header as a runner makes it."""
    matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    size = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    return FrameHeader(stream, FrameId(epoch, sequence), captured_ms, sequence, *size, matrix)


@dataclass(frozen=True)
class Published:
    """One record of topic `frames`."""

    header: FrameHeader | EndHeader
    value: bytes | None
    timestamp_ms: int

    @property
    def is_end(self) -> bool:
        return isinstance(self.header, EndHeader)

    @property
    def at(self) -> tuple[int, int]:
        return self.header.id.epoch, self.header.id.sequence


def published(settings: Settings) -> dict[str, list[Published]]:
    """Everything on topic `frames` now, by stream, in the order of the log."""
    from kafka import TopicPartition

    topic = topic_names(settings.kafka).frames
    found: dict[str, list[Published]] = defaultdict(list)
    consumer = connect_consumer(settings.kafka)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        assign_from_beginning(consumer, partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=100).values():
                for record in records:
                    header = parse_headers(record.headers, record.timestamp)
                    found[record.key.decode()].append(Published(header, record.value, record.timestamp))
    finally:
        consumer.close()
    return found


def first_times(records: list[Published]) -> list[tuple[int, int]]:
    """(epoch, sequence) of the records without repeats; fails if a record that is none is behind a newer one."""
    seen: list[tuple[int, int]] = []
    for record in records:
        if record.at not in seen:
            assert not seen or record.at > seen[-1], f"{record.at} comes behind {seen[-1]}"
            seen.append(record.at)
    return seen


class Process:
    """`streamer WORDS...` in a process of its own, with its log in a file."""

    def __init__(self, settings: Settings, log: Path, *words: str, **environment: str) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamer", *words],
                env={**environment_of(settings), **environment},
                stdout=subprocess.DEVNULL,
                stderr=file,
            )

    @property
    def said(self) -> str:
        """Its log so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout_s: float = 40) -> int:
        """Its exit status."""
        return self._process.wait(timeout_s)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after this signal."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self.wait()


@contextmanager
def process(settings: Settings, log: Path, *words: str, **environment: str) -> Iterator[Process]:
    """Killed at the end if it still runs."""
    running = Process(settings, log, *words, **environment)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)


@contextmanager
def broker_frozen(settings: Settings) -> Iterator[None]:
    """The broker stands still: connections stay open, nothing is answered."""
    port = int(settings.kafka.bootstrap_servers.rpartition(":")[2])
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port]
    assert listening, "no broker found to freeze"
    pid = listening[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
