"""What is tried again, and what isn't."""

import pytest
from kafka import errors

from consumers.faults import Fault, judge
from consumers.lanes.decode import DeadFrameError
from engines.tensorrt.errors import DeviceLostError, OutOfDeviceMemoryError
from streamer.errors import ServiceError, UsageError


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (errors.KafkaTimeoutError("no answer"), Fault.PASSING),
        (errors.NotCoordinatorError(), Fault.PASSING),
        (ServiceError("Kafka at nowhere:9092: nothing listens"), Fault.PASSING),
        (OutOfDeviceMemoryError("full"), Fault.PASSING),
        (MemoryError(), Fault.PASSING),
        (RuntimeError("whatever a library raises"), Fault.PASSING),
        (DeadFrameError("no JPEG"), Fault.FRAME),
        (errors.CommitFailedError(), Fault.TAKEN),
        (caused(errors.KafkaError("in a transaction"), errors.IllegalGenerationError()), Fault.TAKEN),
        (errors.UnknownMemberIdError(), Fault.TAKEN),
        (errors.TopicAuthorizationFailedError("frames.dead"), Fault.LASTING),
        (caused(ServiceError("no right"), errors.GroupAuthorizationFailedError("g")), Fault.LASTING),
        (UsageError("wrong"), Fault.LASTING),
        (DeviceLostError("the GPU has gone"), Fault.LASTING),
    ],
)
def test_an_error_is_judged_in_one_place(error: Exception, fault: Fault) -> None:
    assert judge(error) is fault
