"""The service under load: producer and worker as processes, over a Kafka and a Redis of their own."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from streamer.mirror import Keys, connect_redis
from streamer.settings import Settings, load
from streamer.stack import Stack
from streamer.topics_admin import create_topics, delete_topics
from tests.bench.processes import Part, cpu_s

_WARM = 40  # frames before the clock starts: imports, connections, the first inference


@dataclass(frozen=True)
class Scenario:
    """What is run: so many copies of a clip, at full speed or at its own pace."""

    name: str
    transport: str = "network"
    realtime: bool = False
    streams: int = 1
    sessions: int = 1
    transactions: bool = True
    track: bool = False


@dataclass
class Cost:
    """CPU time per frame in ms, by part, and what was seen of the results.

    network: within `worker`. frames: that went through the network. commit_ms: per transaction. latency_ms: capture
    to result in Redis, per result. stages_ms: of the worker, per result. producer_stages_ms: per frame.
    """

    frames: int
    skipped: int
    producer: float
    worker: float
    network: float
    broker: float
    redis: float
    commit_ms: float = 0.0
    latency_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, float] = field(default_factory=dict)
    producer_stages_ms: dict[str, float] = field(default_factory=dict)

    @property
    def service(self) -> float:
        """Producer and worker: what is set against the floor."""
        return self.producer + self.worker


@contextlib.contextmanager
def bench_stack(folder: Path) -> Iterator[tuple[Settings, dict[str, int]]]:
    """A stack of its own; settings with its addresses, and the process ids of Kafka and Redis."""
    plain = load(environ={}, overrides={"stack": {"home": folder / "stack"}})
    stack = Stack(plain.stack)
    addresses = stack.start(lifeline=True)
    try:
        found = {"kafka": {"bootstrap_servers": addresses.kafka}, "redis": {"url": addresses.redis}}
        yield load(environ={}, overrides=found), dict(stack.status().pids)
    finally:
        stack.stop()


class Watch(threading.Thread):
    """Follows the results in Redis as a dashboard does, and notes how old each is when it arrives."""

    def __init__(self, settings: Settings, streams: list[str]) -> None:
        super().__init__(daemon=True)
        self._settings, self._streams = settings, streams
        self._stopping = threading.Event()
        self.results = self.skipped = self.ended = 0
        self.latency_ms: list[float] = []
        self.stages: dict[str, float] = {}

    def run(self) -> None:
        """Until stopped."""
        client = connect_redis(self._settings.redis)
        live = client.pubsub(ignore_subscribe_messages=True)
        live.subscribe(*(Keys(self._settings.redis.prefix).live("main", stream) for stream in self._streams))
        while not self._stopping.is_set():
            message: Any = live.get_message(timeout=0.2)
            if message:
                self._take(orjson.loads(message["data"]))
        client.close()

    def _take(self, record: dict[str, Any]) -> None:
        if record["kind"] == "gap":
            self.skipped += record["count"] or 0
        elif record["kind"] == "end":
            self.ended += 1
        else:
            captured = time.strptime(record["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")
            captured_s = _utc(captured) + int(record["timestamp"][20:23]) / 1000
            self.latency_ms.append((time.time() - captured_s) * 1000)
            for stage, ms in record["latencyMs"].items():
                self.stages[stage] = self.stages.get(stage, 0) + ms
            self.results += 1

    def stop(self) -> None:
        """And wait."""
        self._stopping.set()
        self.join()


def _utc(moment: time.struct_time) -> float:
    import calendar

    return calendar.timegm(moment)


def fresh_names(settings: Settings) -> Settings:
    """With prefixes of their own for topics and keys, so that runs on one stack don't see each other."""
    prefix = f"bench{time.time_ns()}"
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"topic_prefix": f"{prefix}."}),
            "redis": settings.redis.model_copy(update={"prefix": f"{prefix}:"}),
        }
    )


def environment(settings: Settings) -> dict[str, str]:
    """For a process that is to use these addresses and names."""
    return {
        **os.environ,
        "STREAMER_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "STREAMER_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "STREAMER_REDIS__URL": settings.redis.url,
        "STREAMER_REDIS__PREFIX": settings.redis.prefix,
    }


def run(
    settings: Settings, pids: dict[str, int], clip: Path, model: Path, scenario: Scenario, results: int | None = None
) -> Cost:
    """Runs one scenario and accounts for it from its 40th result to its last.

    results: how many are enough, where the producer runs so far ahead that it needs a longer clip than the worker
    to be measured; None: all.
    """
    settings = fresh_names(settings)
    create_topics(settings)
    streams = [f"s{n}" for n in range(scenario.streams)]
    variables = environment(settings)
    watch = Watch(settings, streams)
    watch.start()
    parts: list[Part] = []
    try:
        detect = ["detect", "--model", str(model), "--sessions", str(scenario.sessions)]
        worker = Part.start(detect + ([] if scenario.transactions else ["--no-transactions"]), variables)
        parts.append(worker)
        worker.wait_ready()
        producer = Part.start(_produce(clip, scenario, settings.kafka.topic_prefix), variables)
        parts.append(producer)
        return _account(watch, producer, worker, pids, scenario, results)
    finally:
        for part in reversed(parts):
            part.stop()
        watch.stop()
        delete_topics(settings)


def _produce(clip: Path, scenario: Scenario, prefix: str) -> list[str]:
    # One link per stream, so that every stream has a source and a name of its own.
    links = []
    for number in range(scenario.streams):
        link = clip.with_name(f"{prefix}-{number}") / f"s{number}{clip.suffix}"
        link.parent.mkdir()
        link.symlink_to(clip)
        links.append(str(link))
    pace = "realtime" if scenario.realtime else "fast"
    fresh = "latest" if scenario.realtime else "every"
    treatment = ["--pace", pace, "--freshness", fresh, "--transport", scenario.transport]
    return ["produce", *links, *treatment, *(["--track"] if scenario.track else [])]


class Sampled(threading.Thread):
    """A producer's CPU time per frame, from its first frames on, when it has started, to its last.

    On its own, because a producer at full speed runs ahead of the results, and has often ended before the first.
    """

    def __init__(self, producer: Part) -> None:
        super().__init__(daemon=True)
        self._producer = producer
        self._samples: list[tuple[float, float]] = []  # frames, CPU seconds
        self.stages_ms: dict[str, float] = {}

    def run(self) -> None:
        """Until it has ended."""
        while not self._producer.has_ended():
            with contextlib.suppress(OSError):  # it has no /metrics yet, or no longer
                frames = self._producer.metric("streamer_frames_captured_total")
                if frames:
                    self._samples.append((frames, self._producer.cpu_s()))
                    self.stages_ms = self._producer.means_ms("streamer_produce_stage_seconds", "stage")
            # An answer costs it milliseconds, which are not the service's.
            time.sleep(1 if self._samples else 0.1)

    @property
    def ms_per_frame(self) -> float:
        """Between the first sample with frames and the first with all of them."""
        begin = self._samples[0]
        end = next(sample for sample in self._samples if sample[0] == self._samples[-1][0])
        return (end[1] - begin[1]) * 1000 / max(end[0] - begin[0], 1)


@dataclass
class _Reading:
    worker: float
    network: float
    broker: float
    redis: float
    frames: float
    results: int
    skipped: int


def _account(
    watch: Watch, producer: Part, worker: Part, pids: dict[str, int], scenario: Scenario, results: int | None
) -> Cost:
    sampled = Sampled(producer)
    sampled.start()

    def read() -> _Reading:
        # Frames that have been through the network, and not the results: those of files come many at once.
        detect = "streamer_detect_"
        network, frames = worker.metrics(f"{detect}network_cpu_seconds_total", f"{detect}batch_frames_sum")
        return _Reading(
            worker.cpu_s(),
            network,
            cpu_s(pids["kafka"]),
            cpu_s(pids["redis"]),
            frames,
            watch.results,
            watch.skipped,
        )

    _until(lambda: watch.results >= _WARM, producer, worker)
    before = read()
    if results is None:
        _until(lambda: watch.ended >= scenario.streams, producer, worker)
    else:
        _until(lambda: watch.results >= results, producer, worker)
    after = read()
    _until(producer.has_ended, producer, worker)
    sampled.join()
    frames = after.frames - before.frames

    def per(name: str) -> float:
        return float((getattr(after, name) - getattr(before, name)) * 1000 / max(frames, 1))

    return Cost(
        round(frames),
        after.skipped - before.skipped,
        sampled.ms_per_frame,
        per("worker"),
        per("network"),
        per("broker"),
        per("redis"),
        _mean_ms(worker, "streamer_detect_commit_seconds"),
        watch.latency_ms[before.results :],
        {name: ms / max(watch.results, 1) for name, ms in watch.stages.items()},
        sampled.stages_ms,
    )


def _mean_ms(part: Part, histogram: str) -> float:
    return part.metric(f"{histogram}_sum") * 1000 / max(part.metric(f"{histogram}_count"), 1)


def _until(condition: Any, *parts: Part, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service does not get on")
        if parts[-1].has_ended():
            raise RuntimeError("the worker has ended")
        time.sleep(0.02)
