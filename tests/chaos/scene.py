"""The whole service as processes over a Kafka and a Redis of its own: two producers, two workers."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.catalog import write_definitions
from streamer.mirror import Keys
from streamer.records.stream import StreamDefinition
from streamer.settings import Settings, load
from streamer.stack.ports import free_ports
from streamer.topics import topic_names
from streamer.topics_admin import create_topics
from tests.chaos import supervised
from tests.chaos.arrivals import Arrivals, CommittedReader, RedisReader
from tests.chaos.journal import Journal
from tests.chaos.judge import PIPELINE, judge
from tests.chaos.logs import shares
from tests.chaos.supervised import Supervised
from tests.chaos.verdict import Verdict
from tests.integration.producer_rig import make_clip
from tests.integration.worker_rig import make_model

REPLICAS = 2
ROUND_FRAMES = 100
_TICK_S = 0.02
_START_S = 90


@dataclass
class Scene:
    """What runs, and who watches it.

    committed, mirrored: new results on Kafka, in Redis. rounds: how many frames each file has. upsets: see
    Circumstances.
    """

    settings: Settings
    streams: list[str]
    processes: dict[str, Supervised]
    journal: Journal
    committed: Arrivals
    mirrored: Arrivals
    ports: dict[str, int]
    rounds: dict[str, int]
    upsets: list[tuple[float, float]] = field(default_factory=list)
    retired: list[Supervised] = field(default_factory=list)

    def watch(self) -> None:
        """Starts again what has ended."""
        for process in self.processes.values():
            process.watch()

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Keeps everything running until a condition holds; False after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.watch()
            time.sleep(_TICK_S)
        return True

    def of(self, kind: str) -> list[Supervised]:
        """The replicas of a kind of process."""
        return [process for name, process in self.processes.items() if name.partition("-")[0] == kind]

    def shares(self, kind: str) -> dict[str, int]:
        """How many partitions each replica of a kind has, for those of which there are several."""
        names = topic_names(self.settings.kafka)
        group = {"worker": names.worker_group(PIPELINE), "producer": names.producer_group()}.get(kind)
        return shares(self.settings.kafka.bootstrap_servers, group) if group else {}

    def are_settled(self) -> bool:
        """Whether every replica has a share, and nobody else has one."""
        return all(self.shares(kind).keys() == {one.name for one in self.of(kind)} for kind in ("worker", "producer"))

    def retire(self, kind: str) -> None:
        """Ends the replicas of a kind, in order and for good."""
        for process in self.of(kind):
            del self.processes[process.name]
            process.stop()
            self.retired.append(process)

    def judge(self) -> Verdict:
        """What Kafka and Redis hold now, against the journal."""
        return judge(self.settings, self.journal, self.rounds, self.upsets)


@contextmanager
def scene(folder: Path, count: int = 8) -> Iterator[Scene]:
    """Everything started and giving results of `count` streams; nothing is left of it at the end.

    Raises:
        TimeoutError: it does not get so far.
    """
    kafka_port, controller_port, redis_port = free_ports((0, 0, 0))
    found = {
        "kafka": {"bootstrap_servers": f"127.0.0.1:{kafka_port}"},
        "redis": {"url": f"redis://127.0.0.1:{redis_port}/0"},
    }
    settings = load(environ={}, overrides=found)
    with ExitStack() as stack:
        servers = {
            "broker": supervised.broker(folder, kafka_port, controller_port),
            "redis": supervised.mirror(folder, redis_port),
        }
        for server in servers.values():
            stack.callback(server.stop)
            server.start()
        ports = {"broker": kafka_port, "redis": redis_port}
        _wait(lambda: all(map(supervised.listens, ports.values())), "Kafka and Redis do not answer")
        create_topics(settings)
        streams, rounds = _define(settings, folder, count)
        processes = _services(folder, found)
        for process in processes.values():
            stack.callback(process.stop)
        stage = _watched(settings, streams, servers | processes, ports, rounds, stack)
        for process in processes.values():
            process.start()
        if not stage.until(lambda: not stage.committed.missing() and not stage.mirrored.missing(), _START_S):
            raise TimeoutError(f"no results of {sorted(stage.committed.missing())}: see {folder}")
        yield stage


def _wait(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(_TICK_S)


def _define(settings: Settings, folder: Path, count: int) -> tuple[list[str], dict[str, int]]:
    """Half of them files, again and again, of which every frame counts; half live, of both other treatments.

    Returns their names, and how many frames the files have.
    """
    clip = make_clip(folder / "clip.avi", frames=ROUND_FRAMES, fps=5)
    zone = {"name": "middle", "points": [[10, 10], [54, 10], [54, 40], [10, 40]]}
    file = {"source": str(clip), "loop": True, "freshness": "every", "track": True, "zones": [zone]}
    live = {"source": "synthetic:?size=96x64&fps=5"}
    treatments: list[dict[str, Any]] = [
        *(file, {**live, "freshness": "latest", "track": True}),
        *(file, {**live, "freshness": "bounded:3000"}),
    ]
    definitions = {
        f"s{number}": StreamDefinition.model_validate({"id": f"s{number}", **treatments[number % len(treatments)]})
        for number in range(count)
    }
    values = {name: definition.to_json() for name, definition in definitions.items()}
    write_definitions(settings.kafka, topic_names(settings.kafka).streams, values)
    return list(values), {name: ROUND_FRAMES for name, one in definitions.items() if one.loop}


def _services(folder: Path, found: dict[str, dict[str, Any]]) -> dict[str, Supervised]:
    model = make_model(folder / "thing.onnx", side=32)
    words = {"worker": ["detect", "--model", str(model), "--sessions", "1"], "producer": ["produce"]}
    processes = {}
    for kind in words:
        for number in range(REPLICAS):
            name = f"{kind}-{number}"
            # Kept over restarts, as a StatefulSet does it: a new worker ends its predecessor's open transaction.
            own = {**found, "kafka": {**found["kafka"], "instance": name}}
            processes[name] = supervised.service(name, words[kind], folder, own)
    return processes


def _watched(
    settings: Settings,
    streams: list[str],
    processes: dict[str, Supervised],
    ports: dict[str, int],
    rounds: dict[str, int],
    stack: ExitStack,
) -> Scene:
    kafka, names = settings.kafka.bootstrap_servers, topic_names(settings.kafka)
    keys = {stream: Keys(settings.redis.prefix).latest(PIPELINE, stream) for stream in streams}
    committed, mirrored = Arrivals(streams), Arrivals(streams)
    journal = Journal(kafka, names.frames)
    readers = [
        journal,
        CommittedReader(kafka, names.detections, committed),
        RedisReader(settings.redis.url, keys, mirrored),
    ]
    for reader in readers:
        reader.start()
        stack.callback(reader.stop)
    return Scene(settings, streams, processes, journal, committed, mirrored, ports, rounds)
