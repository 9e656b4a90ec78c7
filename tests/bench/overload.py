"""More than the machine can do, for minutes: does a worker go on at full rate, with fresh results, in constant memory?

    python -m tests.bench.overload CLIP MODEL [--minutes 10] [--rate 10]

First so many workers at full speed over files say what the machine can do at most, one worker and then two (each
with one session). Then two runs with live streams under `latest`: as many as fill the machine, and twice as many.
Producers run on the same machine, so that the second run leaves the worker less of it.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from streamer.settings import Settings
from streamer.topics_admin import create_topics, delete_topics
from tests.bench.__main__ import Clips, at, machine
from tests.bench.processes import Part
from tests.bench.service import Watch, bench_stack, environment, fresh_names

_SETTLE_S = 5.0  # connections and first inferences


@dataclass
class Load:
    """What one run gave. per_s: results. age_ms: capture to result in Redis. rss_mb: per process, once a minute."""

    streams: int
    workers: int
    seconds: float
    per_s: float
    age_ms: dict[str, float]
    rss_mb: dict[str, list[float]] = field(default_factory=dict)


@contextmanager
def service(settings: Settings, model: Path, workers: int, sessions: int) -> Iterator[tuple[Settings, list[Part]]]:
    """Workers that are ready, on topics of their own."""
    settings = fresh_names(settings)
    create_topics(settings)
    with ExitStack() as stack:
        stack.callback(delete_topics, settings)
        parts = []
        for _ in range(workers):
            detect = ["detect", "--model", str(model), "--sessions", str(sessions)]
            parts.append(Part.start(detect, environment(settings)))
            stack.callback(parts[-1].stop)
            parts[-1].wait_ready()
        yield settings, parts


def run(settings: Settings, pids: dict[str, int], clip: Path, model: Path, plan: "Plan") -> Load:
    """One run of a plan."""
    with tempfile.TemporaryDirectory() as folder, service(settings, model, plan.workers, plan.sessions) as ready:
        ours, parts = ready
        names = [f"s{number}" for number in range(plan.streams)]
        watch = Watch(ours, names)
        watch.start()
        producer = Part.start(["produce", *_links(Path(folder), clip, names), *plan.options], environment(ours))
        processes = {"producer": producer.process.pid, **pids}
        processes |= {f"worker {number}": part.process.pid for number, part in enumerate(parts)}
        try:
            return _watched(watch, processes, plan)
        finally:
            producer.stop()
            watch.stop()


@dataclass(frozen=True)
class Plan:
    """What is run, for how long."""

    streams: int
    seconds: float
    options: tuple[str, ...]
    workers: int = 1
    sessions: int = 2


def _links(folder: Path, clip: Path, names: list[str]) -> list[str]:
    for name in names:
        (folder / name).mkdir()
        (folder / name / f"{name}{clip.suffix}").symlink_to(clip)
    return [str(folder / name / f"{name}{clip.suffix}") for name in names]


def _watched(watch: Watch, processes: dict[str, int], plan: Plan) -> Load:
    deadline = time.monotonic() + 60
    while watch.results < 10 * plan.streams:
        if time.monotonic() > deadline:
            raise TimeoutError("no results come")
        time.sleep(0.05)
    time.sleep(_SETTLE_S)
    began, before = time.monotonic(), watch.results
    memory: dict[str, list[float]] = {name: [] for name in processes}
    while (left := began + plan.seconds - time.monotonic()) > 0:
        for name, pid in processes.items():
            memory[name].append(round(psutil.Process(pid).memory_info().rss / 1e6, 1))
        time.sleep(min(60, left))
    seconds, done = time.monotonic() - began, watch.results - before
    ages = sorted(watch.latency_ms[before : before + done])
    age_ms = {f"p{rank}": at(ages, rank) for rank in (50, 95, 99)} | {"most": round(ages[-1], 1)}
    return Load(plan.streams, plan.workers, round(seconds, 1), round(done / seconds, 2), age_ms, memory)


def main() -> None:
    """Prints the runs and writes build/overload.json."""
    parser = argparse.ArgumentParser(description="throughput, freshness and memory under twice the load")
    parser.add_argument("clip", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=10, help="frames per second of a stream (default: 10)")
    parser.add_argument("--output", type=Path, default=Path("build/overload.json"))
    arguments = parser.parse_args()
    report = {"clip": arguments.clip.name, "model": arguments.model.name, "machine": machine()}
    with tempfile.TemporaryDirectory() as name, bench_stack(Path(name)) as (settings, pids):
        clips = Clips.of(arguments.clip, Path(name), 400)
        files = ("--pace", "fast", "--freshness", "every", "--transport", "network", "--loop")
        live = ("--pace", "realtime", "--freshness", "latest", "--transport", "network", "--loop")
        live += ("--fps", str(arguments.rate))
        loads: dict[str, Load] = {}

        def measure(title: str, plan: Plan) -> Load:
            loads[title] = run(settings, pids, clips.once, arguments.model, plan)
            print(title, json.dumps(asdict(loads[title])), flush=True)
            return loads[title]

        measure("one worker, files", Plan(4, 20, files, workers=1, sessions=1))
        most = measure("two workers, files", Plan(4, 20, files, workers=2, sessions=1))
        full = math.ceil(most.per_s / arguments.rate)
        filled = measure("full", Plan(full, 60, live))
        twice = measure("twice", Plan(2 * full, arguments.minutes * 60, live))
    report |= {title: asdict(load) for title, load in loads.items()}
    report["throughput_kept"] = round(twice.per_s / filled.per_s, 3)
    report["second_worker"] = round(most.per_s / loads["one worker, files"].per_s, 3)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"twice the load keeps {report['throughput_kept']:.0%} of the throughput; results are at most", end=" ")
    print(f"{twice.age_ms['most']:.0f} ms old; a second worker gives {report['second_worker']:.2f} times one's")


if __name__ == "__main__":
    main()
