"""A camera that changes its picture in mid-stream, dies and comes back: its stream goes on as one."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamer.settings import Settings
from tests.conftest import need
from tests.integration.producer_rig import eventually, first_times, process, published
from tests.integration.rtsp_camera import available, running

SIZES = [(96, 64), (160, 96)]


def h264(path: Path, width: int, height: int) -> Path:
    """A second of grey pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=10, options={"preset": "ultrafast", "tune": "zerolatency", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 10)
        for number in range(10):
            picture = np.full((height, width, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def test_a_stream_goes_on_through_other_sizes_and_a_camera_s_death(settings: Settings, tmp_path: Path) -> None:
    need(available(), "GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0)")
    small, large = (h264(tmp_path / f"{width}.mp4", width, height) for width, height in SIZES)

    def sizes(since_ms: float = 0) -> list[tuple[int, int]]:
        frames = [one for one in published(settings).get("gate", []) if one.timestamp_ms > since_ms]
        return [(one.header.source_width, one.header.source_height) for one in frames]

    with running(small, 0, "--then", str(large)) as camera:
        words = ("produce", camera.url(), "--stream", "gate")
        with process(settings, tmp_path / "log", *words) as producer:
            eventually(lambda: len(set(sizes())) == 2, "both sizes come")
            camera.kill()
            before_ms = published(settings)["gate"][-1].timestamp_ms
            with running(small, camera.port, "--then", str(large)):
                eventually(lambda: len(set(sizes(before_ms))) == 2, "it is found again, and changes again")
            assert producer.end() == 0
    records = published(settings)["gate"]
    assert len(first_times(records)) == len(records)
    assert len({epoch for epoch, _ in first_times(records)}) == 1
    assert set(sizes()) == set(SIZES)
