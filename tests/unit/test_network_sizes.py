"""The networks' sizes, by which pictures travel: read when a stream wants them, and again after a failure."""

import pytest

from producers.network_sizes import NetworkSizes
from producers.transform import NetworkInput
from streamer.errors import ServiceError
from streamer.records.stream import PipelineDefinition
from streamer.settings import KafkaSettings
from tests.clips import definition


class Catalog:
    """Can't be read at first."""

    def __init__(self, made: "list[Catalog]") -> None:
        made.append(self)
        self._readable, self.closed = len(made) > 1, False
        self.definitions: dict[str, object] = {}

    def open(self) -> None:
        if not self._readable:
            raise ServiceError("topic pipelines does not exist")

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_a_catalog_that_can_t_be_read_is_closed_before_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Catalog] = []
    monkeypatch.setattr("producers.network_sizes.pipeline_catalog", lambda _: Catalog(made))
    sizes, streams = NetworkSizes(KafkaSettings()), [definition("x", transport="network")]
    with pytest.raises(ServiceError):
        sizes.refresh(streams)
    sizes.refresh(streams)
    assert [catalog.closed for catalog in made] == [True, False]
    sizes.close()
    assert made[1].closed


def test_pictures_are_for_the_largest_of_a_streams_networks_and_stretched_if_one_of_them_stretches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = Catalog([Catalog([])])  # the second can be read
    monkeypatch.setattr("producers.network_sizes.pipeline_catalog", lambda _: catalog)
    sizes, stream = NetworkSizes(KafkaSettings()), definition("x", transport="network", pipelines=("main", "other"))
    sizes.refresh([stream])
    catalog.definitions["main"] = pipeline("main", 352, 352, stretched=True)
    assert sizes.of(stream) is None
    catalog.definitions["other"] = pipeline("other", 416, 256)
    assert sizes.of(stream) == NetworkInput(416, 352, stretched=True)
    catalog.definitions["main"] = pipeline("main", 352, 352)
    assert sizes.of(stream) == NetworkInput(416, 352, stretched=False)
    assert sizes.of(definition("x", pipelines=("main",))) is None


def pipeline(name: str, width: int, height: int, stretched: bool = False) -> PipelineDefinition:
    return PipelineDefinition(
        name=name, model="m", model_sha256="0", width=width, height=height, classes=("a",), stretched=stretched
    )
