"""A network's frames per second in our slots, beside the bare TensorRT loop with the same copies."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson

from engines.model import input_spec
from engines.onnx_file import read_onnx
from engines.tensorrt.ahead import watched
from engines.tensorrt.device import Device
from engines.tensorrt.engine import TensorRtEngine, open_engine
from engines.tensorrt.host_arrays import HostArrays
from engines.tensorrt.network import Network
from engines.tensorrt.slots import Slot
from streamer.models import model_path
from streamer.settings import Settings

_ROUNDS = 3
"""In turn, so that a GPU that gets warm and slow does so in all ways alike."""
_WARM_S = 0.3
GRAPHS = "slots, graphs"


class Lane(Protocol):
    """A batch at a time: `submit` returns at once."""

    def submit(self, pictures: int) -> None:
        """Queues a batch."""

    def wait(self) -> None:
        """Until it is done."""

    def close(self) -> None:
        """Lets its buffers go."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one way does. lanes: batches under way."""

    way: str
    batch: int
    lanes: int
    frames_per_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """All ways; without GRAPHS where the work can't be recorded. engine: TensorRT's version and the GPU."""

    model: str
    engine: str
    rates: tuple[Rate, ...]

    def as_json(self) -> str:
        """One object."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2).decode()

    def as_text(self) -> str:
        """A line per way, with its part of what the bare loop does."""
        bare = {(rate.batch, rate.lanes): rate.frames_per_s for rate in self.rates if rate.way == "bare"}
        lines = [
            f"{self.model}, {self.engine}",
            f"{'way':<16}{'batch':>6}{'under way':>11}{'frames/s':>11}{'of bare':>9}",
        ]
        for rate in self.rates:
            part = rate.frames_per_s / bare[rate.batch, rate.lanes]
            lines.append(f"{rate.way:<16}{rate.batch:>6}{rate.lanes:>11}{rate.frames_per_s:>11.0f}{part:>9.1%}")
        if all(rate.way != GRAPHS for rate in self.rates):
            lines.append(f"{GRAPHS}: not measured, as the work could not be recorded; see the log")
        return "\n".join(lines)


class BareLoop:
    """What anybody would write: copies in, network, copies out in a stream. Made and closed with the device in use."""

    def __init__(self, device: Device, network: Network) -> None:
        self._device, self._network = device, network
        self._context, self._stream = network.context(), device.stream()
        self._pictures = 0
        tensors = (network.input, *network.outputs)
        self._host = [device.pinned(each.whole(network.most), each.dtype) for each in tensors]
        self._memory = [device.allocate(each.size(network.most)) for each in tensors]
        for tensor, memory in zip(tensors, self._memory, strict=True):
            self._must(self._context.set_tensor_address(tensor.name, int(memory)), f"binding {tensor.name}")

    def submit(self, pictures: int) -> None:
        """See Lane."""
        if pictures != self._pictures:
            name, shape = self._network.input.name, self._network.input.whole(pictures)
            self._must(self._context.set_input_shape(name, shape), f"a batch of {pictures}")
            self._pictures = pictures
        given, *answers = zip(self._host, self._memory, strict=True)
        self._device.copy_in(int(given[1]), given[0][:pictures], self._stream)
        self._must(self._context.execute_async_v3(self._stream.handle), "inference")
        for host, memory in answers:
            self._device.copy_out(host[:pictures], int(memory), self._stream)

    def wait(self) -> None:
        """See Lane."""
        self._stream.synchronize()

    def close(self) -> None:
        """See Lane."""
        self._stream.synchronize()
        self._context = None
        for memory in self._memory:
            memory.free()
        self._stream, self._host, self._memory = None, [], []

    def _must(self, done: bool, doing: str) -> None:
        if not done:
            raise self._network.failure(doing)


def bench(model: str, settings: Settings, seconds: float) -> Bench:
    """Measures each way for so long, at batches of one, and of as many as the engine takes.

    Raises:
        UsageError: TensorRT, pycuda or cuda-bindings is not installed.
        ModelError: TensorRT can't take the model.
        DeviceError: there is no GPU, or it failed.
    """
    file = read_onnx(model_path(model))
    spec = input_spec(file, settings.detect.batch)
    engine: Any = watched(lambda: open_engine(file, spec, 1))
    assert isinstance(engine, TensorRtEngine)
    device, network = engine.device, engine.network
    batches = [network.most] if network.fixed else sorted({1, network.most})
    rates: list[Rate] = []
    try:
        for batch in batches:
            for count in (1, 2):
                rates += _rates(device, network, batch, count, seconds)
    finally:
        engine.close()
    return Bench(str(file.path), f"TensorRT {network.version}, {device.name}", tuple(rates))


def _rates(device: Device, network: Network, batch: int, count: int, seconds: float) -> list[Rate]:
    """The three ways with `count` batches under way."""
    with device.use("the benchmark"):
        recording = [Slot[HostArrays](device, network, HostArrays, True) for _ in range(count)]
        ways: dict[str, list[Lane]] = {
            "bare": [BareLoop(device, network) for _ in range(count)],
            "slots": [Slot[HostArrays](device, network, HostArrays, False) for _ in range(count)],
            GRAPHS: list(recording),
        }
        for lanes in ways.values():
            _frames_per_s(lanes, batch, _WARM_S)
        measured = [way for way in ways if way != GRAPHS or all(slot.recorded for slot in recording)]
        found: dict[str, list[float]] = {way: [] for way in measured}
        for _ in range(_ROUNDS):
            for way in measured:
                found[way].append(_frames_per_s(ways[way], batch, seconds / _ROUNDS))
        for lanes in ways.values():
            for lane in lanes:
                lane.close()
    return [Rate(way, batch, count, statistics.median(rates)) for way, rates in found.items()]


def _frames_per_s(lanes: Sequence[Lane], batch: int, seconds: float) -> float:
    """Each lane is given its next batch once its last one is done; one batch at least."""
    for lane in lanes:
        lane.submit(batch)
    frames, start = 0, time.perf_counter()
    now = start
    while not frames or now - start < seconds:
        for lane in lanes:
            lane.wait()
            lane.submit(batch)
            frames += batch
        now = time.perf_counter()
    for lane in lanes:
        lane.wait()
    return frames / (now - start)
