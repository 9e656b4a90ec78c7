"""The errors that a user can cause or must act on. Each message is one line that says what to change."""


class StreamerError(Exception):
    """Base of all errors that are shown to the user as one line, without a traceback.

    `exit_code` is the process's exit status when the error ends it:
    1 something failed while running, 2 wrong use (arguments, settings, definitions),
    3 a service that is needed can't be reached or refuses us.
    """

    exit_code = 1


class UsageError(StreamerError):
    """Wrong arguments, settings or stream definitions; trying again unchanged can't help."""

    exit_code = 2


class ServiceError(StreamerError):
    """Kafka or Redis is out of reach, or refuses our credentials or rights."""

    exit_code = 3


class RecordError(StreamerError):
    """A record on a topic is not in the format that it must have."""


class SourceError(StreamerError):
    """A source failed in a way that may pass: it is tried again if the source is live."""


class SourceUnusableError(SourceError):
    """A source that can't ever work as defined: no such file, wrong password, no video in it."""


class ModelError(UsageError):
    """A model file that is missing, damaged, or of a layout that we can't read."""
