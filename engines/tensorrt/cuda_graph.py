"""CUDA graphs: work that is recorded once and then launched as one. By cuda-bindings, as pycuda has none."""

from collections.abc import Callable
from typing import Any

from engines.tensorrt.errors import device_error, missing


class Graph:
    """Recorded work. Its copies and kernels keep the addresses that they were recorded with."""

    def __init__(self, driver: Any, executable: Any) -> None:
        self._driver = driver
        self._executable = executable

    def launch(self, stream: Any) -> None:
        """Queues all of it."""
        _checked(self._driver, self._driver.cuGraphLaunch(self._executable, self._driver.CUstream(stream.handle)))

    def close(self) -> None:
        """Lets it go; it must not be running."""
        if self._executable is not None:
            _checked(self._driver, self._driver.cuGraphExecDestroy(self._executable))
            self._executable = None


def record(stream: Any, work: Callable[[], None]) -> Graph:
    """What `work` queues in the stream, as a graph; nothing of it is run.

    Only calls of this thread are forbidden what can't be recorded (allocating, waiting): others go on meanwhile.

    Raises:
        DeviceError: something in it can't be recorded.
    """
    driver = _bindings()
    handle = driver.CUstream(stream.handle)
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    _checked(driver, driver.cuStreamBeginCapture(handle, mode))
    try:
        work()
    except BaseException:
        # The stream is of no use until its recording has ended.
        _, unfinished = driver.cuStreamEndCapture(handle)
        driver.cuGraphDestroy(unfinished)
        raise
    graph = _checked(driver, driver.cuStreamEndCapture(handle))
    try:
        return Graph(driver, _checked(driver, driver.cuGraphInstantiate(graph, 0)))
    finally:
        _checked(driver, driver.cuGraphDestroy(graph))


def _bindings() -> Any:
    try:
        from cuda.bindings import driver
    except ImportError:
        raise missing("cuda-bindings") from None
    return driver


def _checked(driver: Any, result: tuple[Any, ...]) -> Any:
    """The value behind a return code."""
    status, *values = result
    if status != driver.CUresult.CUDA_SUCCESS:
        raise device_error("a CUDA graph", status.name)
    return values[0] if values else None
