"""Sources behind HTTP: files, HLS, MJPEG cameras; and what servers refuse."""

import base64
import functools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from producers.sampling import Sampler
from producers.sources.container import LoginRefusedError
from producers.sources.registry import open_source
from producers.sources.source import Source
from streamer.errors import SourceError, SourceUnusableError
from tests.clips import definition, number_of, quick_settings, write_clip

LOGIN = "viewer:s3cret"
RATE = 20
DAMAGED = range(1, 20)  # those of the first second


class Files(SimpleHTTPRequestHandler):
    """A folder's files."""

    def log_message(self, *_: object) -> None:
        pass


class MjpegCamera(BaseHTTPRequestHandler):
    """Pictures without end, behind a login; the number of each is its grey. /short ends after five, /stall stalls.

    /damaged has some without a picture in them, /broken none with one behind its first five.
    """

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(LOGIN.encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(200):
            if number == 5 and self.path == "/short":
                return
            if number == 5 and self.path == "/stall":
                self.server.stopping.wait(10)  # type: ignore[attr-defined]
            jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), number, np.uint8))[1].tobytes()
            if (self.path == "/damaged" and number in DAMAGED) or (self.path == "/broken" and number >= 5):
                jpeg = jpeg[:2] + bytes(len(jpeg) - 2)
            try:
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                self.wfile.write(jpeg + b"\r\n")
            except OSError:
                return
            if self.server.stopping.wait(1 / RATE):  # type: ignore[attr-defined]
                return

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: object) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.stopping.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    with serving(functools.partial(Files, directory=str(tmp_path))) as host:
        yield tmp_path, f"http://{host}"


@pytest.fixture
def camera() -> Iterator[str]:
    with serving(MjpegCamera) as host:
        yield host


def opened(address: str, **values: object) -> Source:
    source = open_source(definition("x", **values).model_copy(update={"source": address}), quick_settings())
    source.open()
    return source


def test_a_file_is_finite(files: tuple[Path, str]) -> None:
    folder, url = files
    write_clip(folder / "clip.mp4", container_options={"movflags": "faststart"})
    source = opened(f"{url}/clip.mp4")
    assert not source.live
    assert [(p.index, number_of(p.frame)) for p in source.pictures(20)] == [(n, n) for n in range(20, 30)]


def test_a_finished_hls_playlist_is_finite(files: tuple[Path, str]) -> None:
    folder, url = files
    write_playlist(folder, ended=True)
    source = opened(f"{url}/live.m3u8")
    assert not source.live
    assert [number_of(p.frame) for p in source.pictures()] == list(range(30))


def test_a_live_hls_playlist_is_live(files: tuple[Path, str]) -> None:
    folder, url = files
    write_playlist(folder, ended=False)
    source = opened(f"{url}/live.m3u8")
    assert source.live
    start = time.monotonic()
    # The newest segment only, and although all of it is there at once, each picture when it is due.
    assert [number_of(p.frame) for p in islice(source.pictures(), 8)] == list(range(20, 28))
    assert time.monotonic() - start > 0.2
    source.close()


def write_playlist(folder: Path, *, ended: bool) -> None:
    options = {"hls_time": "0.4", "hls_list_size": "0"}
    path = write_clip(folder / "live.m3u8", options={"g": "10", "bf": "0"}, container_options=options)
    if not ended:
        path.write_text(path.read_text().replace("#EXT-X-ENDLIST\n", ""))


def test_mjpeg_cameras(camera: str) -> None:
    start = time.monotonic()
    source = opened(f"http://{LOGIN}@{camera}/video")
    pictures = source.pictures()
    first = next(pictures)
    assert time.monotonic() - start < 1
    assert source.live
    assert "mjpeg 64x48" in source.describe()
    more = list(islice(pictures, 19))
    source.close()
    # Their time is when they came: MJPEG brings none of its own.
    assert more[-1].seconds == pytest.approx(19 / RATE, rel=0.35)
    assert [p.index for p in [first, *more]] == list(range(20))


def test_mjpeg_is_sampled_before_it_is_decoded(camera: str) -> None:
    source = opened(f"http://{LOGIN}@{camera}/video", fps=5)
    sampler = Sampler(5)
    pictures = list(islice(source.pictures(), 5))
    source.close()
    assert all(sampler.wants(p.seconds) for p in pictures)
    # What was left out keeps its number.
    assert pictures[-1].index == pytest.approx(4 * RATE / 5, abs=3)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets may come without a picture for 0.3 s."""
    monkeypatch.setattr("producers.sources.streamed._PATIENCE", 0.3)


def test_a_camera_of_which_few_pictures_are_wanted_does_not_stall(camera: str, impatient: None) -> None:
    source = opened(f"http://{LOGIN}@{camera}/video", fps=0.5)
    assert len(list(islice(source.pictures(), 2))) == 2
    source.close()


def test_a_damaged_picture_that_was_wanted_is_replaced_by_the_next(camera: str) -> None:
    source = opened(f"http://{LOGIN}@{camera}/damaged", fps=1)
    first, second = islice(source.pictures(), 2)
    source.close()
    assert (first.index, second.index) == (0, DAMAGED.stop)


def test_a_camera_that_sends_no_picture_any_more_stalls_however_few_are_wanted(camera: str, impatient: None) -> None:
    with pytest.raises(SourceError, match="connected, but no picture for 0 s"):
        list(opened(f"http://{LOGIN}@{camera}/broken", fps=0.5).pictures())


def test_a_server_that_ends_or_stalls(camera: str) -> None:
    with pytest.raises(SourceError, match="no connection"):
        list(opened(f"http://{LOGIN}@{camera}/short").pictures())
    with pytest.raises(SourceError, match="connected, but no picture for 1 s"):
        list(opened(f"http://{LOGIN}@{camera}/stall").pictures())


def test_a_credential_of_an_option_is_filled_in(camera: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_LOGIN", base64.b64encode(LOGIN.encode()).decode())
    source = opened(f"http://{camera}/video", options={"headers": "Authorization: Basic ${CAMERA_LOGIN}"})
    assert "mjpeg" in source.describe()
    source.close()


def test_refusals(files: tuple[Path, str], camera: str) -> None:
    folder, url = files
    (folder / "page.html").write_text("<html>no camera</html>" * 100)
    with pytest.raises(LoginRefusedError, match=r"http://\*\*\*@.*refuses the user name or password"):
        opened(f"http://viewer:wr0ng@{camera}/video")
    with pytest.raises(SourceUnusableError, match=r"token=\*\*\*: the server has nothing at this path \(404\)"):
        opened(f"{url}/missing.mp4?token=s3cret")
    with pytest.raises(SourceUnusableError, match="the answer is no video"):
        opened(f"{url}/page.html")
