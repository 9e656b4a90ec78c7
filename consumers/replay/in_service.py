"""What a pipeline's workers found in frames: their committed results, met in the order of the frames."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

from consumers.replay.look import Look
from consumers.replay.retained import RetainedFrame
from streamer.catalog import pipeline_catalog, stream_catalog
from streamer.records import Detection, End, FrameId, Gap, GapReason, Result
from streamer.records.frame import LARGEST
from streamer.records.stream import PipelineDefinition
from streamer.results import Results
from streamer.settings import Settings

_MARGIN_S = 60.0
"""Clocks of producers and workers differ; results are written when they are, frames are dated by their capture."""


class InService:
    """The results of one pipeline and stream. Entered and left, by one thread.

    since_s: when the first frame that will be looked at was captured, in seconds since 1970.
    """

    def __init__(self, settings: Settings, pipeline: str, stream: str, since_s: float) -> None:
        self._settings, self._pipeline, self._stream, self._since_s = settings, pipeline, stream, since_s
        self._results: Results | None = None
        self._records: Iterator[Detection] = iter(())
        self._record: Result | Gap | None = None
        self._last: Result | None = None
        self._models: Counter[tuple[str, str]] = Counter()
        self._spent_ms: Counter[str] = Counter()
        self._timed = 0
        self._definition: PipelineDefinition | None = None

    def __enter__(self) -> Self:
        gate_s = self._read_definitions()
        since = max(self._since_s - _MARGIN_S - gate_s, 0)
        self._results = Results(self._settings, self._pipeline, [self._stream], since, follow=False)
        self._results.open()
        self._records = iter(self._results)
        return self

    def __exit__(self, *_: object) -> None:
        if self._results is not None:
            self._results.close()

    def look(self, frame: RetainedFrame) -> Look:
        """What the pipeline found in a frame. Its frames come in order."""
        wanted = frame.header.id
        record = self._at(wanted)
        if record is None:
            return Look(None, "not done")
        match record:
            case Result() if record.id == wanted:
                self._note(record)
                return Look(record.objects)
            case Gap() if record.first <= wanted:
                return self._without(record, wanted)
        return Look(None, "not recorded")

    def to_json(self) -> dict[str, Any]:
        """The models that were in service, and how long their stages took per frame, in ms by the clock."""
        models = [{"model": name, "sha256": sha256, "frames": n} for (name, sha256), n in self._models.items()]
        stages = {name: round(ms / self._timed, 2) for name, ms in self._spent_ms.items()}
        return {
            "kind": "service",
            "pipeline": self._pipeline,
            "models": models,
            "cpu_ms_per_frame": None,
            "latency_ms": stages,
        }

    @property
    def name(self) -> str:
        """For people."""
        return f"pipeline {self._pipeline}"

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Of the pipeline's model as it is now."""
        return self._definition.classes if self._definition else None

    def _read_definitions(self) -> float:
        """Learns the pipeline's model; returns for how long a result may stand for later frames, in seconds."""
        pipelines, streams = pipeline_catalog(self._settings.kafka), stream_catalog(self._settings.kafka)
        try:
            pipelines.open()
            streams.open()
            self._definition = pipelines.definitions.get(self._pipeline)
            stream = streams.definitions.get(self._stream)
        finally:
            pipelines.close()
            streams.close()
        return (stream.motion_gate_s or 0.0) if stream else 0.0

    def _at(self, wanted: FrameId) -> Result | Gap | None:
        """The first record that reaches to the frame; None: there is none yet."""
        while self._record is None or _reach(self._record) < wanted:
            record = next(self._records, None)
            if record is None:
                return None
            if isinstance(record, End):
                continue
            if isinstance(self._record, Result):
                self._last = self._record
            self._record = record
        return self._record

    def _without(self, gap: Gap, wanted: FrameId) -> Look:
        last = self._last
        if gap.reason is GapReason.UNCHANGED and last is not None and last.id.epoch == wanted.epoch:
            return Look(last.objects, repeats=last.id)
        return Look(None, gap.reason.value, gap.detail)

    def _note(self, result: Result) -> None:
        self._models[result.engine.get("model", ""), result.engine.get("sha256", "")] += 1
        self._spent_ms.update({name: ms for name, ms in result.latency_ms.items() if name in ("decode", "detect")})
        self._timed += 1


def _reach(record: Result | Gap) -> FrameId:
    """The last frame that a record says something of."""
    if isinstance(record, Gap) and record.last_sequence is None:
        return FrameId(record.first.epoch, LARGEST)
    return record.id
