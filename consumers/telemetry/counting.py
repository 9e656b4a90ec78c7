"""What was committed, counted for /metrics: once per batch and label, as each look-up of a label costs microseconds."""

from collections import Counter

from consumers.entry import Batch
from consumers.telemetry import metrics
from consumers.telemetry.stream_ages import STREAM_AGES
from streamer.moments import unix_ms
from streamer.records import Event, Gap, Result

_STAGES = ("transport", "wait", "decode", "detect")


def count(batch: Batch, pipeline: str) -> None:
    """Counts a batch whose records are committed."""
    frames: Counter[tuple[str, str]] = Counter()
    objects: Counter[str] = Counter()
    now_ms = unix_ms()
    age = metrics.AGE.labels(pipeline)
    stages = {name: metrics.STAGE.labels(pipeline, name) for name in _STAGES}
    for record in (row.record for row in batch.rows):
        if isinstance(record, Result):
            frames[record.stream, metrics.RESULT] += 1
            objects.update(found.type for found in record.objects)
            age.observe(max(now_ms - record.captured_ms, 0) / 1000)
            for name, ms in record.latency_ms.items():
                stages[name].observe(max(ms, 0) / 1000)
        elif isinstance(record, Event):
            metrics.EVENTS.labels(pipeline, record.stream, record.kind.value).inc()
        elif isinstance(record, Gap):
            frames[record.stream, record.reason.value] += record.count or 0
    for (stream, outcome), number in frames.items():
        metrics.FRAMES.labels(pipeline, stream, outcome).inc(number)
    for kind, number in objects.items():
        metrics.OBJECTS.labels(pipeline, kind).inc(number)
    STREAM_AGES.committed(batch, pipeline)
    for entry in batch.dead:
        if entry.dead is not None:
            metrics.DEAD.labels(pipeline, entry.dead.cause.value).inc()
    for _, stream in batch.forgotten:
        metrics.forget(pipeline, stream)
