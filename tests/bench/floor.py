"""The floor: what a frame costs in the plainest loop, with nothing around it. One process, one thread, no Kafka.

    python -m tests.bench.floor CLIP MODEL --transport network|full

Decode the video, encode a JPEG at the size that travels, decode it again at the scale that the network needs,
letterbox and normalise, network, head and NMS. As somebody would write it who knows the packages, and with none of
the service's own code, so that it shares no cost with what it is compared to. JPEG quality, chroma, scaler and the
decoder's flags are the service's: they decide what is found again, and are not what is compared. The model is in
the YOLOv8 layout (1, 4 + classes, boxes), RGB 0..1, padded around the picture.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnxruntime
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

QUALITY = {"network": 90, "full": 90}
STAGES = ("decode video", "encode JPEG", "decode JPEG", "letterbox", "network", "boxes")
NETWORK = "network"
CONFIDENCE, IOU, PAD = 0.25, 0.6, 114
WARM_UP = 10  # frames that are not counted: buffers are made, memory is touched for the first time


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU milliseconds per frame by stage, kernel time included; frames that were counted; boxes found in them."""

    cpu_ms: dict[str, float]
    frames: int
    boxes: int

    @property
    def total(self) -> float:
        """CPU milliseconds per frame."""
        return sum(self.cpu_ms.values())

    @property
    def without_network(self) -> float:
        """CPU milliseconds per frame of everything but the network."""
        return self.total - self.cpu_ms[NETWORK]


def mean(one: Floor, other: Floor) -> Floor:
    """Of two over the same clip."""
    cpu_ms = {stage: (ms + other.cpu_ms[stage]) / 2 for stage, ms in one.cpu_ms.items()}
    return Floor(cpu_ms, one.frames + other.frames, one.boxes + other.boxes)


def measure(clip: Path, model: Path, transport: str = "network", frames: int | None = None) -> Floor:
    """Runs the loop over a clip, or its first `frames` frames."""
    cv2.setNumThreads(1)
    session = _session(model)
    name, (_, _, height, width) = session.get_inputs()[0].name, session.get_inputs()[0].shape
    batch = np.full((1, 3, height, width), PAD / 255, np.float32)
    reformatter = VideoReformatter()
    taken: Counter[str] = Counter()
    boxes = count = 0
    start = time.process_time()
    for frame in _frames(clip):
        decoded = time.process_time()
        scale = min(width / frame.width, height / frame.height)
        fitted = round(frame.width * scale), round(frame.height * scale)
        size = (frame.width, frame.height) if transport == "full" else fitted
        jpeg = _encode(reformatter, frame, size, QUALITY[transport])
        encoded = time.process_time()
        picture = simplejpeg.decode_jpeg(jpeg, "RGB", fastdct=True, min_width=fitted[0], min_height=fitted[1])
        read = time.process_time()
        left, top = (width - fitted[0]) // 2, (height - fitted[1]) // 2
        _letterbox(picture, fitted, batch[0, :, top : top + fitted[1], left : left + fitted[0]])
        filled = time.process_time()
        output = session.run(None, {name: batch})[0][0]
        answered = time.process_time()
        found = _boxes(output, (left, top), scale)
        done = time.process_time()
        if count >= WARM_UP:
            boxes += len(found)
            moments = (start, decoded, encoded, read, filled, answered, done)
            for stage, before, after in zip(STAGES, moments, moments[1:], strict=False):
                taken[stage] += after - before  # type: ignore[assignment]
        count += 1
        if count == frames:
            break
        start = time.process_time()
    counted = max(count - WARM_UP, 1)
    return Floor({stage: taken[stage] / counted * 1000 for stage in STAGES}, counted, boxes)


def _session(model: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _frames(clip: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        yield from container.decode(video=0)


def _encode(reformatter: VideoReformatter, frame: av.VideoFrame, size: tuple[int, int], quality: int) -> bytes:
    """JPEG means BT.601, full range; swscale converts both with the scaling, where they are not that already."""
    matrix = Colorspace.ITU601 if frame.colorspace == Colorspace.ITU709 else None
    yuv = reformatter.reformat(
        frame,
        *size,
        "yuvj420p" if size == (frame.width, frame.height) else "yuvj422p",
        dst_colorspace=matrix,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA,
        threads=1,
    )
    planes = [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in yuv.planes
    ]
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality))


def _letterbox(picture: np.ndarray, fitted: tuple[int, int], into: np.ndarray) -> None:
    """The border around `into` is grey from the start: all frames of a clip are of one size."""
    if picture.shape[1::-1] != fitted:
        picture = cv2.resize(picture, fitted, interpolation=cv2.INTER_LINEAR)
    into[:] = picture.transpose(2, 0, 1)
    into *= np.float32(1 / 255)


def _boxes(output: np.ndarray, offset: tuple[int, int], scale: float) -> np.ndarray:
    """Left, top, width, height, score and class of each object, in pixels of the source."""
    best = output[4:].max(axis=0)
    columns = output[:, best > CONFIDENCE]
    classes = columns[4:].argmax(axis=0)
    rects = columns[:4].T.copy()
    rects[:, :2] -= rects[:, 2:] / 2 + np.float32(offset)
    rects /= np.float32(scale)
    scores = columns[4:].max(axis=0)
    if not len(scores):
        return np.empty((0, 6), np.float32)
    kept = cv2.dnn.NMSBoxesBatched(rects, scores, classes.astype(np.int32), CONFIDENCE, IOU)
    return np.column_stack([rects, scores, classes])[kept]


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description="CPU per frame of the plainest loop")
    parser.add_argument("clip", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--transport", choices=sorted(QUALITY), default="network")
    parser.add_argument("--frames", type=int, help="only so many")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    floor = measure(arguments.clip, arguments.model, arguments.transport, arguments.frames)
    if arguments.json:
        print(json.dumps({"cpu_ms": floor.cpu_ms, "frames": floor.frames, "boxes": floor.boxes, "total": floor.total}))
        return
    for stage, spent in floor.cpu_ms.items():
        print(f"{stage:<14}{spent:7.3f} ms")
    print(f"{'all':<14}{floor.total:7.3f} ms, {floor.without_network:.3f} without the network", end="")
    print(f"; {floor.frames} frames, {floor.boxes} boxes")


if __name__ == "__main__":
    main()
