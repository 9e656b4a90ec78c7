"""Files behind a web server whose address doesn't say that they are: produced as files all the same."""

import functools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from streamer.settings import Settings
from tests.integration.producer_rig import first_times, make_clip, process, published
from tests.integration.test_http_sources import Files, serving
from tests.waiting import eventually

PICTURES = 150  # three seconds


def clip_without_ending(folder: Path) -> str:
    make_clip(folder / "clip.mkv", PICTURES).rename(folder / "clip")
    return "clip?id=5"


def finished_playlist(folder: Path) -> str:
    with (
        av.open(str(make_clip(folder / "clip.mkv", PICTURES))) as clip,
        av.open(str(folder / "list.m3u8"), "w", options={"hls_time": "1", "hls_list_size": "0"}) as playlist,
    ):
        stream = playlist.add_stream("libx264", rate=50, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in clip.decode(video=0):
            playlist.mux(stream.encode(frame.reformat(format="yuv420p")))
        playlist.mux(stream.encode(None))
    return "list.m3u8"


@pytest.fixture(params=[clip_without_ending, finished_playlist])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    make: Callable[[Path], str] = request.param
    path = make(tmp_path)
    with serving(functools.partial(Files, directory=str(tmp_path))) as host:
        yield f"http://{host}/{path}"


def test_it_is_paced_and_goes_on_behind_its_last_record_after_a_kill(
    settings: Settings, address: str, tmp_path: Path
) -> None:
    words = ("produce", address, "--stream", "vod", "--freshness", "every")
    with process(settings, tmp_path / "log", *words) as first:
        eventually(lambda: len(published(settings)["vod"]) > 40, "it runs")
        first.end(signal.SIGKILL)
    before = published(settings)["vod"]
    assert len(before) < PICTURES - 10, "by its own clock"
    with process(settings, tmp_path / "log", *words) as second:
        assert second.wait() == 0
        assert "goes on with picture" in second.said
    records = published(settings)["vod"]
    epoch = before[0].header.id.epoch
    assert first_times(records) == [(epoch, sequence) for sequence in range(PICTURES + 1)]
    assert records[-1].is_end
    assert not records[-1].header.error


def test_it_waits_for_its_reader(settings: Settings, address: str, tmp_path: Path) -> None:
    short = settings.model_copy(update={"topics": settings.topics.model_copy(update={"frames_retention_s": 10})})
    words = ("produce", address, "--stream", "vod", "--freshness", "every")
    with process(short, tmp_path / "log", *words) as running:
        eventually(lambda: "waits: pipeline main" in running.said, "it waits")
        assert running.end() == 0
    assert len(published(settings)["vod"]) < PICTURES
