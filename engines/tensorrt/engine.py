"""TensorRT on an NVIDIA GPU (extra `gpu`), for arrays of this machine. The GPU's own way is in detector.py."""

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from engines.engine import Engine, InputSpec
from engines.gpu_usage import GpuUsage
from engines.onnx_file import OnnxFile
from engines.tensorrt.device import Device, open_device
from engines.tensorrt.errors import PlanRefusedError
from engines.tensorrt.host_arrays import HostArrays
from engines.tensorrt.library import open_library
from engines.tensorrt.network import Network, load_network
from engines.tensorrt.plan_file import Plan
from engines.tensorrt.plans import Gpu, Wanted, decided, obtain_plan
from engines.tensorrt.slots import Slot
from engines.tensorrt.usage import usage_meter
from streamer.settings import load

if TYPE_CHECKING:
    from engines.detector import Detector
    from engines.jpeg_detector import JpegDetector

NAME = "tensorrt"

_log = logging.getLogger(__name__)
_networks: "weakref.WeakValueDictionary[str, Network]" = weakref.WeakValueDictionary()
_opening = threading.Lock()


def open_engine(file: OnnxFile, spec: InputSpec, threads: int) -> Engine:
    """The file built for this machine's GPU, or taken from the cache, and loaded.

    Engines of one file share its weights; each has buffers of its own. threads: of no meaning on a GPU.

    Raises:
        UsageError: TensorRT, pycuda or cuda-bindings is not installed, or the settings are wrong.
        ModelError: TensorRT can't build it.
        DeviceError: there is no GPU, or it fails.
    """
    library, device = open_library(), open_device()
    with _opening, device.use("opening an engine"):
        settings = load().tensorrt
        spec = decided(spec, settings)
        wanted = Wanted(library, Gpu(device.name, device.architecture), file, spec, settings)
        network = _networks.get(wanted.key.digest)
        if network is None:
            network = _networks[wanted.key.digest] = _network(wanted)
    return TensorRtEngine(spec, device, network)


def check() -> None:
    """See engines.engine.

    Raises:
        UsageError: TensorRT is not installed.
    """
    open_library()


def _network(wanted: Wanted) -> Network:
    """Its plan, loaded; one from a cache that TensorRT doesn't load is built anew, once."""
    asked = time.time()
    plan = obtain_plan(wanted)
    try:
        return _loaded(wanted, plan)
    except PlanRefusedError as error:
        if plan.built >= asked:
            raise
        _log.warning("%s; the one in the cache is of no use here, so it is built again", error)
    return _loaded(wanted, obtain_plan(wanted, refused=plan.content))


def _loaded(wanted: Wanted, plan: Plan) -> Network:
    code = wanted.options.version_compatible
    return load_network(wanted.library, plan.content, wanted.file.path, code, plan.head)


class TensorRtEngine:
    """A network and a slot for arrays. See Engine, CutEngine, GpuEngine.

    device, network: shared with other engines. graphs: whether batches are recorded as CUDA graphs.
    """

    def __init__(self, spec: InputSpec, device: Device, network: Network, graphs: bool = True) -> None:
        self.name = NAME
        self.version, self.head = network.version, network.head
        self.input = spec
        self.device, self.network, self.graphs = device, network, graphs
        self.gpu = f"{device.name} {device.address}"
        self._slot: Slot[HostArrays] | None = None

    @property
    def recorded(self) -> int:
        """See Slot."""
        return self._slot.recorded if self._slot else 0

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """See Engine.

        Raises:
            DeviceError: the GPU failed.
        """
        arrays, pictures = self._arrays(), len(batch)
        arrays.input[:pictures] = batch
        assert self._slot is not None
        self._slot.submit(self._slot.whole(pictures))
        self._slot.wait()
        return [output[:pictures] for output in arrays.outputs]

    def jpeg_detector(self, detector: "Detector") -> "JpegDetector | None":
        """See JpegEngine.

        Raises:
            DeviceError: there is no memory for it.
        """
        from engines.tensorrt.detector import on_gpu

        return on_gpu(detector)

    def usage(self) -> GpuUsage:
        """See GpuEngine."""
        return usage_meter(self.device.address).read()

    def let_buffers_go(self) -> None:
        """They are made anew with the next call."""
        if self._slot is not None:
            self._slot.close()
            self._slot = None

    def close(self) -> None:
        """See Engine."""
        self.let_buffers_go()

    def _arrays(self) -> HostArrays:
        if self._slot is None:
            with self.device.use("making room for batches"):
                self._slot = Slot[HostArrays](self.device, self.network, HostArrays, self.graphs)
        return self._slot.around
