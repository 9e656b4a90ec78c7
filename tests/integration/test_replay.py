"""`streamer replay` against real topics."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import simplejpeg

from streamer.__main__ import main
from streamer.aside import aside
from streamer.broker import connect_producer
from streamer.catalog import write_definition
from streamer.children import environment_of
from streamer.moments import unix_ms
from streamer.records import BBox, DetectedObject, EndHeader, FrameId, Gap, GapReason, Result
from streamer.records.stream import PipelineDefinition
from streamer.settings import Settings
from streamer.topics import topic_names
from streamer.topics_admin import delete_topics
from tests.integration.worker_rig import Rig, ends, header, jpeg, make_model, outline, read_records, read_topic, running

Captured = pytest.CaptureFixture[str]
BEGIN_MS = 0  # five minutes before each test: the broker deletes what is older than the retention
FRAMES = 8


@pytest.fixture
def rig(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rig]:
    """Stream gate: a frame each second; between them another stream's on the same partition, and what is no frame."""
    for variable, value in environment_of(settings, {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"{__name__}.BEGIN_MS", unix_ms() - 300_000)
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


MISTAKES: list[tuple[tuple[str, ...], int, str]] = [
    (("nobody", "--to-pipeline", "again"), 2, "no such stream: nobody; there are: gate, quiet"),
    (("quiet", "--to-pipeline", "again"), 1, "no frame of stream quiet is retained"),
    (("gate", "--from", "2h", "--to", "1h", "--to-pipeline", "again"), 1, "stream gate has no frame within "),
    (("gate", "--from", "1-6", "--to", "1-5", "--to-pipeline", "again"), 2, "--to 1-5 is not behind --from 1-6"),
    (("a/b", "--to-pipeline", "again"), 2, "stream 'a/b'"),
    (("gate", "--to-pipeline", "again", "--baseline", "thing.onnx"), 2, "--baseline is for --report"),
    (("gate", "--report", "r"), 2, "which model is to be compared with the one in service? --model FILE"),
    (("gate", "--report", "r", "--model", "gone.onnx"), 2, "gone.onnx"),
    (("gate", "--report", "thing.onnx", "--model", "thing.onnx"), 2, "--report thing.onnx: Not a directory"),
    (("gate", "--report", "r", "--model", "thing.onnx", "--pictures", "-1"), 2, "--pictures is -1"),
    (("quiet", "--report", "r", "--model", "thing.onnx"), 1, "no frame of stream quiet is retained"),
]


def test_mistakes_are_said_in_a_line(rig: Rig, capsys: Captured, tmp_path: Path) -> None:
    for words, status, message in MISTAKES:
        found, text = call(capsys, "--stream", *words)
        assert (found, len(text.splitlines())) == (status, 1), words
        assert text.startswith(f"streamer replay: {message}")
        if "has no frame" in message:
            assert "retained is " in text
            assert f"(1-{FRAMES})" in text
    assert not (tmp_path / "r").exists()


def _frames(settings: Settings) -> list[object]:
    return read_records(settings, topic_names(settings.kafka).frames, lambda rows: len(rows) >= 2 * FRAMES + 2)


BOX = BBox(96, 48, 160, 80)  # where make_model's network sees its thing, in source pixels
MODEL = {"model": "old.onnx", "sha256": "5" * 64}


def _result(sequence: int, *objects: DetectedObject) -> Result:
    frame_id = FrameId(1, sequence)
    spent = {"decode": 1.0, "detect": 2.0}
    return Result("main", "gate", frame_id, 0, 256, 128, objects, engine=MODEL, latency_ms=spent)


def _gap(first: int, last: int, reason: GapReason) -> Gap:
    return Gap("main", "gate", FrameId(1, first), last, reason, 0)


@pytest.fixture
def served(rig: Rig) -> Rig:
    """Results in service: two as the model of the rig finds them, but for the score, two others, and three gaps."""
    thing, bus = DetectedObject("7", BOX, "thing", 0.8), DetectedObject("8", BOX, "bus", 0.5)
    elsewhere = DetectedObject("9", BBox(0, 0, 64, 32), "thing", 0.6)
    rig.put(header("gate", FRAMES, 2, captured_ms=BEGIN_MS + 20_000), b"no picture")
    records = [_result(0, thing, bus), _gap(1, 1, GapReason.UNCHANGED), _gap(2, 3, GapReason.STALE)]
    records += [_result(4, elsewhere), _result(5), replace(_result(FRAMES), id=FrameId(2, FRAMES))]
    producer = connect_producer(rig.settings.kafka)
    for record in records:
        topic = topic_names(rig.settings.kafka).detections
        producer.send(topic, record.to_json(), b"gate").get(timeout=20)
    producer.close(timeout=5)
    definition = PipelineDefinition(
        name="main", model="old.onnx", model_sha256="5" * 64, width=64, height=64, classes=("thing", "bus")
    )
    names = topic_names(rig.settings.kafka)
    write_definition(rig.settings.kafka, names.pipelines, "main", definition.to_json())
    return rig


def test_a_candidate_is_held_against_what_is_in_service(served: Rig, capsys: Captured, tmp_path: Path) -> None:
    words = ("--stream", "gate", "--model", served.settings.detect.model, "--report", "report")
    status, text = call(capsys, *words)
    assert status == 0, text
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["frames"]["left_out"] == {"damaged": 1, "not recorded": 2, "stale": 2}
    assert [report["frames"][name] for name in ("retained", "compared", "differing", "unchanged")] == [9, 4, 2, 1]
    of_things = {"both": 2, "only_baseline": 1, "only_candidate": 2, "agreement": 0.4, "mean_iou": 1.0}
    assert report["per_class"] == {"thing": {**of_things, "mean_score_change": pytest.approx(0.1)}}
    assert report["baseline"]["models"] == [{**MODEL, "frames": 4}]
    assert report["baseline"]["classes_of_its_own"] == ["bus"]
    assert report["candidate"]["cpu_ms_per_frame"] > 0
    lines = [json.loads(line) for line in (tmp_path / "report" / "frames.jsonl").read_text().splitlines()]
    assert [line.get("why", line.get("repeats")) for line in lines[:4]] == [None, "1-0", "stale", "stale"]
    assert lines[4]["only_baseline"][0]["bbox"] == {"leftX": 0, "topY": 0, "rightX": 64, "bottomY": 32}
    assert [each["picture"] for each in report["worst"]] == ["worst/01-1-4.jpg", "worst/02-1-5.jpg"]
    drawn = simplejpeg.decode_jpeg((tmp_path / "report" / "worst" / "01-1-4.jpg").read_bytes())
    blue, orange = drawn[16, 10:20].mean(0), drawn[40, 55:70].mean(0)  # the lower edges, in pixels of the JPEG
    assert blue[2] > blue[0] + 50
    assert orange[0] > orange[2] + 50
    assert (tmp_path / "report" / "report.md").read_text() in text
    # What is there is kept unless told otherwise; the same again gives the same.
    before = (tmp_path / "report" / "frames.jsonl").read_bytes()
    status, text = call(capsys, *words)
    assert (status, "it isn't empty" in text) == (2, True)
    assert call(capsys, *words, "--overwrite", "--pictures", "0")[0] == 0
    assert (tmp_path / "report" / "frames.jsonl").read_bytes() == before
    assert not list((tmp_path / "report").glob("worst/*"))


def test_two_models_are_compared_without_any_result(rig: Rig, capsys: Captured, tmp_path: Path) -> None:
    coarse = make_model(tmp_path / "coarse.onnx", score=0.6, side=32)
    words = ("--stream", "gate", "--from", "1-1", "--to", "1-3", "--model", str(coarse))
    status, text = call(capsys, *words, "--baseline", rig.settings.detect.model, "--report", "report")
    assert status == 0, text
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["frames"]["compared"] == 3
    assert [report["objects"][name] for name in ("both", "only_baseline", "only_candidate")] == [0, 3, 3]
    assert report["baseline"]["cpu_ms_per_frame"] > 0
    status, text = call(capsys, *words, "--report", "none")
    assert (status, len(text.splitlines())) == (1, 1)
    assert "none of 3 frames can be compared with pipeline main (not done 3)" in text
    assert not list((tmp_path / "none").iterdir())
