"""What the JPEG between producer and worker costs: boxes that are not found again, CPU, bytes.

    python -m tests.bench.jpeg_hop CLIP MODEL [--every N] [--compare] [--truth JSON]

Of the boxes above a score of .3 that a model finds on a clip's decoded frames directly, how many does it find
again at IoU > .9, with the same class, on what the encoder's JPEGs decode to? With --compare also for other scalers
and qualities than the encoder's own. With --truth, the labels of the clip's frames ({"shots": [{"first_frame",
"last_frame", "objects": [{"cls", "xyxy"}]}]}), also AP50, of the frames themselves and behind the service's hop.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import simplejpeg
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from consumers.lanes.decode import decode
from engines.coco import NAMES
from engines.detections import Detections
from engines.detector import Detector, open_detector
from engines.evaluation.average_precision import score
from engines.training.dataset import Dataset
from engines.training.dataset import Picture as Labelled
from producers.colour import Mix
from producers.encoder import Encoder
from producers.picture import Picture
from producers.planes import layout, views
from producers.transform import NetworkInput, fit
from streamer.records.frame import FrameHeader
from streamer.records.identity import FrameId
from streamer.records.stream import StreamDefinition
from streamer.settings import DetectSettings

SURE, SAME = 0.3, 0.9
Encode = Callable[[av.VideoFrame], bytes]


@dataclass(frozen=True, slots=True)
class Hop:
    """found: share of the direct boxes found again. cpu_ms: of encoding, per frame. size: of a JPEG, in bytes."""

    found: float
    cpu_ms: float
    size: float


def frames(clip: Path, every: int = 1) -> list[av.VideoFrame]:
    """Every so manieth frame of a clip."""
    with av.open(str(clip)) as container:
        return [frame for number, frame in enumerate(container.decode(video=0)) if number % every == 0]


def open_sure(model: Path) -> Detector:
    """The detector that decides, down to scores at which a box may still be the same as one above SURE."""
    return open_detector(DetectSettings(model=str(model), confidence=SURE / 3), threads=1)


def direct(detector: Detector, clip: Iterable[av.VideoFrame]) -> list[Detections]:
    """Boxes on the decoded frames themselves."""
    convert = VideoReformatter()
    order = "rgb24" if detector.model.colour == "RGB" else "bgr24"
    shown = (convert.reformat(frame, format=order, dst_color_range=ColorRange.JPEG).to_ndarray() for frame in clip)
    return [detector.detect_pictures([picture])[0] for picture in shown]


def through(detector: Detector, clip: list[av.VideoFrame], encode: Encode, truth: list[Detections]) -> Hop:
    """Boxes on the same frames behind `encode` and the worker's decoder, compared with `truth`."""
    encode(clip[0])
    start = time.process_time()
    jpegs = [encode(frame) for frame in clip]
    cpu = time.process_time() - start
    seen = [detect(detector, jpeg, (frame.width, frame.height)) for jpeg, frame in zip(jpegs, clip, strict=True)]
    counts = np.array([found_again(one, other) for one, other in zip(truth, seen, strict=True)]).sum(0)
    return Hop(counts[0] / counts[1], cpu / len(clip) * 1000, float(np.mean([len(jpeg) for jpeg in jpegs])))


def detect(detector: Detector, jpeg: bytes, source: tuple[int, int]) -> Detections:
    """As the worker does it; boxes in source pixels."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    header = FrameHeader("hop", FrameId(1, 0), 0, 0, width, height, *source, (1, 0, 0, 0, 1, 0))
    picture = decode(jpeg, header, detector.wanted_size(width, height), detector.model.colour)
    batch = detector.new_batch(1)
    placement = detector.prepare(picture, (width, height), batch[0])
    found = detector.detect(batch, [placement])[0]
    scale = np.array([source[0] / width, source[1] / height] * 2, np.float32)
    return Detections(found.boxes * scale, found.scores, found.classes)


def ap50(found: list[Detections], clip: list[av.VideoFrame], truth: Path, every: int) -> float:
    """Mean AP50 over the labelled classes of COCO's 80, boxes in source pixels."""
    shots = json.loads(truth.read_text(encoding="utf-8"))["shots"]
    shown = {number: shot for shot in shots for number in range(shot["first_frame"], shot["last_frame"] + 1)}
    pictures = []
    for index, frame in enumerate(clip):
        objects = shown[index * every]["objects"]
        boxes = np.array([one["xyxy"] for one in objects], np.float32).reshape(-1, 4)
        classes = np.array([NAMES.index(one["cls"]) for one in objects], np.int64)
        ones, crowd = np.ones(len(objects), np.float32), np.zeros(len(objects), bool)
        size = frame.width, frame.height
        pictures.append(Labelled(truth, *size, boxes, classes, ones, crowd, "", index, cast(Any, None)))
    return score(found, Dataset(NAMES, tuple(pictures), (), {})).AP50


def found_again(truth: Detections, seen: Detections) -> tuple[int, int]:
    """How many of the sure boxes of `truth` are in `seen`, and how many there are."""
    sure = truth[truth.scores > SURE]
    same = (overlaps(sure.boxes, seen.boxes) > SAME) & (sure.classes[:, None] == seen.classes)
    return int(same.any(1).sum()), len(sure)


def overlaps(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each of N boxes with each of M: (N, M)."""
    sides = np.minimum(one[:, None, 2:], other[:, 2:]) - np.maximum(one[:, None, :2], other[:, :2])
    shared = np.clip(sides, 0, None).prod(2)
    areas = (one[:, 2:] - one[:, :2]).prod(1)[:, None] + (other[:, 2:] - other[:, :2]).prod(1)
    result: NDArray[np.float32] = shared / (areas - shared)
    return result


def service(detector: Detector, transport: str) -> Encode:
    """The encoder as it is, at its own quality."""
    model = detector.model
    network = NetworkInput(model.width, model.height, model.padding == "stretch")
    encoder = Encoder(StreamDefinition(id="hop", source="x", transport=transport), network)
    return lambda frame: encoder.encode(Picture(frame, 0, 0, 0.0, None, 0, 0)).jpeg


def by_swscale(detector: Detector, name: str, scaler: Interpolation, quality: int) -> Encode:
    """Network size by one of swscale's scalers, in the format `name`."""
    convert, network = VideoReformatter(), (detector.engine.input.width, detector.engine.input.height)
    same = ColorRange.JPEG

    def encode(frame: av.VideoFrame) -> bytes:
        size = fit((frame.width, frame.height), network)
        small = convert.reformat(
            frame, *size, name, interpolation=scaler, src_color_range=same, dst_color_range=same, threads=1
        )
        planes = Mix(layout(frame).meaning).apply(views(small))
        return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality))

    return encode


def by_opencv(detector: Detector, method: int, quality: int) -> Encode:
    """Network size by one of OpenCV's scalers, plane by plane."""
    network = detector.engine.input.width, detector.engine.input.height

    def encode(frame: av.VideoFrame) -> bytes:
        width, height = fit((frame.width, frame.height), network)
        sizes = [(width, height), *[((width + 1) // 2, (height + 1) // 2)] * 2]
        planes = [cv2.resize(p, size, interpolation=method) for p, size in zip(views(frame), sizes, strict=True)]
        mixed = Mix(layout(frame).meaning).apply(planes)
        return bytes(simplejpeg.encode_jpeg_yuv_planes(*mixed, quality=quality))

    return encode


def compare_precision(model: Path, clip: list[av.VideoFrame], truth: Path, every: int) -> None:
    """Prints AP50 of the frames themselves, and behind the service's encoder and the worker's decoder."""
    detector = open_detector(DetectSettings(model=str(model), confidence=0.01), threads=1)
    print(f"AP50 on the frames: {ap50(direct(detector, clip), clip, truth, every):.3f}", flush=True)
    for transport in ("full", "network"):
        encode = service(detector, transport)
        found = [detect(detector, encode(frame), (frame.width, frame.height)) for frame in clip]
        print(f"AP50 behind the service, {transport}: {ap50(found, clip, truth, every):.3f}", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="what the JPEG between producer and worker costs")
    parser.add_argument("clip", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth frame only")
    parser.add_argument("--truth", type=Path, metavar="JSON", help="labels of the clip's frames: AP50 too")
    parser.add_argument("--compare", action="store_true", help="other scalers and qualities too; YUV 4:2:0 clips only")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detector, clip = open_sure(arguments.model), frames(arguments.clip, arguments.every)
    truth = direct(detector, clip)
    if arguments.truth:
        compare_precision(arguments.model, clip, arguments.truth, arguments.every)
    ways = {f"service, {transport}": service(detector, transport) for transport in ("full", "network")}
    if arguments.compare:
        for quality in (85, 90, 95):
            for name in ("yuv420p", "yuv422p", "yuv444p"):
                ways[f"AREA {name}, q{quality}"] = by_swscale(detector, name, Interpolation.AREA, quality)
            for scaler in (Interpolation.BILINEAR, Interpolation.BICUBIC):
                ways[f"{scaler.name} yuv422p, q{quality}"] = by_swscale(detector, "yuv422p", scaler, quality)
            for method in ("INTER_LINEAR", "INTER_AREA"):
                ways[f"cv2 {method}, q{quality}"] = by_opencv(detector, getattr(cv2, method), quality)
    print(f"{len(clip)} frames, {sum(int((t.scores > SURE).sum()) for t in truth)} boxes above {SURE}")
    print(f"{'way':28}{'found again':>12}{'CPU ms':>9}{'kB':>7}")
    for name, encode in ways.items():
        hop = through(detector, clip, encode, truth)
        print(f"{name:28}{hop.found:12.3f}{hop.cpu_ms:9.3f}{hop.size / 1000:7.1f}", flush=True)


if __name__ == "__main__":
    main()
