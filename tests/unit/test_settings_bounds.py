"""Numbers in the settings that could only be a slip are refused as they are read."""

import pytest

from streamer.errors import UsageError
from streamer.settings import Settings, load


def refusal(section: str, key: str, value: object) -> str:
    with pytest.raises(UsageError) as refused:
        load(environ={}, overrides={section: {key: value}})
    return str(refused.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        (
            "detect",
            "class_confidence",
            {"person": 50},
            "class_confidence.person: Input should be less than or equal to 1",
        ),
        ("detect", "class_confidence", {"person": -0.1}, "should be greater than or equal to 0"),
        ("kafka", "session_timeout_ms", 3_600_000, "should be less than or equal to 1800000"),
        ("topics", "detections_retention_s", 10**12, "should be less than or equal to 316224000"),
        ("topics", "max_record_bytes", 2**31, "should be less than or equal to 1073741824"),
        ("redis", "latest_ttl_s", 10**12, "should be less than or equal to 316224000"),
    ],
)
def test_out_of_bounds(section: str, key: str, value: object, words: str) -> None:
    said = refusal(section, key, value)
    assert said.startswith(f"settings: {section}.{key}")
    assert words in said


def test_a_class_may_have_any_confidence_that_there_is() -> None:
    wanted = {"person": 0, "car": 1, "bus": 0.3}
    settings = load(environ={"STREAMER_DETECT__CLASS_CONFIDENCE": "{person = 0, car = 1, bus = 0.3}"})
    assert settings.detect.class_confidence == wanted


FLOATS = [
    (name, key)
    for name, section in Settings()
    for key, field in type(section).model_fields.items()
    if field.annotation is float
]


@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan")])
@pytest.mark.parametrize(("section", "key"), FLOATS)
def test_times_and_shares_end_somewhere(section: str, key: str, value: float) -> None:
    """Python's own clocks overflow where a wait has no end."""
    assert refusal(section, key, value).startswith(f"settings: {section}.{key}: ")
