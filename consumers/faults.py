"""What an error of a worker calls for. The one place that decides what is tried again, and whose fault it is."""

from enum import Enum, auto

from consumers.lanes.decode import DeadFrameError
from engines.tensorrt.errors import DeviceLostError
from streamer.errors import ServiceError, UsageError


class Fault(Enum):
    """PASSING: may work the next time: a broker, a coordinator, a full memory. FRAME: of this frame, at every try.

    TAKEN: the work belongs to another worker now. LASTING: until a person changes something, or a new process begins.
    """

    PASSING = auto()
    FRAME = auto()
    TAKEN = auto()
    LASTING = auto()


def judge(error: BaseException) -> Fault:
    """What to do about an error of Kafka, of a detector, or of a frame.

    Whatever a library raises that isn't known here may pass: it is tried again, within limits.
    """
    from kafka import errors

    taken = (errors.CommitFailedError, errors.IllegalGenerationError, errors.UnknownMemberIdError)
    if isinstance(error, taken) or isinstance(error.__cause__, taken):
        return Fault.TAKEN
    if isinstance(error, DeadFrameError):
        return Fault.FRAME
    lasting = (UsageError, DeviceLostError, errors.AuthorizationError, errors.MessageSizeTooLargeError)
    if isinstance(error, lasting) or (isinstance(error, ServiceError) and isinstance(error.__cause__, lasting)):
        return Fault.LASTING
    return Fault.PASSING
