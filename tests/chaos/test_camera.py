"""A camera that changes its picture in mid-stream, dies and comes back: its stream goes on as one."""

from pathlib import Path

from streamer.settings import Settings
from streamer.stack.ports import free_ports
from tests.chaos.camera import CHANGE, SIZES, camera, h264
from tests.chaos.supervised import listens
from tests.conftest import need
from tests.integration.producer_rig import first_times, process, published
from tests.integration.rtsp_camera import available, running
from tests.waiting import eventually


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


def test_a_camera_changes_its_size_when_it_is_told_to(settings: Settings, tmp_path: Path) -> None:
    need(available(), "GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0)")
    (port,) = free_ports((0,))
    one = camera(tmp_path, port)

    def sizes() -> list[tuple[int, int]]:
        frames = published(settings).get("gate", [])
        return list(dict.fromkeys((each.header.source_width, each.header.source_height) for each in frames))

    one.start()
    try:
        eventually(lambda: listens(port), "it listens")
        with process(settings, tmp_path / "log", "produce", f"rtsp://127.0.0.1:{port}/live", "--stream", "gate"):
            eventually(lambda: sizes() == SIZES[:1], "pictures of one size come")
            one.signal(CHANGE)
            eventually(lambda: sizes() == SIZES, "and of the other")
    finally:
        one.stop()
    records = published(settings)["gate"]
    assert len({epoch for epoch, _ in first_times(records)}) == 1
