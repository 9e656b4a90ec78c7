"""Sources on a command line: which there are, and how their streams are called."""

import os
from pathlib import Path

import pytest

from streamer.addresses import resolve
from streamer.commands.sources import expand_sources, name_streams, without_secrets
from streamer.errors import UsageError
from streamer.records import check_name


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "a,b.mp4", "clips/2.AVI", "clips/1.mkv", "clips/notes.txt", "pictures/1.jpg"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.mp4"], ["a.mp4"]),
        (["a.mp4, rtsp://h/live,"], ["a.mp4", "rtsp://h/live"]),
        (["a,b.mp4"], ["a,b.mp4"]),
        (
            ["a.mp4, rtsp://u:se,c,ret@h/live,rtsp://h2:554,a.mp4"],
            ["a.mp4", "rtsp://u:se,c,ret@h/live", "rtsp://h2:554", "a.mp4"],
        ),
        (["rtsp://h/live,rtsp://u:p@h2/live"], ["rtsp://h/live", "rtsp://u:p@h2/live"]),
        (["clips"], ["clips/1.mkv", "clips/2.AVI"]),
        (["pictures", "synthetic:"], ["pictures", "synthetic:"]),
    ],
)
def test_expansion(clips: Path, words: list[str], expected: list[str]) -> None:
    assert expand_sources(words) == expected


@pytest.mark.parametrize(("word", "message"), [("b.mp4", "b.mp4: no such file"), (",", "which source")])
def test_what_is_no_source_is_one_line(clips: Path, word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expand_sources([word])


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("rtsp://admin:se,hunter2/x@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("rtsp://admin:p@se,hunter2@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("rtsp://admin:se@10.0.0.7/live,b.mp4", "b.mp4"),
    ],
)
def test_no_piece_of_a_password_is_shown_as_a_missing_file(clips: Path, word: str, shown: str) -> None:
    with pytest.raises(UsageError) as refused:
        expand_sources([word])
    assert str(refused.value) == f"{shown}: no such file or folder"


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["x/clip.mp4", "y/clip.mkv", "clip.avi"], ["clip", "clip-2", "clip-3"]),
        (["rtsp://u:p@10.0.0.7:554/live/main?x=1"], ["10.0.0.7-main"]),
        (["synthetic:"], ["synthetic"]),
        (["/dev/video0"], ["video0"]),
        (["clips/ärger mit leer.mp4"], ["rger-mit-leer"]),
        (["..."], None),
        (["x" * 100 + ".mp4", "x" * 100 + ".avi"], ["x" * 64, "x" * 60 + "-2"]),
    ],
)
def test_names(sources: list[str], names: list[str] | None) -> None:
    found = name_streams(sources)
    assert list(found.values()) == sources
    assert names is None or list(found) == names
    for name in found:
        check_name(name, "stream")


def test_a_password_on_the_command_line_does_not_get_into_a_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_ADDRESS_GATE_1", "of somebody else")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    given = "rtsp://admin:hunter2@10.0.0.7/live"
    reference = without_secrets(given, "gate-1")
    assert reference == "${STREAM_ADDRESS_GATE_1_}"
    assert resolve(reference) == given
    assert without_secrets("rtsp://${U}:${P}@10.0.0.7/live", "gate") == "rtsp://${U}:${P}@10.0.0.7/live"
