"""What a worker counts."""

from prometheus_client import Counter, Gauge, Histogram

from streamer.records import EventKind, GapReason

_LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

RESULT = "result"
"""A frame's outcome in FRAMES; that of one without a result is its gap's reason."""
FRAMES = Counter("streamer_detect_frames", "frames committed", ["pipeline", "stream", "outcome"])
REPEATS = Counter("streamer_detect_repeats", "frames that came again, already done", ["pipeline", "stream"])
STRANGERS = Counter("streamer_detect_strangers", "records on frames that no producer of ours wrote", ["pipeline"])
DEAD = Counter("streamer_detect_dead_frames", "frames set aside on frames.dead", ["pipeline", "cause"])
SUSPECTS = Counter("streamer_detect_suspects", "frames begun apart after a worker's death", ["pipeline", "how"])
RETRIES = Counter("streamer_detect_retries", "frames begun again, alone, after a failure", ["pipeline"])
EVENTS = Counter("streamer_detect_events", "events committed", ["pipeline", "stream", "kind"])
OBJECTS = Counter("streamer_detect_objects", "objects found", ["pipeline", "type"])
STAGE = Histogram("streamer_detect_stage_seconds", "time per frame and stage", ["pipeline", "stage"], buckets=_LATENCY)
AGE = Histogram(
    "streamer_detect_age_seconds", "capture to commit, by the producer's clock", ["pipeline"], buckets=_LATENCY
)
WAITING = Gauge("streamer_detect_waiting_frames", "frames that wait for a lane", ["pipeline"])
UNCOMMITTED = Gauge("streamer_detect_uncommitted_frames", "frames between poll and commit", ["pipeline"])
PARTITIONS = Gauge("streamer_detect_partitions", "partitions of frames that this worker has", ["pipeline"])
COMMITS = Counter("streamer_detect_commits", "transactions", ["pipeline", "outcome"])
COMMIT_TIME = Histogram("streamer_detect_commit_seconds", "time per transaction", ["pipeline"], buckets=_LATENCY)
NETWORK_CPU = Counter("streamer_detect_network_cpu_seconds", "CPU time in the network", ["pipeline"])
BATCH = Histogram(
    "streamer_detect_batch_frames", "frames per inference", ["pipeline"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
GPU_TIME = Histogram(
    "streamer_detect_gpu_seconds", "time per batch by the GPU's clock", ["pipeline", "stage"], buckets=_LATENCY
)
BY_CPU = Counter(
    "streamer_detect_decoded_by_cpu",
    "JPEGs decoded on the CPU because the GPU's decoder refused them, or is missing",
    ["pipeline"],
)
MIRROR_WAITING = Gauge("streamer_mirror_waiting_records", "committed records in the queue to Redis", ["pipeline"])
MIRROR_BEHIND = Gauge(
    "streamer_mirror_behind_partitions", "partitions of which Redis gets from the log what it lacks", ["pipeline"]
)
MIRROR_ERRORS = Counter("streamer_mirror_errors", "failed writes to Redis", ["pipeline"])


def forget(pipeline: str, stream: str) -> None:
    """Removes a stream that is over: a worker may see new names for ever.

    One by one: `remove_by_labels` looks at every series that there is.
    """
    REPEATS.remove(pipeline, stream)
    for outcome in (RESULT, *GapReason):
        FRAMES.remove(pipeline, stream, outcome)
    for kind in EventKind:
        EVENTS.remove(pipeline, stream, kind)
