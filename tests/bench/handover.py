"""How long results pause when workers come and go, per assignor of kafka-python, and with static membership.

    python -m tests.bench.handover [--repeats 3] [--choice range] [--heartbeat 300]

Two workers serve 8 streams of 10 frames/s; then a third one joins, leaves by SIGTERM, one is killed, is started again,
and is restarted by SIGTERM. Printed, in ms, medians of the repeats: the longest pause between two results of a stream,
as a read_committed reader sees it, of streams that stay on their worker and of those that move. The network is a
constant, so nothing is measured but the hand-over.
"""

import argparse
import itertools
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import simplejpeg

from streamer.broker import connect_admin, connect_consumer, connect_producer
from streamer.catalog import write_definitions
from streamer.moments import unix_ms
from streamer.records import FrameHeader, FrameId
from streamer.records.stream import StreamDefinition
from streamer.settings import Settings
from streamer.topics import partition_of, topic_names
from streamer.topics_admin import create_topics, delete_topics
from tests.bench.processes import Part
from tests.bench.service import bench_stack, environment, fresh_names
from tests.integration.worker_rig import make_model

STREAMS = [f"s{number}" for number in range(8)]
RATE = 10.0
ASSIGNORS = ("range", "roundrobin", "sticky", "cooperative-sticky")
CHOICES = (*ASSIGNORS, "static")
_SETTLE_S = 3.0
Pauses = dict[str, dict[str, list[float]]]
"""By event: those of streams that stay, and of those that move."""


def assignor(name: str) -> Any:
    """kafka-python's class."""
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    classes = (RangePartitionAssignor, RoundRobinPartitionAssignor, StickyPartitionAssignor, CooperativeStickyAssignor)
    return dict(zip(ASSIGNORS, classes, strict=True))[name]


def run_worker(choice: str, heartbeat_ms: int, arguments: list[str]) -> None:
    """`streamer detect` in a group with another assignor, or heartbeat, than the service's."""
    from consumers import intake
    from streamer.__main__ import main

    options: dict[str, Any] = {"heartbeat_interval_ms": heartbeat_ms} if heartbeat_ms else {}
    if choice in ASSIGNORS:
        options["partition_assignment_strategy"] = [assignor(choice)]
    intake.connect_consumer = partial(connect_consumer, **options)
    sys.exit(main(arguments))


class Feed(threading.Thread):
    """Frames of all streams, at their rate, until stopped."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings, self._stopping = settings, threading.Event()
        self._jpeg: bytes = simplejpeg.encode_jpeg(np.full((64, 128, 3), 90, np.uint8))

    def run(self) -> None:
        """Until stopped."""
        topic, epoch = topic_names(self._settings.kafka).frames, unix_ms()
        with closing(connect_producer(self._settings.kafka)) as producer:
            began, sequence = time.monotonic(), 0
            while not self._stopping.wait(max(0.0, began + sequence / RATE - time.monotonic())):
                for stream in STREAMS:
                    now_ms = unix_ms()
                    size = (128, 64, 128, 64, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
                    header = FrameHeader(stream, FrameId(epoch, sequence), now_ms, sequence, *size)
                    producer.send(topic, self._jpeg, stream.encode(), headers=header.to_headers(), timestamp_ms=now_ms)
                sequence += 1

    def stop(self) -> None:
        """And wait."""
        self._stopping.set()
        self.join()


class Watch(threading.Thread):
    """Notes when each stream's results can be read."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings, self._stopping = settings, threading.Event()
        self.seen: dict[str, list[float]] = defaultdict(list)
        self.gaps = 0

    def run(self) -> None:
        """Until stopped."""
        from kafka import TopicPartition

        topic = topic_names(self._settings.kafka).detections
        with closing(connect_consumer(self._settings.kafka, fetch_max_wait_ms=20)) as consumer:
            consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
            while not self._stopping.is_set():
                for records in consumer.poll(timeout_ms=50).values():
                    for record in records:
                        self.seen[record.key.decode()].append(time.monotonic())
                        self.gaps += orjson.loads(record.value)["kind"] == "gap"

    def pause(self, stream: str, since: float, until: float) -> float:
        """The longest one within that time, in ms."""
        times = [since, *(moment for moment in self.seen[stream] if since < moment < until), until]
        return max(b - a for a, b in itertools.pairwise(times)) * 1000

    def stop(self) -> None:
        """And wait."""
        self._stopping.set()
        self.join()


class Team:
    """The workers of one run, by name."""

    def __init__(self, settings: Settings, choice: str, heartbeat_ms: int, model: Path) -> None:
        self._settings, self._choice, self._heartbeat_ms, self._model = settings, choice, heartbeat_ms, model
        self._parts: dict[str, Part] = {}

    def start(self, name: str) -> None:
        """And wait until it is ready."""
        call = f"run_worker({self._choice!r}, {self._heartbeat_ms}, sys.argv[1:])"
        script = f"import sys; from tests.bench.handover import run_worker; {call}"
        variables = {**environment(self._settings), "STREAMER_KAFKA__INSTANCE": name}
        if self._choice == "static":
            variables["STREAMER_DETECT__STATIC_MEMBERSHIP"] = "true"
        arguments = ["detect", "--model", str(self._model), "--sessions", "1"]
        command = [sys.executable, "-c", script, *arguments]
        self._parts[name] = Part.start(arguments, variables, command)
        self._parts[name].wait_ready()

    def kill(self, name: str) -> None:
        """By SIGKILL."""
        part = self._parts.pop(name)
        os.kill(part.process.pid, signal.SIGKILL)
        part.stop()

    def stop(self, name: str) -> None:
        """By SIGTERM, and wait."""
        self._parts.pop(name).stop()

    def stop_all(self) -> None:
        """All that run."""
        for name in list(self._parts):
            self.stop(name)

    def owners(self) -> dict[str, str]:
        """Which worker has each stream, as the group's coordinator says."""
        names = topic_names(self._settings.kafka)
        with closing(connect_admin(self._settings.kafka)) as admin:
            group = admin.describe_groups([names.worker_group("main")])[names.worker_group("main")]
        owner = {}
        for member in group["members"]:
            for topic in (member["member_assignment"] or {}).get("assigned_partitions", ()):
                owner |= dict.fromkeys(topic["partitions"], member["client_id"])
        return {stream: owner.get(partition_of(stream, self._settings.topics.partitions), "") for stream in STREAMS}

    def wait_shared(self, names: set[str]) -> None:
        """Until exactly these workers have all streams."""
        deadline = time.monotonic() + 60
        while set(self.owners().values()) != names:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{names} don't have the streams, but {self.owners()}")
            time.sleep(0.1)


@contextmanager
def running(settings: Settings, choice: str, heartbeat_ms: int, model: Path) -> Iterator[tuple[Team, Watch]]:
    """Two workers at work."""
    settings = fresh_names(settings)
    create_topics(settings)
    topic = topic_names(settings.kafka).streams
    defined = [StreamDefinition(id=stream, source="synthetic:", freshness="every") for stream in STREAMS]
    write_definitions(settings.kafka, topic, {each.id: each.to_json() for each in defined})
    team, feed, watch = Team(settings, choice, heartbeat_ms, model), Feed(settings), Watch(settings)
    try:
        team.start("one")
        team.start("two")
        feed.start()
        watch.start()
        team.wait_shared({"one", "two"})
        time.sleep(_SETTLE_S)
        yield team, watch
    finally:
        feed.stop()
        team.stop_all()
        watch.stop()
        delete_topics(settings)


def measure(team: Team, watch: Watch, pauses: Pauses) -> None:
    """All events, one after the other."""

    def event(name: str, do: Callable[[], None], then: set[str], restarted: str = "") -> None:
        before, began = team.owners(), time.monotonic() - 1 / RATE
        do()
        team.wait_shared(then)
        time.sleep(_SETTLE_S)
        after, ended = team.owners(), time.monotonic()
        for stream in STREAMS:
            kind = "stay" if before[stream] == after[stream] != restarted else "move"
            pauses[f"{name}, {kind}"].setdefault(kind, []).append(watch.pause(stream, began, ended))

    def restart() -> None:
        team.stop("two")
        team.start("two")

    event("joins", lambda: team.start("three"), {"one", "two", "three"})
    event("leaves", lambda: team.stop("three"), {"one", "two"})
    event("restarts", restart, {"one", "two"}, restarted="two")
    event("is killed", lambda: team.kill("two"), {"one"})
    event("comes back", lambda: team.start("two"), {"one", "two"})


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.handover", description="pauses at hand-overs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--choice", action="append", choices=CHOICES, help="default: all")
    parser.add_argument("--heartbeat", type=int, default=0, metavar="MS", help="of the workers; default: the service's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, bench_stack(Path(folder)) as (settings, _):
        model = make_model(Path(folder, "thing.onnx"))
        for choice in arguments.choice or CHOICES:
            pauses: Pauses = defaultdict(dict)
            gaps = 0
            for _ in range(arguments.repeats):
                with running(settings, choice, arguments.heartbeat, model) as (team, watch):
                    measure(team, watch, pauses)
                gaps += watch.gaps
            print(f"{choice} ({gaps} gaps)", flush=True)
            for name, kinds in pauses.items():
                for found in kinds.values():
                    print(f"  {name:20}{statistics.median(found):7.0f}, at most {max(found):7.0f}", flush=True)


if __name__ == "__main__":
    main()
