"""All targets."""

from tests.fuzz import files, frames, records, services, words

ALL = (*records.TARGETS, *words.TARGETS, *files.TARGETS, *frames.TARGETS, *services.TARGETS)
