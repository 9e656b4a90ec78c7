"""The service while it is broken: what runs, who watches it, and the hands that keep it running."""

import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException

from streamer.settings import Settings
from streamer.topics import topic_names
from tests.chaos.acknowledged import Acknowledged
from tests.chaos.arrivals import Arrivals
from tests.chaos.journal import Journal
from tests.chaos.judge import PIPELINE, judge
from tests.chaos.logs import shares
from tests.chaos.proxy import Proxy
from tests.chaos.supervised import Supervised
from tests.chaos.verdict import Verdict

_TICK_S = 0.02
_ASK_S = 2.0


@dataclass
class Scene:
    """What runs, and who watches it.

    streams: those that are always on. committed, mirrored: new results on Kafka, in Redis.
    ports: where servers listen; metrics: where producers tell what they count, by name.
    rounds: how many frames each file has. upsets: see Circumstances. outages: from when to when, by the monotonic
    clock, a process could not start, as a server was away. proxy: on the way of the first worker to the broker.
    guests: workers that don't run yet.
    """

    settings: Settings
    streams: list[str]
    processes: dict[str, Supervised]
    journal: Journal
    committed: Arrivals
    mirrored: Arrivals
    ports: Mapping[str, int]
    metrics: Mapping[str, int]
    rounds: Mapping[str, int]
    proxy: Proxy | None = None
    guests: list[Supervised] = field(default_factory=list)
    upsets: list[tuple[float, float]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    retired: list[Supervised] = field(default_factory=list)
    acknowledged: Acknowledged = field(default_factory=Acknowledged)

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

    def ask(self) -> None:
        """Has producers tell what was acknowledged to them; who doesn't answer is asked again another time."""
        for process in self.of("producer"):
            address = f"http://127.0.0.1:{self.metrics[process.name]}/metrics"
            with suppress(OSError, HTTPException), urllib.request.urlopen(address, timeout=_ASK_S) as answer:
                self.acknowledged.note(process.name, process.starts, answer.read().decode())

    def retire(self, kind: str) -> None:
        """Ends the replicas of a kind, in order and for good."""
        for process in self.of(kind):
            del self.processes[process.name]
            process.retire()
            self.retired.append(process)

    def ended(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Exit statuses of ends that nobody asked for; and of those in which nothing could be reached (3), during an
        outage: who starts then gives up, and is started again.
        """
        ours: dict[str, list[int]] = {}
        excused: dict[str, list[int]] = {}
        for process in (*self.processes.values(), *self.retired, *self.guests):
            for end in process.ended:
                away = end.status == 3 and any(since <= end.at <= until for since, until in self.outages)
                (excused if away else ours).setdefault(process.name, []).append(end.status)
        return ours, excused

    def judge(self) -> Verdict:
        """What Kafka and Redis hold now, against the journal."""
        return judge(self.settings, self.journal, self.rounds, self.upsets, self.acknowledged.counts)
