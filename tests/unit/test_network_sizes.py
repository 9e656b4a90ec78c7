"""The networks' sizes, by which pictures travel: read when a stream wants them, and again after a failure."""

import pytest

from producers.network_sizes import NetworkSizes
from streamer.errors import ServiceError
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
