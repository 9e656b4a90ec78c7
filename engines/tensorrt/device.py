"""One GPU through its primary context: memory, streams, events, kernels. All of pycuda is used in here.

The primary context is the one that TensorRT and nvImageCodec use too (`pycuda.autoinit` would make another, and none
of their memory could be shared). It is retained once per process and pushed by each thread for as long as it works.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engines.tensorrt.compile import cubin
from engines.tensorrt.errors import DeviceError, device_error, missing

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING; pycuda has no name for it


class Device:
    """A GPU in use by this process. Safe to use from several threads.

    name: as in "NVIDIA L4". address: on the PCI bus, as in "0000:01:00.0". architecture: as in "sm_89". memory: bytes,
    all of it.
    """

    def __init__(self, driver: Any, gpu: Any, context: Any) -> None:
        self.name: str = gpu.name()
        self.address: str = gpu.pci_bus_id()
        self.architecture = "sm_{}{}".format(*gpu.compute_capability())
        self.memory: int = gpu.total_memory()
        self._driver = driver
        self._context = context
        self._modules: dict[str, Any] = {}

    @contextmanager
    def use(self, doing: str) -> Iterator[None]:
        """Makes it the calling thread's. doing: what for, as errors shall say it.

        Raises:
            DeviceError: CUDA failed meanwhile.
        """
        try:
            self._context.push()
            try:
                yield
            except BaseException:
                # A context that is broken can't be popped either; the error is what broke it.
                with suppress(self._driver.Error):
                    self._driver.Context.pop()
                raise
            self._driver.Context.pop()
        except self._driver.Error as error:
            raise device_error(doing, error) from None

    # The rest is called by a thread that has it in `use`. What it gives is let go by one, too: elsewhere pycuda gives
    # nothing back, but in the thread that opened the device.

    def stream(self) -> Any:
        """A new queue of work, which waits for no other; `handle` is its address."""
        return self._driver.Stream(_NON_BLOCKING)

    def finish_line(self) -> Any:
        """A clock whose `synchronize` puts the thread to sleep; by default it burns its core."""
        return self._driver.Event(self._driver.event_flags.BLOCKING_SYNC)

    def clock(self) -> Any:
        """An event that remembers when it was passed; `time_since` another is in milliseconds."""
        return self._driver.Event()

    def allocate(self, size: int) -> Any:
        """Memory on the GPU, in bytes; int() of it is its address."""
        return self._driver.mem_alloc(max(size, 1))

    def pinned(self, shape: tuple[int, ...] | int, dtype: DTypeLike) -> NDArray[Any]:
        """Memory of this machine that the GPU copies from and to by itself."""
        # As bytes: pycuda makes no arrays of records.
        wanted = np.dtype(dtype)
        sizes = (shape,) if isinstance(shape, int) else shape
        raw = self._driver.pagelocked_empty(int(np.prod(sizes)) * wanted.itemsize, np.uint8)
        pinned: NDArray[Any] = raw.view(wanted).reshape(sizes)
        return pinned

    def copy_in(self, target: int, source: NDArray[Any], stream: Any) -> None:
        """From pinned memory to an address on the GPU, when the stream gets there."""
        self._driver.memcpy_htod_async(target, source, stream)

    def copy_out(self, target: NDArray[Any], source: int, stream: Any) -> None:
        """From an address on the GPU to pinned memory, when the stream gets there."""
        self._driver.memcpy_dtoh_async(target, source, stream)

    def clear(self, target: int, size: int, stream: Any) -> None:
        """Zeros at an address on the GPU, when the stream gets there."""
        self._driver.memset_d8_async(target, 0, size, stream)

    def kernel(self, unit: str, name: str) -> Any:
        """A kernel of a file of kernels/, compiled for this GPU; called with numpy scalars, block, grid and stream."""
        if unit not in self._modules:
            self._modules[unit] = self._driver.module_from_buffer(cubin(unit, self.architecture))
        return self._modules[unit].get_function(name)


@cache
def open_device(number: int = 0) -> Device:
    """The GPU of that number, ready. The same object each time: the context stays for the life of the process.

    Raises:
        UsageError: pycuda is not installed.
        DeviceError: there is no such GPU, or no driver for it.
    """
    try:
        import pycuda.driver as driver
    except ModuleNotFoundError:
        raise missing("pycuda") from None
    except ImportError as error:
        raise DeviceError(f"no NVIDIA driver is installed here ({error}); engine tensorrt needs a GPU") from None
    try:
        driver.init()
        count = driver.Device.count()
        if number >= count:
            raise DeviceError(f"there is no GPU number {number} here, only {count}; engine tensorrt needs one")
        gpu = driver.Device(number)
        return Device(driver, gpu, gpu.retain_primary_context())
    except driver.Error as error:
        raise device_error("starting CUDA", error) from None
