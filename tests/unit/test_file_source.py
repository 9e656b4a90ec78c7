"""Files: what comes out of them, numbered, timed, upright, resumed; and what is said of the broken ones."""

import gc
import logging
import zlib
from collections.abc import Callable, Generator
from itertools import islice, pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.codec.context import CodecContext
from av.container import InputContainer

from producers.picture import Picture
from producers.sampling import Sampler
from producers.sources.registry import open_source
from producers.sources.source import Source
from streamer.errors import SourceUnusableError
from streamer.settings import ProduceSettings
from tests.clips import definition, number_of, write_clip

# name, pictures, faults, rotation, the last picture's time in s
CLIPS = [
    ("people_one_by_one.mp4", 1394, 0, 0, 139.3),
    ("cars_from_above.mp4", 377, 0, 0, 30.08),
    ("people_street_720p.mp4", 341, 0, 0, 13.6),
    ("people_hevc_720p.mp4", 150, 0, 0, 5.96),
    ("people_h264_vfr.mp4", 120, 0, 0, 23.125),
    ("motorway_mpeg4_packed_b.avi", 748, 0, 0, 29.96),
    ("dashcam_720p.mp4", 38, 0, 0, 1.48),
    ("road_mjpeg.avi", 120, 0, 0, 3.967),
    ("coco_slideshow_dev.mp4", 200, 0, 0, 19.9),
    # 28 come out before the damage, 21 behind it; the damaged one keeps its number.
    ("corrupted.mp4", 49, 1, 0, 4.9),
    ("rotated_90.mov", 3, 0, 90, 0.067),
]
NAMES = [clip[0] for clip in CLIPS]
INTER_CODED_AVI = "motorway_mpeg4_packed_b.avi"

Print = tuple[int, int | None, float | None, int]


def source_of(path: Path | str, settings: ProduceSettings | None = None, **values: object) -> Source:
    source = open_source(definition(path, **values), settings or ProduceSettings())
    source.open()
    return source


def fingerprint(picture: Picture) -> Print:
    # Rows are padded with whatever was in memory: only what is seen counts.
    pixels = zlib.crc32(picture.frame.to_ndarray())
    return picture.index, picture.pts, picture.seconds, pixels


@pytest.fixture(scope="module")
def straight(shared: Path) -> Callable[[str], list[Print]]:
    """All pictures of a shared clip in one run, decoded once per session."""
    known: dict[str, list[Print]] = {}

    def run(name: str) -> list[Print]:
        if name not in known:
            known[name] = [fingerprint(p) for p in source_of(shared / "videos" / name).pictures()]
        return known[name]

    return run


@pytest.mark.shared
@pytest.mark.parametrize(("name", "count", "faults", "rotation", "end"), CLIPS, ids=NAMES)
def test_clips_are_as_described(shared: Path, name: str, count: int, faults: int, rotation: int, end: float) -> None:
    source = source_of(shared / "videos" / name)
    seen = [(p.index, p.seconds or 0.0, p.rotation) for p in source.pictures()]
    assert (len(seen), source.faults, {r for _, _, r in seen}) == (count, faults, {rotation})
    assert seen[-1][1] == pytest.approx(end, abs=0.002)
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(seen))


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_gives_the_same_pictures(shared: Path, straight: Callable[[str], list[Print]], name: str) -> None:
    whole = straight(name)
    start = int(len(whole) * 0.7)
    resumed = [fingerprint(p) for p in source_of(shared / "videos" / name).pictures(start)]
    assert resumed == [p for p in whole if p[0] >= start]
    assert resumed


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "fps"), [(name, 0.4) for name in NAMES if name != "corrupted.mp4"] + [("people_h264_vfr.mp4", 6)]
)
def test_skipping_in_the_decoder_changes_nothing_of_what_is_sampled(
    shared: Path, straight: Callable[[str], list[Print]], name: str, fps: float
) -> None:
    whole = Sampler(fps)
    expected = [p for p in straight(name) if whole.wants(p[2])]
    sampler = Sampler(fps)
    decoded = list(source_of(shared / "videos" / name, fps=fps).pictures())
    assert [fingerprint(p) for p in decoded if sampler.wants(p.seconds)] == expected
    if name not in (INTER_CODED_AVI, "rotated_90.mov"):
        assert len(decoded) < len(straight(name))


@pytest.mark.shared
def test_a_rotated_clip_is_upright_as_opencv_shows_it(shared: Path) -> None:
    import cv2

    path = shared / "videos" / "rotated_90.mov"
    picture = next(iter(source_of(path).pictures()))
    turned = np.rot90(picture.frame.to_ndarray(format="bgr24"), -picture.rotation // 90)
    _, upright = cv2.VideoCapture(str(path)).read()
    assert np.abs(turned.astype(int) - upright).mean() < 2


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "libx264"), (".mkv", "libx265"), (".avi", "mjpeg"), (".ts", "mpeg2video"), (".webm", "libvpx"),
     (".h264", "libx264"), (".mov", "mpeg4"), (".avi", "mpeg4")],
)  # fmt: skip
def test_codecs_and_containers(tmp_path: Path, suffix: str, codec: str) -> None:
    pictures = list(source_of(write_clip(tmp_path / f"clip{suffix}", codec=codec)).pictures())
    assert [p.index for p in pictures] == list(range(30))
    assert [number_of(p.frame) for p in pictures] == list(range(30))
    assert all((a.seconds or 0) <= (b.seconds or 0) for a, b in pairwise(pictures))
    assert pictures[-1].seconds == pytest.approx(29 / 25, abs=0.05)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_change_nothing(tmp_path: Path, threads: int) -> None:
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "3"})
    pictures = source_of(path, ProduceSettings(decoder_threads=threads), fps=5).pictures()
    sampler = Sampler(5)
    assert [p.index for p in pictures if sampler.wants(p.seconds)] == [0, 3, 8, 13, 18, 23, 28]


def test_a_stream_that_starts_late_starts_at_once(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mkv", stamps=range(250, 280))
    seconds = [p.seconds for p in source_of(path).pictures()]
    assert seconds[:2] == [0, pytest.approx(0.04)]


def test_a_stream_among_several(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "two.mkv", counts=(20, 12))
    assert [len(list(source_of(path, video=n).pictures())) for n in (0, 1)] == [20, 12]
    with pytest.raises(SourceUnusableError, match="video = 2, but it has 2 video streams, counted from 0"):
        source_of(path, video=2)


@pytest.mark.parametrize(("suffix", "share"), [(".mkv", 0.5), (".ts", 0.5), (".h264", 0.6)])
def test_a_truncated_file_gives_what_it_holds(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", options={"g": "5"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    numbers = [number_of(p.frame) for p in source_of(path).pictures()]
    assert 5 < len(numbers) < 30
    assert numbers[:5] == [0, 1, 2, 3, 4]


def test_missing_pictures_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "clip.mp4", options={"g": "5"}, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.8)])
    source = source_of(path)
    with caplog.at_level(logging.WARNING):
        count = len(list(source.pictures()))
    assert 0 < count < 30
    assert count + source.faults == 30
    assert f"{count} pictures decoded, {30 - count} could not be" in caplog.text


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "missing.mp4", "missing.mp4: no such file"),
        (lambda folder: write_sound(folder / "sound.wav"), "there is no video in it"),
        (lambda folder: _written(folder / "notes.txt", b"just words\n" * 50), "not a media file"),
        (lambda folder: _written(folder / "empty.mp4", b""), "not a media file, or too damaged"),
        (lambda folder: _headless(folder), "not a media file, or too damaged"),
        (lambda folder: "quux://somewhere/x", "no source is called 'quux'; there are: device, file"),
        (lambda folder: "rtsp://${STREAMER_TEST_UNSET}@host/x", "set the environment variable STREAMER_TEST_UNSET"),
    ],
    ids=["missing", "sound", "text", "empty", "truncated mp4", "scheme", "secret"],
)
def test_what_can_never_work_says_so_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path | str], message: str
) -> None:
    with pytest.raises(SourceUnusableError, match=message) as caught:
        source_of(make(tmp_path))
    assert "\n" not in str(caught.value)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _headless(folder: Path) -> Path:
    data = write_clip(folder / "whole.mp4").read_bytes()
    return _written(folder / "cut.mp4", data[: len(data) // 2])


@pytest.mark.parametrize(
    ("name", "message"),
    [("nonsense", "this FFmpeg knows"), ("vaapi", "vaapi can't decode this here|this FFmpeg knows")],
)
def test_hardware_that_is_not_there(tmp_path: Path, name: str, message: str) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(SourceUnusableError, match=message):
        source_of(path, ProduceSettings(hwaccel=name))


def test_close_ends_the_pictures(tmp_path: Path) -> None:
    source = source_of(write_clip(tmp_path / "clip.mp4"))
    pictures = source.pictures()
    next(pictures)
    source.close()
    assert list(pictures) == []


@pytest.mark.parametrize(("start", "most"), [(0, None), (0, 2), (5, None)], ids=["whole", "broken off", "resumed"])
def test_a_clip_that_was_read_leaves_nothing_open(tmp_path: Path, start: int, most: int | None) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    gc.collect()
    gc.disable()  # which would hide what is let go only when Python looks for rings: too late in a clip that loops
    try:
        source = source_of(path)
        pictures = cast("Generator[Picture, None, None]", source.pictures(start))
        assert list(islice(pictures, most))
        pictures.close()
        del pictures, source
        # By type, not isinstance: that asks each object for its class, and deprecated ones of torch warn then.
        kinds = [type(kept) for kept in gc.get_objects()]
        assert not [kind for kind in kinds if issubclass(kind, InputContainer | CodecContext)]
    finally:
        gc.enable()


OPEN_GROUPS = [
    ("libx265", {"x265-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-adapt=0:scenecut=0:log-level=none"}),
    ("libx264", {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-adapt=0:scenecut=0"}),
]


@pytest.mark.parametrize(("codec", "options"), OPEN_GROUPS, ids=["hevc", "h264"])
def test_pictures_predicted_across_key_pictures(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """Open groups: pictures behind a key picture are shown before it and need those before it."""
    path = write_clip(tmp_path / "open.mp4", codec=codec, options=options)
    whole = [fingerprint(p) for p in source_of(path).pictures()]
    assert len(whole) == 30
    for start in range(1, 30):
        assert [fingerprint(p) for p in source_of(path).pictures(start)] == whole[start:]
    for fps in (0.5, 1, 2, 3, 4, 5, 6, 7, 8, 11):
        every, some = Sampler(fps), Sampler(fps)
        decoded = [fingerprint(p) for p in source_of(path, fps=fps).pictures()]
        assert [p for p in decoded if some.wants(p[2])] == [p for p in whole if every.wants(p[2])], fps
