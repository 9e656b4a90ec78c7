"""The whole service as processes over a Kafka and a Redis of its own: two producers, two workers."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
from tests.chaos.camera import camera
from tests.chaos.journal import Journal
from tests.chaos.judge import PIPELINE
from tests.chaos.proxy import Proxy
from tests.chaos.scene import Scene
from tests.chaos.supervised import Supervised
from tests.integration.producer_rig import make_clip
from tests.integration.rtsp_camera import available
from tests.integration.worker_rig import make_model

REPLICAS = 2
GUESTS = 2
ROUND_FRAMES = 100
CAMERA = "camera"
HAND, CLOCKS = "hand", ("clock-every", "clock-latest")
"""Streams whose frames the tests put there themselves."""
_TICK_S = 0.02
_START_S = 90

Found = dict[str, dict[str, Any]]


@dataclass
class _Servers:
    """found: settings by which all others reach them. ports: where they listen."""

    found: Found
    processes: dict[str, Supervised]
    ports: dict[str, int]
    proxy: Proxy | None = None


@contextmanager
def scene(folder: Path, count: int = 8, everything: bool = False, kafka: Settings | None = None) -> Iterator[Scene]:
    """Everything started and giving results of `count` streams; nothing is left of it at the end.

    everything: with all that `plan.mixed` breaks, as far as this machine has it.
    kafka: settings of a broker that is there, with its topics; then neither it nor the wire to it can be broken, and
        there is no camera.

    Raises:
        TimeoutError: it does not get so far.
    """
    with ExitStack() as stack:
        servers = _servers(folder, everything, kafka, stack)
        _start(servers.processes.values(), stack)
        _wait(lambda: all(map(supervised.listens, servers.ports.values())), "the servers do not answer")
        settings = load(environ={}, overrides=servers.found)
        if kafka is None:
            create_topics(settings)
        definitions = _definitions(folder, count, everything, servers.ports.get(CAMERA))
        values = {name: definition.to_json() for name, definition in definitions.items()}
        write_definitions(settings.kafka, topic_names(settings.kafka).streams, values)
        metrics = dict(zip(_names("producer"), free_ports((0,) * REPLICAS), strict=True))
        services = _services(folder, servers, metrics)
        guests = {name: services.pop(name) for name in _names("guest", GUESTS)}
        stage = _watched(settings, definitions, servers, services, metrics, stack)
        stage.guests = list(guests.values())
        for guest in guests.values():
            stack.callback(guest.stop)
        _start(services.values(), stack)
        if not stage.until(lambda: not stage.committed.missing() and not stage.mirrored.missing(), _START_S):
            raise TimeoutError(f"no results of {sorted(stage.committed.missing())}: see {folder}")
        yield stage


def _start(processes: Iterable[Supervised], stack: ExitStack) -> None:
    for process in processes:
        stack.callback(process.stop)
        process.start()


def _wait(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(_TICK_S)


def _servers(folder: Path, everything: bool, kafka: Settings | None, stack: ExitStack) -> _Servers:
    kafka_port, controller_port, redis_port, cut_port, camera_port = free_ports((0, 0, 0, 0, 0))
    found: Found = {"redis": {"url": f"redis://127.0.0.1:{redis_port}/0"}}
    servers = _Servers(found, {"redis": supervised.mirror(folder, redis_port)}, {"redis": redis_port})
    if kafka is not None:
        at = {"bootstrap_servers": kafka.kafka.bootstrap_servers, "topic_prefix": kafka.kafka.topic_prefix}
        servers.found["kafka"] = at
        return servers
    servers.found["kafka"] = {"bootstrap_servers": f"127.0.0.1:{kafka_port}"}
    servers.ports["broker"] = kafka_port
    listeners = None
    if everything:
        servers.proxy = stack.enter_context(Proxy(cut_port))
        listeners = supervised.behind(kafka_port, controller_port, cut_port, servers.proxy.port)
    servers.processes["broker"] = supervised.broker(folder, kafka_port, controller_port, listeners)
    if everything and available():
        servers.processes[CAMERA], servers.ports[CAMERA] = camera(folder, camera_port), camera_port
    return servers


def _definitions(folder: Path, count: int, everything: bool, camera_port: int | None) -> dict[str, StreamDefinition]:
    """Half of them files, again and again, of which every frame counts; half live, of both other treatments."""
    clip = make_clip(folder / "clip.avi", frames=ROUND_FRAMES, fps=5)
    zone = {"name": "middle", "points": [[10, 10], [54, 10], [54, 40], [10, 40]]}
    file = {"source": str(clip), "loop": True, "freshness": "every", "track": True, "zones": [zone]}
    live = {"source": "synthetic:?size=96x64&fps=5"}
    treatments: list[dict[str, Any]] = [
        *(file, {**live, "freshness": "latest", "track": True}),
        *(file, {**live, "freshness": "bounded:3000"}),
    ]
    said = {f"s{number}": treatments[number % len(treatments)] for number in range(count)}
    if camera_port is not None:
        said[CAMERA] = {"source": f"rtsp://127.0.0.1:{camera_port}/live", "freshness": "latest", "track": True}
    if everything:
        by_hand = {**live, "managed": False, "track": True}
        said |= {name: {**by_hand, "freshness": "every"} for name in (HAND, CLOCKS[0])}
        said[CLOCKS[1]] = {**by_hand, "freshness": "latest"}
    return {name: StreamDefinition.model_validate({"id": name, **values}) for name, values in said.items()}


def _names(kind: str, count: int = REPLICAS) -> list[str]:
    return [f"{kind}-{number}" for number in range(count)]


def _services(folder: Path, servers: _Servers, metrics: Mapping[str, int]) -> dict[str, Supervised]:
    model = make_model(folder / "thing.onnx", side=32)
    detect = ["detect", "--model", str(model), "--sessions", "1"]
    words = dict.fromkeys((*_names("worker"), *_names("guest", GUESTS)), detect)
    words |= {name: ["produce"] for name in _names("producer")}
    processes = {}
    for name, command in words.items():
        # Kept over restarts, as a StatefulSet does it: a new worker ends its predecessor's open transaction.
        kafka = {**servers.found["kafka"], "instance": name}
        if servers.proxy and name == _names("worker")[0]:
            kafka["bootstrap_servers"] = f"127.0.0.1:{servers.proxy.port}"
        own = {**servers.found, "kafka": kafka}
        if name in metrics:
            own["telemetry"] = {"port": metrics[name]}
        processes[name] = supervised.service(name, command, folder, own)
    return processes


def _watched(
    settings: Settings,
    definitions: Mapping[str, StreamDefinition],
    servers: _Servers,
    services: dict[str, Supervised],
    metrics: Mapping[str, int],
    stack: ExitStack,
) -> Scene:
    kafka, names = settings.kafka.bootstrap_servers, topic_names(settings.kafka)
    streams = [name for name, definition in definitions.items() if definition.managed]
    rounds = {name: ROUND_FRAMES for name, definition in definitions.items() if definition.loop}
    keys = {stream: Keys(settings.redis.prefix).latest(PIPELINE, stream) for stream in streams}
    committed, mirrored, journal = Arrivals(streams), Arrivals(streams), Journal(kafka, names.frames)
    readers = [
        journal,
        CommittedReader(kafka, names.detections, committed),
        RedisReader(settings.redis.url, keys, mirrored),
    ]
    for reader in readers:
        reader.start()
        stack.callback(reader.stop)
    processes, ports = servers.processes | services, servers.ports
    return Scene(settings, streams, processes, journal, committed, mirrored, ports, metrics, rounds, servers.proxy)
