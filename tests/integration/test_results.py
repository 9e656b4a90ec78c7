"""The reader of results against a real Kafka and Redis: what it shows, from when, until when, and how it fails."""

import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import TopicPartition

from streamer import End, Gap, GapReason, Result, Results, latest_results
from streamer.broker import connect_consumer, connect_producer
from streamer.children import environment_of
from streamer.errors import ServiceError
from streamer.mirror import Keys, connect_redis
from streamer.records import BBox, DetectedObject, Detection, Event, EventKind, FrameId
from streamer.records.frame import rfc3339
from streamer.settings import Settings
from streamer.topics import topic_names

BEGIN_MS = (int(time.time()) - 3600) * 1000  # older records than a topic keeps the broker deletes when it gets to it
BEGIN_S = BEGIN_MS // 1000


def result(stream: str, sequence: int, pipeline: str = "main") -> Result:
    objects = (DetectedObject("0", BBox(1, 2, 3, 4), "person", 0.5),)
    return Result(pipeline, stream, FrameId(BEGIN_MS, sequence), BEGIN_MS + sequence, 8, 8, objects)


def event(stream: str, number: int) -> Event:
    thing = DetectedObject("7", BBox(1, 2, 3, 4), "person", 0.5)
    frame = FrameId(BEGIN_MS, number)
    return Event("main", stream, frame, number, "7-door-1", EventKind.ENTER, thing, BEGIN_MS, BEGIN_MS, 0.0, "door")


Publish = Callable[..., None]


@pytest.fixture
def publish(settings: Settings) -> Iterator[Publish]:
    """Writes records in one transaction, as a worker does; `at_ms`: their Kafka timestamps, one apart."""
    transactional_id = f"{settings.kafka.topic_prefix}writer"
    producer = connect_producer(settings.kafka, transactional_id=transactional_id, retry_backoff_ms=2)
    producer.init_transactions()
    names = topic_names(settings.kafka)
    levels = ("read_committed", "read_uncommitted")
    readers = [connect_consumer(settings.kafka, isolation_level=level) for level in levels]
    partitions = [
        TopicPartition(topic, number)
        for topic in (names.detections, names.events)
        for number in readers[0].partitions_for_topic(topic)
    ]

    def write(*records: Detection | Event | bytes, at_ms: int | None = None, commit: bool = True) -> None:
        producer.begin_transaction()
        for number, record in enumerate(records):
            key, value = (b"gate", record) if isinstance(record, bytes) else (record.stream.encode(), record.to_json())
            topic = names.events if isinstance(record, Event) else names.detections
            producer.send(topic, key=key, value=value, timestamp_ms=None if at_ms is None else at_ms + number)
        if commit:
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
        # The broker answers before it has marked the end in every partition; until then readers stop before it.
        while len({tuple(reader.end_offsets(partitions).items()) for reader in readers}) > 1:
            time.sleep(0.01)

    yield write
    producer.close()
    for reader in readers:
        reader.close()


def read(settings: Settings, **options: object) -> list[Detection]:
    with Results(settings, follow=False, **options) as results:  # type: ignore[arg-type]
        return list(results)


def test_all_kinds_come_in_order_and_only_what_was_committed(settings: Settings, publish: Publish) -> None:
    records = [
        result("gate", 0),
        Gap("main", "gate", FrameId(BEGIN_MS, 1), 4, GapReason.STALE, BEGIN_MS),
        result("gate", 5),
        End("main", "gate", FrameId(BEGIN_MS, 6), BEGIN_MS, ""),
    ]
    publish(*records[:2])
    publish(result("gate", 99), commit=False)
    publish(*records[2:])
    assert read(settings) == records


def test_an_empty_topic_ends_at_once(settings: Settings) -> None:
    assert read(settings) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {("gate", 0), ("yard", 0)}),
        ({"streams": ["yard"]}, {("yard", 0)}),
        ({"streams": "yard"}, {("yard", 0)}),
        ({"streams": []}, set()),
        ({"pipeline": "other"}, {("gate", 1)}),
        ({"pipeline": None}, {("gate", 0), ("gate", 1), ("yard", 0)}),
    ],
)
def test_streams_and_pipelines_are_told_apart(
    settings: Settings, publish: Publish, options: dict[str, object], expected: set[tuple[str, int]]
) -> None:
    publish(result("gate", 0), result("gate", 1, "other"), result("yard", 0))
    assert {(record.stream, record.id.sequence) for record in read(settings, **options)} == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"since": BEGIN_S + 0.002}, [2, 3, 4]),
        ({"since": datetime.fromtimestamp(BEGIN_S, UTC) + timedelta(milliseconds=2)}, [2, 3, 4]),
        ({"since": BEGIN_S + 0.0015}, [2, 3, 4]),
        ({"since": BEGIN_S + 1e8}, []),
        ({"since": 0.0}, [0, 1, 2, 3, 4]),
        ({"until": BEGIN_S + 0.002}, [0, 1]),
        ({"since": BEGIN_S + 0.001, "until": BEGIN_S + 0.003}, [1, 2]),
        ({"since": "now"}, []),
        ({"since": "1970-02-01", "until": "1m"}, [0, 1, 2, 3, 4]),
        ({"since": "1m"}, []),
    ],
)
def test_from_and_until_a_point_in_time(
    settings: Settings, publish: Publish, options: dict[str, object], expected: list[int]
) -> None:
    publish(*(result("gate", sequence) for sequence in range(5)), at_ms=BEGIN_MS)
    assert [record.id.sequence for record in read(settings, **options)] == expected


def test_following_waits_for_what_comes_and_closing_ends_it(settings: Settings, publish: Publish) -> None:
    publish(result("gate", 0))
    with Results(settings, since="now") as results:
        writer = threading.Thread(target=publish, args=(result("gate", 1), result("gate", 2)))
        writer.start()
        seen = []
        for record in results:
            seen.append(record.id.sequence)
            if len(seen) == 2:
                results.close()
        writer.join()
    assert seen == [1, 2]


def test_what_is_no_record_of_ours_is_left_out_and_counted(settings: Settings, publish: Publish) -> None:
    publish(b"{}", result("gate", 0), b"\xff")
    with Results(settings, follow=False) as results:
        assert [record.id.sequence for record in results] == [0]
        assert results.skipped == 2


def test_a_missing_topic_is_one_line(settings: Settings) -> None:
    nowhere = settings.kafka.model_copy(update={"topic_prefix": "nowhere."})
    with pytest.raises(ServiceError, match=r"topic nowhere.detections does not exist: run `streamer topics create`"):
        read(settings.model_copy(update={"kafka": nowhere}))


@pytest.fixture
def mirrored(settings: Settings) -> Iterator[None]:
    client, keys = connect_redis(settings.redis), Keys(settings.redis.prefix)
    for stream in ("gate", "yard"):
        client.set(keys.latest("main", stream), result(stream, 3).to_json(), ex=60)
    client.set(keys.latest("main2", "gate"), result("gate", 4, "main2").to_json(), ex=60)
    yield
    client.flushdb()
    client.close()


def test_latest_results_of_one_pipeline(settings: Settings, mirrored: None) -> None:
    assert latest_results(settings) == {"gate": result("gate", 3), "yard": result("yard", 3)}
    assert latest_results(settings, "nobody") == {}


def test_what_is_none_of_ours_in_redis_is_left_out(settings: Settings, mirrored: None) -> None:
    keys = Keys(settings.redis.prefix)
    with connect_redis(settings.redis) as client:
        client.set(keys.latest("main", "gate"), b"[" * 5000)
        client.lpush(keys.latest("main", "list"), b"x")
    assert latest_results(settings) == {"yard": result("yard", 3)}


def test_latest_without_redis_is_one_line(settings: Settings) -> None:
    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": "redis://:pw@127.0.0.1:1/0"})})
    with pytest.raises(ServiceError, match=r"Redis at redis://\*\*\*@127.0.0.1:1/0"):
        latest_results(away)


def streamer(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamer", "results", *words],
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_export_to_a_file(settings: Settings, publish: Publish, tmp_path: Path) -> None:
    publish(*(result(stream, sequence) for sequence in range(3) for stream in ("gate", "yard")))
    file = tmp_path / "out.jsonl"
    done = streamer(settings, "export", "--output", str(file), "--stream", "gate")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "3 records exported\n")
    assert [json.loads(line)["sequence"] for line in file.read_text().splitlines()] == [0, 1, 2]
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_export_to_stdout_with_bounds(settings: Settings, publish: Publish) -> None:
    publish(*(result("gate", sequence) for sequence in range(4)), at_ms=BEGIN_MS)
    moments = [f"--since={rfc3339(BEGIN_MS + 1)}", f"--until={rfc3339(BEGIN_MS + 3)}"]
    done = streamer(settings, "export", *moments)
    assert [json.loads(line)["sequence"] for line in done.stdout.splitlines()] == [1, 2]


def test_events_are_shown_on_their_own(settings: Settings, publish: Publish) -> None:
    publish(result("gate", 0), event("gate", 0), event("yard", 0), event("gate", 1))
    done = streamer(settings, "export", "--events", "--stream", "gate")
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [0, 1]
    done = streamer(settings, "tail", "--events", "--since", "1h", "--count", "3")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert sorted("yard" in line for line in lines) == [False, False, True]
    assert all("enter" in line and "door" in line for line in lines)


def test_the_program_of_the_readme_prints_what_comes(settings: Settings, publish: Publish) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    [program] = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program], env=environment_of(settings), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        for sequence in range(200):
            publish(result("gate", sequence), result("yard", sequence))
            # What was written before it listened is not for it.
            if select.select([process.stdout], [], [], 0.2)[0]:
                break
        line = process.stdout.readline()
        process.terminate()
    assert line.startswith("Result(pipeline='main', stream='yard', id=FrameId(")


def test_latest_prints_a_line_per_stream(settings: Settings, mirrored: None) -> None:
    done = streamer(settings, "latest")
    assert [line.split("  ")[1:] for line in done.stdout.splitlines()] == [
        ["gate", f"{BEGIN_MS}-3", "person 1"],
        ["yard", f"{BEGIN_MS}-3", "person 1"],
    ]
    as_json = streamer(settings, "latest", "--json", "--stream", "yard")
    assert [json.loads(line)["sensorId"] for line in as_json.stdout.splitlines()] == ["yard"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["latest"], 1, "streamer results: no result of pipeline main within the last 60 s"),
        (["tail", "--stream", "a}b"], 2, "streamer results: stream 'a}b': use 1 to 64 letters"),
        (["tail", "--pipeline", "a b"], 2, "streamer results: settings: detect.pipeline: "),
        (["export", "--since", "yesterday"], 2, "streamer results: 'yesterday' is no time: write 10m"),
        (["export", "--output", "/nowhere/x"], 2, "streamer results: can't write /nowhere/x: No such file"),
    ],
)
def test_mistakes_are_one_line(settings: Settings, words: list[str], status: int, message: str) -> None:
    done = streamer(settings, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_missing_broker_is_one_line(settings: Settings) -> None:
    away = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "connect_timeout_s": 1})
    done = streamer(settings.model_copy(update={"kafka": away}), "export")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("streamer results: Kafka at 127.0.0.1:1: nothing listens there")
    assert done.stderr.count("\n") == 1


def test_tail_shows_records_as_they_come(settings: Settings, publish: Publish) -> None:
    """Begins with what was there (--since) and goes on with what is written while it runs."""
    publish(result("gate", 0))
    words = ["tail", "--since", "1h", "--count", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", "results", *words],
        env=environment_of(settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        first = process.stdout.readline()
        publish(result("gate", 1))
        started = time.monotonic()
        second = process.stdout.readline()
        assert process.wait(timeout=30) == 0
    assert [line.split("  ")[2] for line in (first, second)] == [f"{BEGIN_MS}-0", f"{BEGIN_MS}-1"]
    assert time.monotonic() - started < 20
