"""What can go wrong on a GPU, as errors of one line. Each of them ends a worker, whose frames then go elsewhere."""

from streamer.errors import StreamerError, UsageError

EXTRA = "pip install 'streamer[gpu]'"


class DeviceError(StreamerError):
    """The GPU or its driver failed."""


class OutOfDeviceMemoryError(DeviceError):
    """There is not enough memory on the GPU."""


class DeviceLostError(DeviceError):
    """The GPU has gone, or what ran on it has broken its context: only a new process can use it again."""


class DriverTooOldError(DeviceError):
    """The driver is older than the CUDA libraries need."""


def missing(module: str) -> UsageError:
    """The error of a Python package that isn't there."""
    return UsageError(f"engine tensorrt needs the package {module}; install it with: {EXTRA}")


# By the names that CUDA gives its return codes: pycuda and cuda-bindings both say them.
_LOST = (
    "ILLEGAL_ADDRESS", "LAUNCH_FAILED", "LAUNCH_TIMEOUT", "ECC_UNCORRECTABLE", "HARDWARE_STACK_ERROR",
    "ILLEGAL_INSTRUCTION", "MISALIGNED_ADDRESS", "INVALID_PC", "CONTEXT_IS_DESTROYED", "DEVICE_UNAVAILABLE",
    "NVLINK_UNCORRECTABLE", "CONTAINED",
)  # fmt: skip
_TOO_OLD = ("SYSTEM_DRIVER_MISMATCH", "UNSUPPORTED_PTX_VERSION", "COMPAT_NOT_SUPPORTED_ON_DEVICE", "INSUFFICIENT_DRIVER")
_NO_BINARY = ("NO_BINARY_FOR_GPU", "INVALID_IMAGE")


def device_error(doing: str, reason: object) -> DeviceError:
    """The error for a failure of CUDA while `doing` something. reason: names CUDA's return code, or says it in words."""
    words = " ".join(str(reason).split())[:200]
    code = words.upper().replace(" ", "_")
    if "OUT_OF_MEMORY" in code:
        return OutOfDeviceMemoryError(
            f"{doing}: out of memory on the GPU; choose a smaller detect.batch, fewer detect.sessions, "
            f"or stop what else runs on it"
        )
    if any(name in code for name in _LOST):
        return DeviceLostError(f"{doing}: the GPU failed ({words}); see the kernel's log for Xid messages, and restart")
    if any(name in code for name in _TOO_OLD):
        return DriverTooOldError(f"{doing}: the NVIDIA driver is too old ({words}); install a newer one")
    if any(name in code for name in _NO_BINARY):
        return DeviceError(f"{doing}: made for another kind of GPU ({words}); run `streamer engine prune` and build again")
    return DeviceError(f"{doing}: {words}")
