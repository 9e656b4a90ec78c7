"""What can go wrong on a GPU, as errors of one line. Each of them ends a worker, whose frames then go elsewhere."""

from streamer.errors import StreamerError, UsageError
from streamer.extras import how_to_install


class DeviceError(StreamerError):
    """The GPU or its driver failed."""


class OutOfDeviceMemoryError(DeviceError):
    """There is not enough memory on the GPU."""


class DeviceLostError(DeviceError):
    """The GPU has gone, or what ran on it has broken its context: only a new process can use it again."""


class DriverTooOldError(DeviceError):
    """The driver is older than the CUDA libraries need."""


class PlanRefusedError(DeviceError):
    """TensorRT doesn't load a plan: another one, which is built here, may be loaded."""


def missing(module: str) -> UsageError:
    """The error of a Python package that isn't there."""
    return UsageError(f"engine tensorrt needs the package {module}: {how_to_install('gpu')}")


# Names, words and numbers that CUDA has for its return codes: cuda-bindings gives the first, pycuda and TensorRT the
# second, nvImageCodec the last.
_OUT_OF_MEMORY = ("OUT_OF_MEMORY", "COULD_NOT_BE_ALLOCATED", "'#2'")
_LOST = (
    "ILLEGAL_ADDRESS", "ILLEGAL_MEMORY", "LAUNCH_FAIL", "LAUNCH_TIMED_OUT", "LAUNCH_TIMEOUT", "ECC", "HARDWARE_STACK",
    "ILLEGAL_INSTRUCTION", "MISALIGNED_ADDRESS", "INVALID_PC", "INVALID_PROGRAM_COUNTER", "CONTEXT_IS_DESTROYED",
    "DEVICE_UNAVAILABLE", "DEVICE(S)_IS/ARE_BUSY", "NVLINK", "CONTAINED", "FALLEN_OFF", "'#700'",
)  # fmt: skip
_TOO_OLD = (
    "SYSTEM_DRIVER_MISMATCH", "UNSUPPORTED_PTX", "UNSUPPORTED_TOOLCHAIN", "COMPAT_NOT_SUPPORTED", "INSUFFICIENT",
    "UNSUPPORTED_DISPLAY_DRIVER", "WITH_ERROR:_35", "'#35'",
)  # fmt: skip
_OTHER_GPU = ("NO_BINARY_FOR_GPU", "NO_KERNEL_IMAGE", "INVALID_IMAGE", "DEVICE_KERNEL_IMAGE_IS_INVALID")


def device_error(doing: str, reason: object) -> DeviceError:
    """The error for a failure of CUDA while `doing` something. reason: CUDA's return code, its name or its words."""
    words = " ".join(str(reason).split())[:200]
    code = words.upper().replace(" ", "_")
    if any(name in code for name in _OUT_OF_MEMORY):
        return OutOfDeviceMemoryError(
            f"{doing}: out of memory on the GPU; choose a smaller detect.batch, fewer detect.sessions, "
            "or stop what else runs on it"
        )
    if any(name in code for name in _LOST):
        return DeviceLostError(f"{doing}: the GPU failed ({words}); see the kernel's log for Xid messages, and restart")
    if any(name in code for name in _TOO_OLD):
        return DriverTooOldError(f"{doing}: the NVIDIA driver is missing or too old ({words}); install a newer one")
    if any(name in code for name in _OTHER_GPU):
        return DeviceError(f"{doing}: made for another kind of GPU ({words}); build the engine again on this one")
    return DeviceError(f"{doing}: {words}")
