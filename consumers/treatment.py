"""What a worker needs to know of each stream: whether it is ours, and how fresh its frames must be."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from streamer.catalog import Catalog, stream_catalog
from streamer.records.identity import is_name
from streamer.records.stream import Line, StreamDefinition, Zone
from streamer.settings import KafkaSettings
from streamer.topics import partition_of

_REFRESH_S = 1.0
_CATCH_UP_S = 5.0
_REMEMBERED = 10_000  # streams that are not defined: frames of them may still be in the log


@dataclass(frozen=True, slots=True)
class Treatment:
    """bound_ms: see Chooser. patient: results may wait to be committed together. track: objects keep one id.

    places: zones and lines. motion_gate_s: a frame like the last one needn't be looked at, for so long at most.
    """

    bound_ms: int | None
    patient: bool
    track: bool = False
    places: tuple[tuple[Zone, ...], tuple[Line, ...]] = ((), ())
    motion_gate_s: float | None = None


_UNDEFINED = Treatment(0, False)


class Treatments:
    """The definitions of topic `streams` as one pipeline sees them. Belongs to one thread."""

    def __init__(self, kafka: KafkaSettings, pipeline: str) -> None:
        self._catalog: Catalog[StreamDefinition] = stream_catalog(kafka)
        self._pipeline = pipeline
        self._known: dict[str, Treatment | None] = {}
        self._bounds: dict[int, int | None] = {}
        self._tracked: frozenset[str] = frozenset()
        self._refreshed = 0.0
        self.partitions = 1

    def open(self) -> None:
        """Reads all definitions.

        Raises:
            ServiceError: the topic can't be read.
        """
        self._catalog.open()
        self._learn(set())

    def refresh(self) -> None:
        """Takes changes in, now and then."""
        if time.monotonic() - self._refreshed >= _REFRESH_S:
            self._refreshed = time.monotonic()
            if changed := self._catalog.refresh():
                self._learn(changed)

    def learn(self, streams: Iterable[str]) -> None:
        """Before frames of `streams` are begun: a stream that is new to us may be defined, and we behind.

        A definition is written before the stream's first frame, so it is among what topic `streams` holds now.

        Raises:
            ServiceError: the topic can't be read.
        """
        unknown = {stream for stream in streams if stream not in self._known and is_name(stream)}
        if unknown:
            self.catch_up()
        for stream in unknown:
            self._known.setdefault(stream, _UNDEFINED)
        self._forget()

    def catch_up(self) -> None:
        """Takes all changes in that are written by now.

        Raises:
            ServiceError: the topic can't be read.
        """
        self._refreshed = time.monotonic()
        if changed := self._catalog.catch_up(_CATCH_UP_S):
            self._learn(changed)

    def of(self, stream: str) -> Treatment | None:
        """How a stream's frames are treated; None: another pipeline's.

        A stream that is not defined (any more) keeps its last treatment: its frames are still in the log. One
        that never was is taken by every pipeline, newest frame only, and so is one of which we don't know any more.
        """
        return self._known.get(stream, _UNDEFINED)

    def bound_on(self, partition: int) -> int | None:
        """The largest age in ms that any of the pipeline's streams on a partition allows; None: any age."""
        if partition not in self._bounds:
            streams = [s for s, t in self._known.items() if t and partition_of(s, self.partitions) == partition]
            bounds = [treatment.bound_ms for s in streams if (treatment := self._known[s])]
            unbounded = not bounds or any(bound is None for bound in bounds)
            self._bounds[partition] = None if unbounded else max(bound for bound in bounds if bound is not None)
        return self._bounds[partition]

    def places(self, stream: str) -> tuple[tuple[Zone, ...], tuple[Line, ...]]:
        """A stream's zones and lines; from any thread."""
        treatment = self._known.get(stream)
        return treatment.places if treatment else ((), ())

    def tracked(self) -> frozenset[str]:
        """The pipeline's streams whose objects are tracked; the same object until a definition changes."""
        return self._tracked

    def _learn(self, changed: set[str]) -> None:
        self._bounds.clear()
        known = self._known.copy()
        for name in changed & known.keys():
            known[name] = known.pop(name)  # if it is no longer defined, it is the last to be forgotten
        for name, definition in self._catalog.definitions.items():
            ours = self._pipeline in definition.pipelines
            patient = definition.freshness == "every" and definition.pace == "fast"
            places = (definition.zones, definition.lines)
            treatment = Treatment(definition.bound_ms, patient, definition.track, places, definition.motion_gate_s)
            known[name] = treatment if ours else None
        self._known = known  # at once: `places` is asked meanwhile
        self._forget()
        self._tracked = frozenset(name for name, known in self._known.items() if known and known.track)

    def _forget(self) -> None:
        """The streams that have not been defined for longest, now and then: a worker may see new names for ever."""
        defined = self._catalog.definitions
        if len(self._known) - len(defined) > 2 * _REMEMBERED:
            for name in [name for name in self._known if name not in defined][:-_REMEMBERED]:
                del self._known[name]

    def close(self) -> None:
        """Ends the connection."""
        self._catalog.close()
