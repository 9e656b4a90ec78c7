"""What a producer counts, per stream, and how long each stage takes, over all: some 20 series per stage and stream are
more than anybody scrapes for hundreds of cameras."""

from prometheus_client import Counter, Gauge, Histogram

CAPTURED = Counter("streamer_frames_captured", "Frames given a sequence number, after sampling", ["stream"])
PUBLISHED = Counter("streamer_frames_published", "Frames acknowledged by Kafka", ["stream"])
PUBLISHED_BYTES = Counter("streamer_published_bytes", "Bytes of frames acknowledged by Kafka", ["stream"])
DROPPED = Counter("streamer_frames_dropped", "Frames that leave a hole in the sequence", ["stream", "reason"])
FAULTS = Gauge("streamer_source_faults", "Packets and pictures that could not be decoded, this run", ["stream"])
RECONNECTS = Counter("streamer_source_reconnects", "Connections of a live source that broke off", ["stream"])
STATE = Gauge("streamer_source_state", "1 for the state that the source is in", ["stream", "state"])
LAST_CAPTURE = Gauge("streamer_source_last_frame_seconds", "When the newest frame was captured, since 1970", ["stream"])
OUTSTANDING_BYTES = Gauge("streamer_outstanding_bytes", "Bytes captured and not yet acknowledged", ["stream"])
QUEUED = Gauge("streamer_producer_queue_frames", "Frames captured and not yet handed to the Kafka client", ["stream"])
REBUILDS = Counter("streamer_kafka_producer_rebuilds", "Kafka producers replaced after an error")
HELD = Gauge("streamer_source_held", "1 while a file waits for its reader", ["stream"])

_STAGE = Histogram(
    "streamer_produce_stage_seconds",
    "Time per frame and stage; decode: per packet; acknowledge: from Kafka's client to its answer",
    ["stage"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
DECODE, TRANSFORM, ENCODE, ACKNOWLEDGE = map(_STAGE.labels, ("decode", "transform", "encode", "acknowledge"))

PER_STREAM = (
    CAPTURED, PUBLISHED, PUBLISHED_BYTES, DROPPED, FAULTS, RECONNECTS, STATE, LAST_CAPTURE, OUTSTANDING_BYTES, QUEUED,
    HELD,
)  # fmt: skip


def forget(stream: str) -> None:
    """Removes a stream that this process no longer serves, so that its last values don't stand for ever."""
    for metric in PER_STREAM:
        metric.remove_by_labels({"stream": stream})
