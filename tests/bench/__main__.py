"""What the service costs over the plainest loop: prints a table, writes build/bench.json.

    python -m tests.bench --clip CLIP --model MODEL

Floor and service take turns, each scenario between two floors whose mean it is set against, so that a machine that
changes its speed changes both; medians are given. CPU times are the kernel's, of all processes and threads, in ms per
frame. The network runs on one thread on both sides.
"""

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av

from streamer.settings import Settings
from tests.bench import floor, service
from tests.bench.service import Cost, Scenario

FULL_SPEED = Scenario("full speed, network size")
FULL_SIZE = Scenario("full speed, full size", transport="full")
PLAIN = Scenario("full speed, at least once", transactions=False)
TRACKED = Scenario("full speed, once, tracked", track=True)
REALTIME = Scenario("8 streams in real time", realtime=True, streams=8, sessions=2)
REALTIME_PLAIN = Scenario("8 streams, at least once", realtime=True, streams=8, sessions=2, transactions=False)
ONE_LIVE = Scenario("1 stream in real time", realtime=True)
REALTIME_FULL = Scenario("8 streams, full size", transport="full", realtime=True, streams=8, sessions=2)
# Those of one transport in a row: they share the floors between them.
SCENARIOS = (FULL_SPEED, PLAIN, TRACKED, REALTIME, REALTIME_PLAIN, ONE_LIVE, FULL_SIZE, REALTIME_FULL)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Service against floor.")
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="in the YOLOv8 layout")
    parser.add_argument("--frames", type=int, default=400, help="of the clip, per run (default: 400)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--ultralytics", metavar="PYTHON", help="one that has ultralytics: its predict() is set beside")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clips = Clips.of(arguments.clip, Path(name), arguments.frames)
        with service.bench_stack(Path(name)) as (settings, pids):
            floors, costs, peers = measure(settings, pids, clips, arguments)
    report = summary(floors, costs)
    if peers:
        report["ultralytics_cpu_ms_per_frame"] = median(peers)
        pairs = zip(costs[FULL_SPEED.name], peers, strict=True)
        report["ratio_to_ultralytics"] = median([cost.service / peer for cost, peer in pairs])
    report |= {"clip": arguments.clip.name, "frames": arguments.frames, "repeats": arguments.repeats}
    report |= {"model": arguments.model.name, "commit": commit(), "machine": machine()}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show(report)


@dataclass(frozen=True)
class Clips:
    """What is measured: `once`, so many frames; `over`, the same ones again and again.

    A producer at full speed is done with a few hundred frames in a second: too few to say what one costs.
    """

    once: Path
    over: Path
    frames: int

    @classmethod
    def of(cls, source: Path, folder: Path, frames: int) -> "Clips":
        """Made in `folder`."""
        once, over = (folder / f"{name}{source.suffix}" for name in ("once", "over"))
        count = cut(source, once, frames)
        cut(source, over, frames, times=max(1, 2000 // count))
        return cls(once, over, count)


def measure(
    settings: Settings, pids: dict[str, int], clips: Clips, arguments: argparse.Namespace
) -> tuple[dict[str, list[floor.Floor]], dict[str, list[Cost]], list[float]]:
    """By scenario, the floor and the service by turns; also ultralytics, if it is to be compared."""
    model, repeats = arguments.model, arguments.repeats
    floors: dict[str, list[floor.Floor]] = {scenario.name: [] for scenario in SCENARIOS}
    costs: dict[str, list[Cost]] = {scenario.name: [] for scenario in SCENARIOS}
    peers: list[float] = []
    for number in range(repeats):
        if arguments.ultralytics:
            peers.append(ultralytics(arguments.ultralytics, clips.once, model))
            print(f"{number + 1}/{repeats} ultralytics: {peers[-1]:.2f} ms", flush=True)
        lows: dict[str, floor.Floor] = {}  # the last scenario's, by transport
        for scenario in SCENARIOS:
            before = lows.get(scenario.transport) or floor.measure(clips.once, model, scenario.transport)
            if scenario.realtime:
                cost = service.run(settings, pids, clips.once, model, scenario)
            else:
                cost = service.run(settings, pids, clips.over, model, scenario, results=clips.frames)
            costs[scenario.name].append(cost)
            after = floor.measure(clips.once, model, scenario.transport)
            lows = {scenario.transport: after}
            low = floor.mean(before, after)
            floors[scenario.name].append(low)
            figures = f"{cost.service:.2f} ms, floor {low.total:.2f} ms"
            print(f"{number + 1}/{repeats} {scenario.name}: {figures}", flush=True)
    return floors, costs, peers


def ultralytics(python: str, clip: Path, model: Path) -> float:
    """CPU ms per frame of its predict(), in a process of its own."""
    script = Path(__file__).with_name("ultralytics_predict.py")
    done = subprocess.run([python, script, clip, model], capture_output=True, text=True, check=True, cwd=clip.parent)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_ms"])


def summary(floors: dict[str, list[floor.Floor]], costs: dict[str, list[Cost]]) -> dict[str, Any]:
    """The figures of a report, medians over the repeats."""

    def ratio(scenario: Scenario, without_network: bool = False) -> float:
        pairs = zip(costs[scenario.name], floors[scenario.name], strict=True)
        if without_network:
            return median([(cost.service - cost.network) / low.without_network for cost, low in pairs])
        return median([cost.service / low.total for cost, low in pairs])

    low = [run for scenario in SCENARIOS if scenario.transport == "network" for run in floors[scenario.name]]
    fast, one = costs[FULL_SPEED.name], costs[ONE_LIVE.name]
    latencies = sorted(ms for cost in one for ms in cost.latency_ms)
    commit_ms = median([cost.commit_ms for cost in one])
    stages = {name: median([cost.stages_ms[name] for cost in one]) for name in one[0].stages_ms}
    return {
        "floor_cpu_ms_per_frame": median([run.total for run in low]),
        "service_cpu_ms_per_frame": median([cost.service for cost in fast]),
        "ratio": ratio(FULL_SPEED),
        "ratio_without_network": ratio(FULL_SPEED, without_network=True),
        "ratio_without_network_realtime": ratio(REALTIME, without_network=True),
        "ratio_full_size": ratio(FULL_SIZE),
        "ratio_without_transactions": ratio(PLAIN),
        "ratio_once_and_tracked_to_at_least_once": between(costs[TRACKED.name], costs[PLAIN.name]),
        "latency_ms": {f"p{rank}": at(latencies, rank) for rank in (50, 95, 99)},
        "stage_sum_ms": sum(stages.values()) + commit_ms,
        "stages_ms": {**stages, "commit": commit_ms},
        "floor_by_stage_cpu_ms": {name: median([run.cpu_ms[name] for run in low]) for name in floor.STAGES},
        "by_scenario": {name: by_part(runs) for name, runs in costs.items()},
        "by_stage_ms": {name: by_stage(runs) for name, runs in costs.items()},
    }


def between(of: list[Cost], to: list[Cost]) -> float:
    """How many times as much CPU a frame takes; the broker's is counted, because transactions cost there too."""
    pairs = zip(of, to, strict=True)
    return median([(one.service + one.broker) / (other.service + other.broker) for one, other in pairs])


def by_part(runs: list[Cost]) -> dict[str, float]:
    """CPU ms per frame of each process, and how many frames had a result or were skipped."""
    names = ("producer", "worker", "network", "broker", "redis", "service", "frames", "skipped")
    return {name: median([float(getattr(run, name)) for run in runs]) for name in names}


def by_stage(runs: list[Cost]) -> dict[str, float]:
    """How long a frame is in each stage, on its way; the producer's first."""
    found: dict[str, list[float]] = {}
    for run in runs:
        stages = {f"produce: {name}": ms for name, ms in run.producer_stages_ms.items()} | run.stages_ms
        for name, ms in {**stages, "commit": run.commit_ms}.items():
            found.setdefault(name, []).append(ms)
    return {name: median(ms) for name, ms in found.items()}


def median(values: Sequence[float]) -> float:
    """Rounded to what can be told apart."""
    return round(statistics.median(values), 3)


def at(ordered: Sequence[float], rank: int) -> float:
    """The value that `rank` percent do not exceed."""
    return round(ordered[min(len(ordered) * rank // 100, len(ordered) - 1)], 1) if ordered else 0.0


def cut(source: Path, target: Path, frames: int, times: int = 1) -> int:
    """Copies the first packets of a clip's video, undecoded, `times` times over; returns how many those are."""
    with av.open(str(target), "w") as writer:
        video, shift = None, 0
        for _ in range(times):
            with av.open(str(source)) as reader:
                video = video or writer.add_stream_from_template(reader.streams.video[0])
                found = (packet for packet in reader.demux(video=0) if packet.dts is not None)
                packets = list(islice(found, frames))
                first, last = packets[0].dts, packets[-1].dts
                for packet in packets:
                    packet.dts += shift - first
                    packet.pts += shift - first
                    packet.stream = video
                    writer.mux(packet)
                shift += (last - first) * len(packets) // max(len(packets) - 1, 1)
    return len(packets)


def commit() -> str:
    """Of the checkout, if it is one."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Processor and cores."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(names)} cores"


def show(report: dict[str, Any]) -> None:
    """As a table."""
    print(
        f"\n{report['clip']}, {report['model']}, {report['machine']}: CPU ms per frame, median of {report['repeats']}"
    )
    print(f"{'':28}{'producer':>9}{'worker':>9}{'network':>9}{'broker':>9}{'redis':>9}{'frames':>9}{'skipped':>9}")
    for name, parts in report["by_scenario"].items():
        figures = [parts[key] for key in ("producer", "worker", "network", "broker", "redis")]
        counts = [parts[key] for key in ("frames", "skipped")]
        print(f"{name:28}" + "".join(f"{f:9.2f}" for f in figures) + "".join(f"{c:9.0f}" for c in counts))
    print("time in each stage, in ms")
    for name, stages in report["by_stage_ms"].items():
        print(f"{name:28}" + ", ".join(f"{stage} {ms:.2f}" for stage, ms in stages.items()))
    print("floor, CPU ms: " + ", ".join(f"{name} {ms:.2f}" for name, ms in report["floor_by_stage_cpu_ms"].items()))
    for name in ("floor_cpu_ms_per_frame", "service_cpu_ms_per_frame", "latency_ms", "stage_sum_ms"):
        print(f"{name}: {report[name]}")
    for name in (key for key in report if key.startswith("ratio")):
        print(f"{name}: {report[name]:.2f}")


if __name__ == "__main__":
    main()
