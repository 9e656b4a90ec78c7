"""What a worker knows of streams when their first frames come, against a real Kafka."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from consumers.treatment import Treatments
from streamer.catalog import write_definitions
from streamer.records.stream import StreamDefinition
from streamer.settings import Settings
from streamer.topics import topic_names

COMPLETE, NEWEST_ONLY = None, 0


@pytest.fixture
def treatments(settings: Settings) -> Iterator[Treatments]:
    treatments = Treatments(settings.kafka, settings.detect.pipeline)
    treatments.open()
    with closing(treatments):
        yield treatments


def define(settings: Settings, *streams: str, **changes: object) -> None:
    values = {"source": "synthetic:", "freshness": "every", **changes}
    definitions = {stream: StreamDefinition.model_validate({"id": stream, **values}).to_json() for stream in streams}
    write_definitions(settings.kafka, topic_names(settings.kafka).streams, definitions)


def bound_ms(treatments: Treatments, stream: str) -> int | None:
    treatment = treatments.of(stream)
    assert treatment is not None
    return treatment.bound_ms


def test_a_definition_behind_many_others_is_known_when_its_stream_is_met(
    settings: Settings, treatments: Treatments
) -> None:
    """More than one poll brings."""
    define(settings, *(f"other{number}" for number in range(700)), "late")
    treatments.learn(["late"])
    assert bound_ms(treatments, "late") == COMPLETE


def test_a_stream_that_nobody_defined_is_taken_newest_first(settings: Settings, treatments: Treatments) -> None:
    treatments.learn(["stranger"])
    assert bound_ms(treatments, "stranger") == NEWEST_ONLY
    define(settings, "stranger")
    treatments.catch_up()
    assert bound_ms(treatments, "stranger") == COMPLETE


def test_another_pipeline_s_stream_is_known_as_such_at_its_first_frame(
    settings: Settings, treatments: Treatments
) -> None:
    define(settings, "a")
    define(settings, "theirs", pipelines=["another"])
    treatments.learn(["theirs"])
    assert treatments.of("theirs") is None
