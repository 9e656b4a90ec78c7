"""All targets."""

from importlib.util import find_spec

from tests.fuzz import files, frames, records, services, words

ALL = [*records.TARGETS, *words.TARGETS, *files.TARGETS, *frames.TARGETS, *services.TARGETS]
if find_spec("torch"):
    from tests.fuzz import checkpoints

    ALL += checkpoints.TARGETS
