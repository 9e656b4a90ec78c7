"""A pipeline is one model: who comes with another one is refused, or replaces it on demand."""

import logging
from typing import TYPE_CHECKING

from streamer.catalog import Catalog, pipeline_catalog, write_definition
from streamer.errors import StreamerError, UsageError
from streamer.lifecycle import Deadline
from streamer.records.stream import PipelineDefinition
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from engines.model import ModelInfo

_SEEN_S = 10.0
log = logging.getLogger(__name__)


class PipelineRegistration:
    """Our pipeline's record on topic `pipelines`. Belongs to one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = settings.detect.pipeline
        self._catalog: Catalog[PipelineDefinition] = pipeline_catalog(settings.kafka)
        self._ours = ""

    def join(self, model: "ModelInfo", replace: bool) -> None:
        """Writes the record if there is none, if it says other things of our model, or if `replace`.

        Raises:
            UsageError: the pipeline runs another model.
        """
        self._ours = model.sha256
        self._catalog.open()
        there = self._catalog.definitions.get(self._name)
        definition = self._definition(model)
        if there == definition:
            return
        if there is not None and there.model_sha256 != model.sha256 and not replace:
            raise UsageError(
                f"pipeline {self._name} runs {there.model} ({there.model_sha256[:12]}), not {model.path.name} "
                f"({model.sha256[:12]}): take another --pipeline, or --replace-model to change it for all workers"
            )
        kafka = self._settings.kafka
        write_definition(kafka, topic_names(kafka).pipelines, self._name, definition.to_json())
        # Seen once before `check` looks: what it finds different from ours is then newer than ours.
        deadline = Deadline(_SEEN_S)
        while self._catalog.definitions.get(self._name) != definition and not deadline.passed:
            self._catalog.refresh(timeout_ms=100)

    def check(self) -> None:
        """Notices when another worker has replaced the model.

        Raises:
            StreamerError: it has; results of two models must not mix.
        """
        self._catalog.refresh()
        there = self._catalog.definitions.get(self._name)
        if there is not None and there.model_sha256 != self._ours:
            raise StreamerError(f"pipeline {self._name} runs {there.model} now: leaving; start again with that model")

    def close(self) -> None:
        """Ends the connection."""
        self._catalog.close()

    def _definition(self, model: "ModelInfo") -> PipelineDefinition:
        return PipelineDefinition(
            name=self._name,
            model=model.path.name,
            model_sha256=model.sha256,
            width=model.width,
            height=model.height,
            classes=tuple(model.classes),
            stretched=model.padding == "stretch",
        )
