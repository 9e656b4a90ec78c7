"""All targets."""

from tests.fuzz import files, frames, records, words

ALL = (*records.TARGETS, *words.TARGETS, *files.TARGETS, *frames.TARGETS)
