"""What a worker writes of its pipeline when it joins."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from consumers.pipeline import PipelineRegistration
from engines.letterbox import Padding
from engines.model import ModelInfo
from streamer.errors import UsageError
from streamer.records.stream import PipelineDefinition, parse_definition
from streamer.settings import Settings


class Topic:
    """Holds the record of pipeline main. writes: how often it was written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, there: PipelineDefinition | None) -> None:
        self.definitions = {"main": there} if there else {}
        self.writes = 0
        catalog = Mock(definitions=self.definitions)
        monkeypatch.setattr("consumers.pipeline.pipeline_catalog", lambda _: catalog)
        monkeypatch.setattr("consumers.pipeline.write_definition", self._write)

    def _write(self, _kafka: object, _topic: str, name: str, value: bytes) -> None:
        self.definitions[name] = parse_definition(PipelineDefinition, value)
        self.writes += 1


def model(padding: Padding = "stretch", sha256: str = "1" * 64) -> ModelInfo:
    return ModelInfo(Path("m.onnx"), sha256, 352, 352, ("a",), "rtdetr", "", padding, "RGB", 1.0, "file")


def record(stretched: bool) -> PipelineDefinition:
    return PipelineDefinition(
        name="main", model="m.onnx", model_sha256="1" * 64, width=352, height=352, classes=("a",), stretched=stretched
    )


@pytest.mark.parametrize(("padding", "stretched"), [("stretch", True), ("centre", False), ("top-left", False)])
def test_the_first_says_whether_pictures_are_stretched(
    monkeypatch: pytest.MonkeyPatch, padding: Padding, stretched: bool
) -> None:
    topic = Topic(monkeypatch, None)
    PipelineRegistration(Settings()).join(model(padding), replace=False)
    assert topic.definitions == {"main": record(stretched)}


@pytest.mark.parametrize(("before", "writes"), [(False, 1), (True, 0)])
def test_a_record_of_before_is_written_again_and_one_that_is_right_is_not(
    monkeypatch: pytest.MonkeyPatch, before: bool, writes: int
) -> None:
    topic = Topic(monkeypatch, record(before))
    PipelineRegistration(Settings()).join(model(), replace=False)
    assert topic.definitions == {"main": record(stretched=True)}
    assert topic.writes == writes


def test_another_model_is_refused_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic(monkeypatch, record(stretched=True))
    with pytest.raises(UsageError, match=r"pipeline main runs m\.onnx \(111111111111\), not m\.onnx \(2222"):
        PipelineRegistration(Settings()).join(model(sha256="2" * 64), replace=False)
    assert topic.writes == 0
