"""Frames per second from JPEG to boxes, and of each stage alone."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from engines.jpeg_detector import Frame
from engines.tensorrt.bench import GRAPHS, bench
from engines.tensorrt.boxes import Boxes
from engines.tensorrt.cuda_graph import record
from engines.tensorrt.detector import GpuDetector
from engines.tensorrt.slots import Slot
from streamer.settings import Settings
from tests.bench.gpu.boxes import repeatable
from tests.bench.gpu.material import BY_GPU, Material, Note, precision
from tests.on_gpu import Decoded, total

OF_BARE, OF_SLOWEST = 0.95, 0.8
_ROUNDS, _WARM_S = 3, 0.3
Step = Callable[[], None]


def engine_level(material: Material, seconds: float = 3, note: Note = lambda figures: None) -> dict[str, Any]:
    """Our slots, with and without graphs, beside the bare TensorRT loop with the same copies."""
    figures: dict[str, Any] = {}
    holds: dict[str, bool] = {}
    for kind in ("model", "fp16"):
        with precision(kind):
            settings = Settings(detect=material.settings())
            found = bench(str(material.model("fp32")), settings, seconds)
        for rate in found.rates:
            figures[f"{kind}, batch {rate.batch}, {rate.lanes} under way, {rate.way}"] = round(rate.frames_per_s)
        note(figures)
        bare = {(rate.batch, rate.lanes): rate.frames_per_s for rate in found.rates if rate.way == "bare"}
        ways = {(rate.way, rate.batch, rate.lanes) for rate in found.rates}
        holds[f"{kind}: recorded as CUDA graphs"] = all((GRAPHS, *each) in ways for each in bare)
        for rate in found.rates:
            if rate.way == GRAPHS:
                of_bare = rate.frames_per_s / bare[rate.batch, rate.lanes]
                holds[f"{kind}, batch {rate.batch}, {rate.lanes} under way: {of_bare:.3f}"] = of_bare >= OF_BARE
    return {"figures": figures, "holds": holds}


def from_jpeg(
    material: Material, seconds: float = 3, threads: Sequence[int] = (1, 2, 4), note: Note = lambda figures: None
) -> dict[str, Any]:
    """The whole way, and its stages alone, by so many threads with a detector each."""
    figures: dict[str, Any] = {}
    holds: dict[str, bool] = {}
    decoded: list[Decoded] = []
    for kind in ("model", "fp16"):
        with precision(kind):
            for count in threads:
                rates = _rates(material, count, seconds, decoded)
                figures[f"{kind}, {count} threads"] = {name: round(rate) for name, rate in rates.items()}
                note(figures)
                share = rates["whole"] / min(rate for name, rate in rates.items() if name != "whole")
                holds[f"{kind}, {count} threads: {share:.3f} of the slowest stage"] = share >= OF_SLOWEST
    detector = material.gpu_detector()
    figures["decoded"] = asdict(total(decoded))
    holds[BY_GPU] = total(decoded).by_gpu
    holds["the same boxes again"] = repeatable(detector, list(material.frames[: 2 * material.batch]))
    holds["recorded as CUDA graphs"] = all(lane.slot.recorded for lane in detector.lanes)
    detector.close()
    return {"figures": figures, "holds": holds}


def _rates(material: Material, threads: int, seconds: float, decoded: list[Decoded]) -> dict[str, float]:
    with contextlib.ExitStack() as opened:
        detectors = [opened.enter_context(contextlib.closing(material.gpu_detector())) for _ in range(threads)]
        return _medians(_ways(detectors, material, opened, decoded), material.batch, seconds)


def stages(detectors: Sequence[GpuDetector], material: Material, seconds: float) -> dict[str, float]:
    """Frames per second of each stage alone, by a thread per detector."""
    with contextlib.ExitStack() as opened:
        ways = _ways(detectors, material, opened, [])
        del ways["whole"]
        return _medians(ways, material.batch, seconds)


def _ways(
    detectors: Sequence[GpuDetector], material: Material, opened: contextlib.ExitStack, decoded: list[Decoded]
) -> dict[str, list[Step]]:
    """What the threads do, stage by stage; pictures are decoded before kernels are run on them.

    decoded: a count for each thread that decodes is added.
    """

    def counted() -> Decoded:
        decoded.append(Decoded())
        return decoded[-1]

    return {
        "decode": [_decoding(detector, material, counted()) for detector in detectors],
        "letterbox and boxes": [_kernels(detector) for detector in detectors],
        "network": [_network(detector, opened) for detector in detectors],
        "whole": [_whole(detector, material, counted()) for detector in detectors],
    }


def _medians(ways: dict[str, list[Step]], batch: int, seconds: float) -> dict[str, float]:
    """In turn, so that a GPU that gets warm and slow does so in all ways alike."""
    for steps in ways.values():
        _frames_per_s(steps, batch, _WARM_S)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, steps in ways.items():
            found[name].append(_frames_per_s(steps, batch, seconds / _ROUNDS))
    return {name: statistics.median(rates) for name, rates in found.items()}


def _frames_per_s(steps: Sequence[Step], batch: int, seconds: float) -> float:
    """Each step, which is a batch, again and again in a thread of its own; once at least. Raises what a step raises."""
    counts = [0] * len(steps)
    start = time.perf_counter()

    def work(number: int) -> None:
        while not counts[number] or time.perf_counter() - start < seconds:
            steps[number]()
            counts[number] += batch

    with ThreadPoolExecutor(len(steps)) as pool:
        for running in [pool.submit(work, number) for number in range(len(steps))]:
            running.result()
    return sum(counts) / (time.perf_counter() - start)


def _batches(material: Material) -> "itertools.cycle[list[Frame]]":
    frames, size = material.frames, material.batch
    whole = [list(frames[at : at + size]) for at in range(0, len(frames) - size + 1, size)]
    return itertools.cycle(whole or [list(itertools.islice(itertools.cycle(frames), size))])


def _decoding(detector: GpuDetector, material: Material, decoded: Decoded) -> Step:
    batches, lanes = _batches(material), itertools.cycle(detector.lanes)

    def step() -> None:
        lane, frames = next(lanes), next(batches)
        wanted = [detector.wanted_size(frame.width, frame.height) for frame in frames]
        with lane.slot.device.use("decoding alone"):
            lane.slot.stream.synchronize()
            decoded.add(lane.decoder.decode(frames, wanted), lane.decoder.by_cpu)

    return step


def _kernels(detector: GpuDetector) -> Step:
    """Letterbox, scores and NMS of the pictures that were decoded last, as a graph without the network."""
    lanes = itertools.cycle(detector.lanes)
    graphs: dict[int, Any] = {}

    def step() -> None:
        slot = next(lanes).slot
        with slot.device.use("kernels alone"):
            slot.stream.synchronize()
            if id(slot) not in graphs:
                graphs[id(slot)] = record(slot.stream, lambda: _around(slot))
            graphs[id(slot)].launch(slot.stream)

    return step


def _around(slot: Slot[Boxes]) -> None:
    slot.around.before(slot.network.most, slot.stream)
    slot.around.behind(slot.network.most, slot.stream)


class _Nothing:
    """Nothing around a network."""

    def before(self, pictures: int, stream: Any) -> None:
        """See Around."""

    def behind(self, pictures: int, stream: Any) -> None:
        """See Around."""

    def close(self) -> None:
        """See Around."""


def _network(detector: GpuDetector, opened: contextlib.ExitStack) -> Step:
    device, network = detector.engine.device, detector.engine.network
    with device.use("the network alone"):
        slots = [Slot[_Nothing](device, network, lambda slot: _Nothing(), True) for _ in range(detector.depth)]
    for slot in slots:
        opened.callback(slot.close)
    lanes = itertools.cycle(slots)

    def step() -> None:
        slot = next(lanes)
        slot.wait()
        slot.submit(network.most)

    return step


def _whole(detector: GpuDetector, material: Material, decoded: Decoded) -> Step:
    batches = _batches(material)

    def step() -> None:
        if detector.under_way == detector.depth:
            decoded.finish(detector)
        detector.start([replace(frame) for frame in next(batches)])

    return step
