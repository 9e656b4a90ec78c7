"""What a producer counts, per stream."""

from prometheus_client import Counter, Gauge

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

PER_STREAM = (
    CAPTURED, PUBLISHED, PUBLISHED_BYTES, DROPPED, FAULTS, RECONNECTS, STATE, LAST_CAPTURE, OUTSTANDING_BYTES, QUEUED,
    HELD,
)  # fmt: skip


def forget(stream: str) -> None:
    """Removes a stream that this process no longer serves, so that its last values don't stand for ever."""
    for metric in PER_STREAM:
        metric.remove_by_labels({"stream": stream})
