"""`streamer replay` against real topics."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.aside import aside
from streamer.children import environment_of
from streamer.records import EndHeader, FrameId
from streamer.settings import Settings
from streamer.topics import topic_names
from streamer.topics_admin import delete_topics
from tests.integration.worker_rig import Rig, ends, header, jpeg, make_model, outline, read_records, read_topic, running

Captured = pytest.CaptureFixture[str]
BEGIN_MS = time.time_ns() // 1_000_000 - 300_000
FRAMES = 8


@pytest.fixture
def rig(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rig]:
    """Stream gate: a frame each second; between them another stream's on the same partition, and what is no frame."""
    for variable, value in environment_of(settings, {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    detect = {"model": str(make_model(tmp_path / "thing.onnx")), "sessions": 1}
    rig = Rig(settings.model_copy(update={"detect": settings.detect.model_copy(update=detect)}))
    rig.define("gate", "quiet")
    for sequence in range(FRAMES):
        rig.put(header("gate", sequence, captured_ms=BEGIN_MS + 1000 * sequence))
        other = header("other", sequence, captured_ms=BEGIN_MS + 1000 * sequence)
        rig.put_raw(b"gate", jpeg(1), other.to_headers(), other.captured_ms)
    rig.put_raw(b"gate", b"no picture", (), BEGIN_MS + 1000 * FRAMES)
    rig.put(EndHeader("gate", FrameId(1, FRAMES), BEGIN_MS + 1000 * FRAMES))
    yield rig
    rig.close()
    delete_topics(aside(settings, "again"))


def call(capsys: Captured, *words: str) -> tuple[int, str]:
    status = main(["replay", *words])
    return status, "".join(capsys.readouterr())


def moment(sequence: int) -> str:
    return str((BEGIN_MS + 1000 * sequence) / 1000)


def test_frames_of_a_span_are_done_aside_and_nothing_live_notices(rig: Rig, capsys: Captured) -> None:
    words = ("--stream", "gate", "--from", moment(2), "--to", moment(5), "--to-pipeline", "again")
    before = len(_frames(rig.settings))
    status, text = call(capsys, *words, "--model", "other.onnx")
    assert status == 0, text
    assert "frames written: 3, " in text
    assert "(1-2) .. " in text
    assert "streamer detect --pipeline again --model other.onnx" in text
    again = aside(rig.settings, "again")
    with running(again):
        rows = read_topic(again, topic_names(again.kafka).detections, ends("gate"))
    assert outline(rows, "gate", "again") == ["0-1 expired", "2", "3", "4", "5 end"]
    assert len(_frames(rig.settings)) == before
    assert rig.detections(lambda _: True) == []
    status, text = call(capsys, *words)
    assert status == 2
    assert "replay again has had frames of stream gate up to 1-5" in text


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--stream", "nobody"), 2, "no such stream: nobody; there are: gate, quiet"),
        (("--stream", "quiet"), 1, "no frame of stream quiet is retained"),
        (("--stream", "gate", "--from", "2h", "--to", "1h"), 1, "stream gate has no frame within "),
        (("--stream", "gate", "--from", "1-6", "--to", "1-5"), 2, "--to 1-5 is not behind --from 1-6"),
        (("--stream", "a/b"), 2, "stream 'a/b'"),
    ],
)
def test_mistakes_are_said_in_a_line(
    rig: Rig, capsys: Captured, words: tuple[str, ...], status: int, message: str
) -> None:
    found, text = call(capsys, *words, "--to-pipeline", "again")
    assert (found, len(text.splitlines())) == (status, 1)
    assert text.startswith(f"streamer replay: {message}")
    if "has no frame" in message:
        assert "retained is " in text
        assert f"(1-{FRAMES})" in text


def _frames(settings: Settings) -> list[object]:
    return read_records(settings, topic_names(settings.kafka).frames, lambda rows: len(rows) >= 2 * FRAMES + 2)
