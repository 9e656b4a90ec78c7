"""All targets."""

from tests.fuzz import records, words

ALL = (*records.TARGETS, *words.TARGETS)
