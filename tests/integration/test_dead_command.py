"""`streamer dead` against real topics: what it lists, shows and writes aside."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.aside import aside
from streamer.broker import connect_producer
from streamer.children import environment_of
from streamer.records import DeadCause, Death, FrameHeader
from streamer.records.dead import dead_headers
from streamer.settings import Settings
from streamer.topics import topic_names
from streamer.topics_admin import delete_topics
from tests.integration.worker_rig import ends, header, jpeg, make_model, outline, read_topic, running

Captured = pytest.CaptureFixture[str]
UNREADABLE = Death(DeadCause.UNREADABLE, "not a readable JPEG: cut off")
FATAL = Death(DeadCause.FATAL, "ended the worker, alone with it, 3 times in a row", 3)


@pytest.fixture
def environ(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, value in environment_of(settings, {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kept(settings: Settings, environ: None) -> Iterator[Settings]:
    """Dead frames of two streams and two pipelines, one without its picture, and a stranger's record."""
    gone = Death(DeadCause.FAILED, "RuntimeError: no")
    stranger = Death(DeadCause.STRANGER, "not a frame of ours: header ce_type is missing")
    producer = connect_producer(settings.kafka)
    for death, head, value, pipeline in (
        (FATAL, header("gate", 3), jpeg(3), "main"),
        (UNREADABLE, header("gate", 5), b"no picture", "main"),
        (FATAL, header("gate", 3), jpeg(3), "other"),
        (gone, header("yard", 0), None, "main"),
        (FATAL, header("yard", 7), jpeg(7), "main"),
        (stranger, None, None, "main"),
    ):
        _put(settings, producer, death, head, value, pipeline)
    producer.close(timeout=5)
    yield settings
    delete_topics(aside(settings, "again"))


def _put(
    settings: Settings, producer: object, death: Death, head: FrameHeader | None, value: bytes | None, pipeline: str
) -> None:
    place = (0, head.id.sequence if head else 99)
    own = head.to_headers() if head else []
    headers = [*own, *dead_headers(death, pipeline, place, head.captured_ms if head else 0, value or b"x")]
    key = head.stream.encode() if head else b"stranger"
    topic = topic_names(settings.kafka).dead
    producer.send(topic, value, key, headers=headers).get(timeout=20)  # type: ignore[attr-defined]


def call(capsys: Captured, *words: str) -> tuple[int, str]:
    status = main(["dead", *words])
    return status, "".join(capsys.readouterr())


LISTED: dict[tuple[str, ...], list[str]] = {
    (): ["0:99", "gate/1-3", "gate/1-3", "gate/1-5", "yard/1-0", "yard/1-7"],
    ("--stream", "gate"): ["gate/1-3", "gate/1-3", "gate/1-5"],
    ("--cause", "fatal", "--pipeline", "main"): ["gate/1-3", "yard/1-7"],
    ("--reason", "readable jpeg"): ["gate/1-5"],
    ("--since", "1h", "--cause", "stranger"): ["0:99"],
    ("--until", "1h"): [],
    ("--stream", "nobody"): [],
}


def test_list_shows_those_that_are_wanted(kept: Settings, capsys: Captured) -> None:
    for words, frames in LISTED.items():
        status, text = call(capsys, "list", "--json", *words)
        rows = [json.loads(line) for line in text.splitlines()]
        assert (status, sorted(row["frame"] for row in rows)) == (0, frames), words
    text = call(capsys, "list", "--cause", "unreadable")[1]
    assert text.endswith("  main  gate/1-5  unreadable: not a readable JPEG: cut off (10 bytes)\n")


def test_show_says_all_and_gives_the_picture(kept: Settings, capsys: Captured, tmp_path: Path) -> None:
    status, text = call(capsys, "show", "yard/1-7", "--output", "frame.jpg")
    assert status == 0
    assert "cause          fatal\n" in text
    assert "tries          3\n" in text
    assert (tmp_path / "frame.jpg").read_bytes() == jpeg(7)
    assert "cause          stranger" in call(capsys, "show", "0:99")[1]
    status, text = call(capsys, "show", "yard/1-0", "--output", "none.jpg")
    assert status == 1
    assert "was not kept" in text
    assert not (tmp_path / "none.jpg").exists()
    status, text = call(capsys, "show", "yard/1-7", "--output", "no/such/folder.jpg")
    assert status == 2
    assert text.endswith("streamer dead: can't write no/such/folder.jpg: No such file or directory\n")


def test_replay_writes_aside_what_a_worker_there_can_do(kept: Settings, capsys: Captured, tmp_path: Path) -> None:
    status, text = call(capsys, "replay", "--to", "again", "--cause", "fatal")
    assert status == 0
    assert "frames written: 2, streams: 2." in text
    again = aside(kept, "again")
    assert f"STREAMER_KAFKA__TOPIC_PREFIX={again.kafka.topic_prefix} " in text
    # Once more, all of them: what was done there already is not done again.
    assert "left out, as they were not kept: 2\n" in call(capsys, "replay", "--to", "again")[1]
    detect = again.detect.model_copy(update={"model": str(make_model(tmp_path / "thing.onnx")), "sessions": 1})
    with running(again.model_copy(update={"detect": detect})):
        topic = topic_names(again.kafka).detections
        rows = read_topic(again, topic, ends("gate", "yard"))
    assert outline(rows, "gate", "again")[:3] == ["0-2 expired", "3", "4 end"]
    assert outline(rows, "yard", "again") == ["0-6 expired", "7", "8 end"]
    assert read_topic(kept, topic_names(kept.kafka).frames, lambda _: True) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "gate/1-4"), "no dead frame gate/1-4: `streamer dead list` names those that are kept"),
        (("replay", "--to", "a b"), "pipeline 'a b': use 1 to 64 letters"),
        (("replay", "--to", "again", "--stream", "nobody"), "no dead frame to replay"),
        (("list", "--since", "yesterday"), "'yesterday' is no time"),
        (("list", "--stream", "a/b"), "stream 'a/b'"),
    ],
)
def test_mistakes_are_said_in_a_line(
    settings: Settings, environ: None, capsys: Captured, words: tuple[str, ...], message: str
) -> None:
    status, text = call(capsys, *words)
    delete_topics(aside(settings, "again"))
    assert status in (1, 2)
    assert text.startswith(f"streamer dead: {message}")
    assert len(text.splitlines()) == 1
