"""Reads both sinks and everything that they are held against, and has the checker look at them."""

from collections.abc import Mapping, Sequence

from streamer.mirror import Keys
from streamer.moments import unix_ms
from streamer.settings import Settings
from streamer.topics import topic_names
from tests.chaos.acknowledged import check_acknowledged
from tests.chaos.checker import check_detections, check_events
from tests.chaos.content import check_dead, check_tracks
from tests.chaos.journal import Journal
from tests.chaos.logs import Row, read_dead, read_definitions, read_keys, read_latest, read_log, read_redis
from tests.chaos.mirrored import check_keys, check_latest, check_redis
from tests.chaos.verdict import Circumstances, Definition, Verdict

PIPELINE = "main"


def judge(
    settings: Settings,
    journal: Journal,
    rounds: Mapping[str, int] | None = None,
    upsets: Sequence[tuple[float, float]] = (),
    acknowledged: Mapping[str, int] | None = None,
) -> Verdict:
    """What Kafka and Redis hold now.

    rounds: how many frames each stream has that is a file, again and again. upsets: see Circumstances.
    acknowledged: how many frames of each stream were, at least.
    """
    kafka, names = settings.kafka.bootstrap_servers, topic_names(settings.kafka)
    definitions = {
        stream: Definition.read(said, (rounds or {}).get(stream))
        for stream, said in read_definitions(kafka, names.streams).items()
    }
    detections, events = read_log(kafka, names.detections), read_log(kafka, names.events)
    frames, verdict = journal.frames, Verdict()
    around = Circumstances(definitions, journal.kept(), upsets)
    check_detections(verdict, frames, detections, around)
    check_acknowledged(verdict, acknowledged or {}, frames)
    check_events(verdict, events)
    check_tracks(verdict, detections, events, around)
    check_dead(verdict, frames, journal.strangers, detections, read_dead(kafka, names.dead))
    _judge_redis(verdict, settings, sorted(definitions.keys() | frames.keys()), detections, events)
    return verdict


def _judge_redis(
    verdict: Verdict, settings: Settings, streams: Sequence[str], detections: Sequence[Row], events: Sequence[Row]
) -> None:
    redis, keys = settings.redis, Keys(settings.redis.prefix)
    since_ms = unix_ms() - redis.max_age_s * 1000
    check_keys(verdict, read_keys(redis.url, redis.prefix), redis.prefix, PIPELINE, streams)
    for rows, key in ((detections, keys.detections), (events, keys.events)):
        held = read_redis(redis.url, {stream: key(PIPELINE, stream) for stream in streams})
        for stream in streams:
            own = [row for row in rows if row.key == stream]
            check_redis(verdict, key("", stream), own, held[stream], since_ms, redis.max_records)
    latest = read_latest(redis.url, {stream: keys.latest(PIPELINE, stream) for stream in streams})
    silent_since_ms = unix_ms() - redis.latest_ttl_s * 1000
    for stream in streams:
        own = [row for row in detections if row.key == stream]
        check_latest(verdict, stream, own, latest[stream], silent_since_ms)
