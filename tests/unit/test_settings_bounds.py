"""What settings may be: numbers that could only be a slip are refused as they are read; empty may be none."""

import re
from pathlib import Path

import pytest

from streamer.commands.config import to_toml
from streamer.errors import UsageError
from streamer.settings import Settings, load
from streamer.settings_reference import reference


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


def test_what_a_file_sets_can_be_taken_back_by_an_empty_variable(tmp_path: Path) -> None:
    file = tmp_path / "streamer.toml"
    file.write_text('[detect]\niou = 0.7\n[kafka]\nssl_cafile = "ca.pem"\n')
    empty = {"STREAMER_DETECT__IOU": "", "STREAMER_KAFKA__SSL_CAFILE": ""}
    assert load(file, environ={}).detect.iou == 0.7
    assert load(file, environ=empty) == Settings()


def test_what_is_shown_as_empty_can_be_written_so(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(re.sub(r'^# (\w+ = "")', r"\1", to_toml(Settings()), flags=re.MULTILINE))
    assert '\niou = ""' in file.read_text()
    assert load(file, environ={}) == Settings()


def test_a_number_that_may_be_none_has_bounds_and_no_other_may_be_empty() -> None:
    assert refusal("detect", "iou", 0).endswith("should be greater than 0")
    assert refusal("detect", "max_objects", "").startswith("settings: detect.max_objects")


def test_the_reference_names_the_kind_of_what_may_be_none() -> None:
    assert "| `iou` | number > 0 ≤ 1 |" in reference()
    assert "| `ssl_cafile` | path |" in reference()
