"""How large pictures must be for transport `network`: what the stream's pipelines say on topic `pipelines`."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from producers.transform import NetworkInput
from streamer.catalog import pipeline_catalog
from streamer.records.stream import StreamDefinition
from streamer.settings import KafkaSettings

if TYPE_CHECKING:
    from streamer.catalog import Catalog
    from streamer.records.stream import PipelineDefinition


class NetworkSizes:
    """Belongs to one thread. Connects when the first stream wants a network's size."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._catalog: Catalog[PipelineDefinition] | None = None

    def refresh(self, definitions: Iterable[StreamDefinition]) -> None:
        """Takes in new pipelines, if any of `definitions` depends on them.

        Raises:
            ServiceError: the topic can't be read.
        """
        if not any(definition.transport == "network" for definition in definitions):
            return
        if self._catalog is None:
            with ExitStack() as undo:
                catalog = pipeline_catalog(self._kafka)
                undo.callback(catalog.close)  # its connection has a thread, and this is tried again and again
                catalog.open()
                undo.pop_all()
            self._catalog = catalog
        self._catalog.refresh()

    def of(self, definition: StreamDefinition) -> NetworkInput | None:
        """What no network of the stream's pipelines exceeds, stretched if one is; None: not known, or not asked for."""
        if self._catalog is None or definition.transport != "network":
            return None
        known = [self._catalog.definitions.get(name) for name in definition.pipelines]
        found = [pipeline for pipeline in known if pipeline]
        if len(found) < len(known):
            return None  # in full until every pipeline has said what it needs
        width, height = max(each.width for each in found), max(each.height for each in found)
        return NetworkInput(width, height, any(each.stretched for each in found))

    def close(self) -> None:
        """Ends the connection."""
        if self._catalog is not None:
            self._catalog.close()
