"""What a worker remembers of streams that are not defined, or not any more."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from consumers import treatment
from consumers.treatment import Treatments
from streamer.records.stream import StreamDefinition
from streamer.settings import KafkaSettings

MOST = 2 * 10


class Defined:
    """Treatments, and what topic `streams` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(treatment, "_REMEMBERED", MOST // 2)
        self.definitions: dict[str, StreamDefinition] = {}
        self.changed: set[str] = set()
        self.treatments = Treatments(KafkaSettings(), "main")
        catalog = SimpleNamespace(definitions=self.definitions, catch_up=lambda _: self.changed)
        self.treatments._catalog = cast(Any, catalog)

    def define(self, *streams: str) -> None:
        for stream in streams:
            values = {"id": stream, "source": "synthetic:", "freshness": "every", "track": True}
            self.definitions[stream] = StreamDefinition.model_validate(values)
        self._tell(*streams)

    def remove(self, stream: str) -> None:
        del self.definitions[stream]
        self._tell(stream)

    def _tell(self, *streams: str) -> None:
        self.changed = set(streams)
        self.treatments.catch_up()
        self.changed = set()

    def is_known(self, stream: str) -> bool:
        known = self.treatments.of(stream)
        return known is not None and known.track


def test_new_names_for_ever_cost_no_more_memory_and_the_defined_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    defined = Defined(monkeypatch)
    defined.define("gate")
    for number in range(10 * MOST):
        defined.treatments.learn([f"stranger-{number}"])
    for number in range(10 * MOST):
        defined.define(f"clip-{number}")
        defined.remove(f"clip-{number}")
    assert len(defined.treatments._known) <= 1 + MOST
    assert defined.is_known("gate")
    assert defined.is_known(f"clip-{10 * MOST - 1}")
    assert not defined.is_known("clip-0")


def test_more_are_defined_than_are_remembered_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    defined = Defined(monkeypatch)
    cameras = [f"camera-{number}" for number in range(5 * MOST)]
    defined.define(*cameras)
    defined.treatments.learn(["stranger"])
    assert all(map(defined.is_known, cameras))


def test_a_camera_that_was_removed_is_known_while_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last frames are still in the log."""
    defined = Defined(monkeypatch)
    defined.define("camera")
    defined.treatments.learn([f"stranger-{number}" for number in range(MOST)])
    defined.remove("camera")
    assert len(defined.treatments._known) == MOST // 2
    assert defined.is_known("camera")
