"""A GPU for tests without one: what pycuda and cuda-bindings do, on memory of this machine.

Work is only queued, and done when somebody waits for it, so code that reads too early reads poison. Kernels are the
real ones, compiled for the CPU. Calls are counted; each may be told to fail.
"""

import ctypes
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

POISON = 0xCD
_ALIGNMENT = 256  # bytes, of device memory
Work = Callable[[], None]


class Error(Exception):
    """The base of pycuda's errors."""


class MemoryError(Error):
    """As pycuda calls it."""


class LogicError(Error):
    """As pycuda calls it."""


class LaunchError(Error):
    """As pycuda calls it."""


class Gpu:
    """The simulated machine. calls: how often each was made. taken: bytes by address. broken: a call -> its error.

    alive: streams, events and pinned arrays that there are. lost: those that were let go where no context was current,
    which pycuda warns of and never gives back (but in the thread that retained the context, where it makes it current).
    """

    def __init__(self, kernels: ctypes.CDLL | None = None, count: int = 1) -> None:
        self.kernels, self.count = kernels, count
        self.calls: Counter[str] = Counter()
        self.taken: dict[int, NDArray[np.uint8]] = {}
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.alive: Counter[str] = Counter()
        self.lost: list[str] = []
        self.broken: dict[str, Error] = {}
        self.graphs = self.recordings = 0  # that can be launched, and that they are made from
        self._threads = threading.local()

    @property
    def stack(self) -> "list[Context]":
        """The calling thread's contexts."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        contexts: list[Context] = self._threads.stack
        return contexts

    def made(self, kind: str, thing: Any) -> None:
        """Watches a thing until it is let go."""
        self.alive[kind] += 1
        weakref.finalize(thing, self._gone, kind).atexit = False

    def _gone(self, kind: str) -> None:
        self.alive[kind] -= 1
        if not self.stack:
            self.lost.append(kind)

    def call(self, name: str, anywhere: bool = False) -> None:
        """Counts a call, which needs a context unless it may be made anywhere."""
        self.calls[name] += 1
        if name in self.broken:
            raise self.broken[name]
        if not anywhere and not self.stack:
            raise LogicError(f"{name} failed: invalid device context")
        if name in ("mem_alloc", "pagelocked_empty", "synchronize") and self._recording():
            raise LogicError(f"{name} failed: operation not permitted when stream is capturing")

    def _recording(self) -> bool:
        """Whether the calling thread is: others go on meanwhile."""
        return any(s.recording and s.recorder == threading.get_ident() for s in list(self.streams.values()))

    @contextmanager
    def failing(self, name: str, error: Error) -> Iterator[None]:
        """Each such call fails meanwhile."""
        self.broken[name] = error
        yield
        del self.broken[name]


class Context:
    """The primary context."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def push(self) -> None:
        if "push" in self._gpu.broken:
            raise self._gpu.broken["push"]
        self._gpu.stack.append(self)


class Stream:
    """A queue. recording: what a capture has seen so far. recorder: the thread that captures."""

    def __init__(self, gpu: Gpu, flags: int = 0) -> None:
        gpu.call("Stream")
        gpu.made("stream", self)
        self._gpu = gpu
        self.handle = 1000 + gpu.calls["Stream"]
        self.queue: list[Work] = []
        self.recording: list[Work] | None = None
        self.recorder = 0
        gpu.streams[self.handle] = self

    def put(self, work: Work) -> None:
        (self.queue if self.recording is None else self.recording).append(work)

    def drain(self, count: int) -> None:
        ready, self.queue = self.queue[:count], self.queue[count:]
        for work in ready:
            work()

    def synchronize(self) -> None:
        self._gpu.call("synchronize")
        self.drain(len(self.queue))


class Event:
    """A place in a queue."""

    def __init__(self, gpu: Gpu, flags: int = 0) -> None:
        gpu.call("Event")
        gpu.made("event", self)
        self._gpu, self.flags = gpu, flags
        self._stream: Stream | None = None
        self._passed = True

    def record(self, stream: Stream | None = None) -> "Event":
        assert stream is not None
        self._stream, self._passed = stream, False
        stream.put(self._pass)
        return self

    def synchronize(self) -> "Event":
        self._gpu.call("synchronize")
        while not self._passed:
            assert self._stream is not None
            self._stream.drain(1)
        return self

    def time_since(self, event: "Event") -> float:
        return 1.0

    def _pass(self) -> None:
        self._passed = True


class DeviceAllocation:
    """Memory, full of poison."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        gpu.call("mem_alloc")
        self._gpu = gpu
        block = np.full(size + _ALIGNMENT, POISON, np.uint8)
        start = -block.ctypes.data % _ALIGNMENT
        memory = block[start : start + size]
        self._address = memory.ctypes.data
        gpu.taken[self._address] = memory

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._gpu.call("free")
        del self._gpu.taken[self._address]


class Function:
    """A kernel."""

    def __init__(self, gpu: Gpu, name: str) -> None:
        self._gpu, self._name = gpu, name

    def __call__(self, *args: Any, block: Any, grid: Any, stream: Stream) -> None:
        self._gpu.call("launch")
        for number, value in enumerate(args):
            if not isinstance(value, np.number | np.void):
                raise TypeError(f"invalid type on parameter #{number} (0-based)")
        hash(args)  # pycuda's repository, after 2026.1, keeps what it has packed by that
        sizes = (ctypes.c_int * 3)(*grid)
        run = getattr(self._gpu.kernels, f"run_{self._name}")
        stream.put(lambda: run(sizes, 1, *map(_argument, args)))


def _argument(value: Any) -> Any:
    if isinstance(value, np.void):
        return ctypes.create_string_buffer(value.tobytes())
    if isinstance(value, np.floating):
        return ctypes.c_float(float(value))
    return ctypes.c_void_p(int(value)) if value.dtype.itemsize == 8 else ctypes.c_int(int(value))


def _copy(target: int, source: int, size: int) -> None:
    ctypes.memmove(target, source, size)


def pycuda_driver(gpu: Gpu) -> ModuleType:
    """The module `pycuda.driver`, as far as it is used."""

    class Device:
        def __init__(self, number: int) -> None:
            self._number = number

        @staticmethod
        def count() -> int:
            return gpu.count

        def name(self) -> str:
            return "Simulated"

        def pci_bus_id(self) -> str:
            return f"0000:0{self._number}:00.0"

        def compute_capability(self) -> tuple[int, int]:
            return 9, 0

        def total_memory(self) -> int:
            return 1 << 30

        def retain_primary_context(self) -> Context:
            gpu.call("retain_primary_context", anywhere=True)
            return Context(gpu)

    class Module:
        def get_function(self, name: str) -> Function:
            return Function(gpu, name)

    def pop() -> None:
        # As pycuda's: where CUDA refuses, it stays.
        if "pop" in gpu.broken:
            raise gpu.broken["pop"]
        gpu.stack.pop()

    def init(flags: int = 0) -> None:
        gpu.call("init", anywhere=True)

    def pagelocked_empty(shape: Any, dtype: DTypeLike, order: str = "C", mem_flags: int = 0) -> NDArray[Any]:
        gpu.call("pagelocked_empty")
        array: NDArray[Any] = np.empty(shape, dtype)
        gpu.made("pinned array", array)
        array.view(np.uint8)[...] = POISON
        return array

    def memcpy_htod_async(dest: int, src: NDArray[Any], stream: Stream) -> None:
        gpu.call("memcpy_htod_async")
        assert src.flags.c_contiguous
        stream.put(lambda: _copy(dest, src.ctypes.data, src.nbytes))

    def memcpy_dtoh_async(dest: NDArray[Any], src: int, stream: Stream) -> None:
        gpu.call("memcpy_dtoh_async")
        assert dest.flags.c_contiguous
        stream.put(lambda: _copy(dest.ctypes.data, src, dest.nbytes))

    def memset_d8_async(dest: int, data: int, size: int, stream: Stream) -> None:
        gpu.call("memset_d8_async")
        stream.put(lambda: ctypes.memset(dest, data, size) and None)

    def module_from_buffer(buffer: bytes, options: Any = (), message_handler: Any = None) -> Module:
        gpu.call("module_from_buffer")
        return Module()

    module = ModuleType("pycuda.driver")
    contents = {
        "Error": Error, "MemoryError": MemoryError, "LogicError": LogicError, "LaunchError": LaunchError,
        "Device": Device, "Module": Module, "Context": SimpleNamespace(pop=pop),
        "event_flags": SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2),
        "Stream": lambda flags=0: Stream(gpu, flags), "Event": lambda flags=0: Event(gpu, flags),
        "mem_alloc": lambda size: DeviceAllocation(gpu, size), "mem_get_info": lambda: (1 << 29, 1 << 30),
        "init": init, "pagelocked_empty": pagelocked_empty, "memcpy_htod_async": memcpy_htod_async,
        "memcpy_dtoh_async": memcpy_dtoh_async, "memset_d8_async": memset_d8_async,
        "module_from_buffer": module_from_buffer,
    }  # fmt: skip
    module.__dict__.update(contents)
    return module


class CUresult(IntEnum):
    """Some of CUDA's return codes."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900


class CUstreamCaptureMode(IntEnum):
    """As CUDA numbers them."""

    CU_STREAM_CAPTURE_MODE_GLOBAL = 0
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


def cuda_bindings_driver(gpu: Gpu) -> ModuleType:
    """The module `cuda.bindings.driver`, as far as it is used. failures: Gpu.broken by the call's name."""
    done = (CUresult.CUDA_SUCCESS,)

    def status(name: str) -> CUresult:
        gpu.calls[name] += 1
        return gpu.broken.get(name, CUresult.CUDA_SUCCESS)  # type: ignore[return-value]

    def cuStreamBeginCapture(hStream: int, mode: CUstreamCaptureMode) -> tuple[Any, ...]:
        gpu.streams[hStream].recording, gpu.streams[hStream].recorder = [], threading.get_ident()
        return (status("cuStreamBeginCapture"),)

    def cuStreamEndCapture(hStream: int) -> tuple[Any, ...]:
        stream = gpu.streams[hStream]
        recorded, stream.recording = stream.recording, None
        failed = status("cuStreamEndCapture")
        gpu.recordings += not failed
        return (failed, None) if failed else (failed, recorded)

    def cuGraphInstantiate(hGraph: Any, flags: int) -> tuple[Any, ...]:
        failed = status("cuGraphInstantiate")
        gpu.graphs += not failed
        return (failed, None) if failed else (failed, tuple(hGraph))

    def cuGraphLaunch(hGraphExec: Any, hStream: int) -> tuple[Any, ...]:
        stream = gpu.streams[hStream]
        stream.queue.extend(hGraphExec)
        return (status("cuGraphLaunch"),)

    def cuGraphExecDestroy(hGraphExec: Any) -> tuple[Any, ...]:
        gpu.graphs -= 1
        return done

    def cuGraphDestroy(hGraph: Any) -> tuple[Any, ...]:
        gpu.recordings -= 1
        return done

    module = ModuleType("cuda.bindings.driver")
    functions = (
        cuStreamBeginCapture, cuStreamEndCapture, cuGraphInstantiate, cuGraphLaunch, cuGraphExecDestroy, cuGraphDestroy,
    )  # fmt: skip
    module.__dict__.update({function.__name__: function for function in functions})
    module.__dict__.update(CUresult=CUresult, CUstreamCaptureMode=CUstreamCaptureMode, CUstream=int)
    return module
