"""Small clips made on the spot. Every picture has its number in it: its brightness, which any codec keeps."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

DARKEST, STEP, NOISE = 40, 5, 20


def number_of(frame: av.VideoFrame) -> int:
    """Which picture of a made clip this is."""
    luma = frame.planes[0]
    rows = np.frombuffer(luma, np.uint8).reshape(luma.height, luma.line_size)[:, : luma.width]
    return round((float(rows.mean()) - DARKEST) / STEP)


def numbered(count: int, width: int = 64, height: int = 48, pixels: str = "yuv420p") -> Iterator[av.VideoFrame]:
    """At most 31 pictures, each of its own grey, with some noise so that they take room in a file."""
    noise = np.random.default_rng(1).integers(-NOISE, NOISE + 1, (31, height, width))
    for number in range(count):
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = DARKEST + STEP * number + noise[number] - round(noise[number].mean())
        yield av.VideoFrame.from_ndarray(planes, format=pixels)


def write_clip(
    path: Path,
    *,
    counts: Sequence[int] = (30,),
    codec: str = "libx264",
    rate: int = 25,
    stamps: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A clip with one video stream per entry of `counts`; stamps: times of the first stream's pictures in 1/rate s."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        streams = [container.add_stream(codec, rate=rate, options=options or {}) for _ in counts]
        for stream in streams:
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for stream, count in zip(streams, counts, strict=True):
            for number, frame in enumerate(numbered(count, pixels=stream.pix_fmt)):
                frame.pts = stamps[number] if stamps and stream is streams[0] else number
                frame.time_base = Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_grey_clip(path: Path, pictures: int) -> Path:
    """A clip of any length, 320x240 at 25 pictures/s, from black towards white."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        for number in range(pictures):
            picture = np.full((240, 320, 3), number * 255 // pictures, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(video.encode())
    return path


def definition(source: str | Path, **values: object) -> StreamDefinition:
    """A stream of that source."""
    return StreamDefinition.model_validate({"id": "test", "source": str(source), **values})


def quick_settings(**values: object) -> ProduceSettings:
    """Settings that don't keep a test waiting."""
    return ProduceSettings.model_validate(
        {
            "stall_timeout_s": 1,
            "connect_timeout_s": 2,
            "reconnect_min_s": 0.05,
            "reconnect_max_s": 0.2,
            **values,
        }
    )
