"""Makes what tests/bench/gpu measures with.

    python -m tests.gpu.material TARGET
    python -m tests.gpu.material --model FP32.onnx [--int8 INT8.onnx] --clip CLIP_OF_720P --labelled DATASET TARGET

Without more than a target, frames and labelled pictures are drawn streets, and the models are the shipped ones.
DATASET: a folder in COCO's format with a part called val. Made where there are clips, and carried to a GPU machine.
"""

import argparse
import json
import shutil
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import av
import onnx
import simplejpeg
from onnx import numpy_helper

from engines.training.dataset import read_dataset
from producers.sources.synthetic import street_frame
from producers.street import Street
from producers.street_dataset import Wanted, write_dataset
from streamer.models import model_path

FRAMES, QUALITY, SIZE = 220, 80, (1280, 720)
_LABELLED = 400  # pictures, spread over all of them
_APART = 5  # of drawn frames one is taken, so that they differ


def open_batch(source: Path, target: Path) -> None:
    """The model taking any number of pictures. Where a shape says 1 picture, it says as many as come."""
    model = onnx.load(str(source))
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants:
            tensor = constants[node.input[1]]
            shape = numpy_helper.to_array(tensor).copy()
            if shape[0] == 1:
                shape[0] = 0
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def write_frames(clip: Path, folder: Path) -> int:
    """Those of a clip; see write_different."""
    with av.open(str(clip)) as container:
        return write_different(container.decode(video=0), folder)


def write_different(frames: Iterable[av.VideoFrame], folder: Path) -> int:
    """Different frames as baseline JPEGs, 4:2:0; how many there are."""
    folder.mkdir(parents=True)
    seen: set[bytes] = set()
    for frame in frames:
        picture = frame.reformat(*SIZE, format="rgb24").to_ndarray()
        jpeg = simplejpeg.encode_jpeg(picture, QUALITY, "RGB", "420")
        if jpeg not in seen:
            (folder / f"{len(seen):04}.jpg").write_bytes(jpeg)
            seen.add(jpeg)
        if len(seen) == FRAMES:
            break
    return len(seen)


def draw(target: Path) -> tuple[int, int]:
    """All of it without a clip or a data set; how many frames and labelled pictures there are."""
    for name, shipped in (("fp32", "street"), ("int8", "street-int8")):
        shutil.copy(model_path(shipped), target / "models" / f"{name}.onnx")
    write_dataset(target / "labelled", Wanted(pictures=0, val=_LABELLED))
    street = Street(SIZE, seed=1)
    every = count(0, _APART)
    return write_different((street_frame(street, index) for index in every), target / "frames"), _LABELLED


def write_labelled(source: Path, folder: Path) -> int:
    """Part of a data set as COCO's JSON with its pictures; how many there are."""
    dataset = read_dataset(source, "val")
    (folder / "images").mkdir(parents=True)
    images, marks = [], []
    step = max(1, len(dataset.pictures) // _LABELLED)
    for number, picture in enumerate(dataset.pictures[::step]):
        (folder / "images" / f"{number}.jpg").write_bytes(picture.file.read())
        size = {"width": picture.width, "height": picture.height}
        images.append({"id": number, "file_name": f"images/{number}.jpg", **size})
        for box, kind, crowd in zip(picture.boxes.tolist(), picture.classes.tolist(), picture.crowd, strict=True):
            left, top, right, bottom = box
            place = [left, top, right - left, bottom - top]
            mark = {"id": len(marks), "image_id": number, "category_id": kind, "bbox": place, "iscrowd": int(crowd)}
            marks.append(mark | {"area": place[2] * place[3]})
    categories = [{"id": number, "name": name} for number, name in enumerate(dataset.names)]
    listing = {"images": images, "annotations": marks, "categories": categories}
    (folder / "val.json").write_text(json.dumps(listing), encoding="utf-8")
    return len(images)


def take(given: argparse.Namespace) -> tuple[int, int]:
    """All of it from the files that are named; how many frames and labelled pictures there are."""
    open_batch(given.model, given.target / "models" / "fp32.onnx")
    if given.int8:
        open_batch(given.int8, given.target / "models" / "int8.onnx")
    frames = write_frames(given.clip, given.target / "frames")
    return frames, write_labelled(given.labelled, given.target / "labelled")


def main() -> None:
    """Makes all of it anew."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.material")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--int8", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--labelled", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    named = [each is not None for each in (given.model, given.clip, given.labelled)]
    if any(named) and not all(named):
        parser.error("--model, --clip and --labelled go together; without all three, all is drawn")
    shutil.rmtree(given.target, ignore_errors=True)
    (given.target / "models").mkdir(parents=True)
    frames, pictures = take(given) if all(named) else draw(given.target)
    size = sum(file.stat().st_size for file in given.target.rglob("*") if file.is_file())
    print(f"{given.target}: {frames} frames, {pictures} labelled pictures, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
