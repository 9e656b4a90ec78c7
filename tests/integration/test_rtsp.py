"""Cameras over RTSP: quick to start, watched, opened again, their passwords never shown."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from producers.picture import Picture
from producers.reconnect import Reconnecting, State
from producers.sources.container import LoginRefusedError
from producers.sources.registry import open_source
from producers.sources.source import Source
from streamer.errors import SourceError, SourceUnusableError
from tests.clips import definition, quick_settings
from tests.conftest import need
from tests.integration.rtsp_camera import Camera, available, running

Run = Callable[..., AbstractContextManager[Camera]]


@pytest.fixture(scope="module")
def run_camera(shared: Path) -> Run:
    need(available(), "GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0)")
    return partial(running, shared / "videos" / "people_one_by_one.mp4")


@pytest.fixture(scope="module")
def camera(run_camera: Run) -> Iterator[Camera]:
    """One that stays well."""
    with run_camera() as camera:
        yield camera


def source_of(address: str, **values: object) -> Source:
    # Past the definition's own check, which keeps passwords out of Kafka: here they are meant.
    return open_source(definition("x", **values).model_copy(update={"source": address}), quick_settings())


def opened(address: str, **values: object) -> Source:
    source = source_of(address, **values)
    source.open()
    return source


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_come_soon_and_in_time(camera: Camera, transport: str) -> None:
    start = time.monotonic()
    source = opened(camera.url(), options={"rtsp_transport": transport})
    pictures = source.pictures()
    first = next(pictures)
    assert time.monotonic() - start < 1
    assert source.live
    assert "h264 768x432" in source.describe()
    more = [next(pictures) for _ in range(8)]
    assert [p.index for p in [first, *more]] == list(range(9))
    assert more[-1].seconds == pytest.approx(0.8, abs=0.11)
    assert source.faults == 0
    source.close()
    assert list(pictures) == []


def test_the_cameras_own_clock(camera: Camera) -> None:
    source = opened(camera.url())
    deadline = time.monotonic() + 15
    # Nothing before its first report, then the time of day.
    times = [(p.source_time, p.captured_ms / 1000) for p in _until(source, lambda p: p.source_time, deadline)]
    source.close()
    assert times[0][0] is None
    reported, captured = times[-1]
    assert reported is not None
    assert captured - reported == pytest.approx(0, abs=0.5)


def _until(source: Source, reached: Callable[[Picture], object], deadline: float) -> Iterator[Picture]:
    for picture in source.pictures():
        yield picture
        if reached(picture) or time.monotonic() > deadline:
            return


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_passwords(run_camera: Run, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_LOGIN", "viewer:s3cret")
    with run_camera(0, "--user", "viewer", "--password", "s3cret", "--auth", method) as camera:
        source = opened(camera.url(login="${CAMERA_LOGIN}"))
        assert next(iter(source.pictures())).index == 0
        source.close()
        for login in ("viewer:wr0ng", ""):
            with pytest.raises(LoginRefusedError, match="refuses the user name or password") as caught:
                opened(camera.url(login=login))
            assert "wr0ng" not in str(caught.value)
            assert caught.value.__cause__ is None


def test_a_wrong_path_may_become_right(camera: Camera) -> None:
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@.*nothing at this path \(404\)") as caught:
        opened(camera.url("nowhere", "viewer:s3cret"))
    assert not isinstance(caught.value, SourceUnusableError)


def test_nothing_listens(run_camera: Run) -> None:
    with run_camera() as camera:
        camera.kill()
        with pytest.raises(SourceError, match="connection refused") as caught:
            opened(camera.url())
    assert not isinstance(caught.value, SourceUnusableError)


def test_a_frozen_camera_is_noticed(run_camera: Run) -> None:
    with run_camera() as camera:
        source = opened(camera.url())
        pictures = source.pictures()
        next(pictures)
        camera.freeze()
        start = time.monotonic()
        with pytest.raises(SourceError, match="connected, but no picture for 1 s"):
            list(pictures)
        assert time.monotonic() - start < 2.5
        with pytest.raises(SourceError, match=r"no proper answer|no answer"):
            opened(camera.url())


def test_closing_ends_a_blocked_read_at_once(run_camera: Run) -> None:
    with run_camera() as camera:
        source = opened(camera.url())
        pictures = source.pictures()
        next(pictures)
        camera.freeze()
        threading.Timer(0.3, source.close).start()
        start = time.monotonic()
        list(pictures)
        assert time.monotonic() - start < 0.8
        # The same while connecting.
        source = source_of(camera.url())
        threading.Timer(0.3, source.close).start()
        start = time.monotonic()
        source.open()
        assert list(source.pictures()) == []
        assert time.monotonic() - start < 0.8


def test_a_camera_that_crashes_is_found_again(run_camera: Run) -> None:
    stop = threading.Event()
    states: list[tuple[State, str]] = []
    with run_camera() as first:
        # Without a server in between, so that waits are seen, then on the same port again.
        source = Reconnecting(
            lambda: source_of(first.url(login="viewer:s3cret")),
            quick_settings(),
            stop,
            lambda *state: states.append(state),
        )
        pictures = source.pictures()
        numbers = [next(pictures).index for _ in range(3)]
        first.kill()
        restarted = threading.Event()

        def camera_again() -> None:
            with run_camera(first.port):
                restarted.set()
                stop.wait(30)

        used = time.process_time()
        thread = threading.Timer(0.5, camera_again)
        thread.start()
        try:
            for picture in pictures:
                numbers.append(picture.index)
                if restarted.is_set():
                    break
            assert time.process_time() - used < 1  # never spinning
        finally:
            source.close()
            thread.join()
    # The numbers go on, and every state says why.
    assert numbers == list(range(len(numbers)))
    told = [state for state, _ in states]
    assert told[:3] == [State.CONNECTING, State.RUNNING, State.WAITING]
    assert told[-2:] == [State.CONNECTING, State.RUNNING]
    reasons = " ".join(reason for _, reason in states)
    assert "the source ended the connection; trying again in" in reasons
    assert "connection refused" in reasons
    assert "s3cret" not in reasons
