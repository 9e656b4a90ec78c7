"""The kernels on a real GPU: what they give on a CPU, they give here, to the last bit but for exp() and its like."""

import numpy as np
import pytest

from engines.detections import Detections
from engines.model import Colour
from engines.tensorrt import pictures as table
from engines.tensorrt import postprocess as post
from engines.tensorrt.device import Device
from tests.gpu.rig import OnGpu
from tests.kernels import test_boxes as boxes
from tests.kernels import test_letterbox as letterboxes
from tests.kernels.on_cpu import whole_pictures


@pytest.mark.parametrize("size", letterboxes.SIZES)
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_letterbox(device: Device, size: tuple[int, int], colour: Colour, dtype: type) -> None:
    info, given = letterboxes.model("centre", colour, 1 / 255), letterboxes.picture(*size)
    rows = np.zeros(2, table.PICTURE)
    table.write_picture(rows, 0, table.Pixels(0, 3 * size[0], *size), size, info.letterbox)
    table.write_border(rows[1:])

    tensor = OnGpu(device).letterbox(rows, [given], letterboxes.spec(dtype, 2), info)

    np.testing.assert_array_equal(tensor[0], letterboxes.on_cpu(info, given, size, dtype))
    assert len(np.unique(tensor[1])) == 1


@pytest.mark.parametrize("colours", table.Colours)
@pytest.mark.parametrize("size", letterboxes.NV12_SIZES)
def test_letterbox_of_nv12(device: Device, size: tuple[int, int], colours: table.Colours) -> None:
    info, rows = letterboxes.model("centre", "RGB", 1.0), np.zeros(1, table.PICTURE)
    luma, chroma = letterboxes.nv12(*size)
    table.write_picture(rows, 0, table.Pixels(0, size[0], *size, 0, size[0], colours), size, info.letterbox)

    [tensor] = OnGpu(device).letterbox(rows, [luma], letterboxes.spec(), info, [chroma])

    letterboxes.as_from_rgb(tensor, info, letterboxes.rgb(luma, chroma, colours))


def nearly_same(found: list[Detections], expected: list[Detections]) -> None:
    """Where exp() rounds otherwise, two boxes may change places, and one may suppress another or not."""
    for one, other in zip(found, expected, strict=True):
        alike = one.classes[:, None] == other.classes
        alike &= np.isclose(one.scores[:, None], other.scores, rtol=1e-5)
        alike &= np.isclose(one.boxes[:, None], other.boxes, rtol=1e-4, atol=1e-3).all(2)
        for part in (alike.any(0), alike.any(1)):
            assert part.mean() > 0.98


@pytest.mark.parametrize("layout", boxes.LAYOUTS)
@pytest.mark.parametrize("pictures", [1, 32])
@pytest.mark.parametrize("again", range(3))
def test_boxes(device: Device, layout: str, pictures: int, again: int) -> None:
    answer = boxes.answers(layout, pictures, np.random.default_rng(again))
    head, selection = boxes.head_of(layout, answer), boxes.select(boxes.PER_CLASS, 0.6, False, 300)
    how = post.reading(head, answer.shape)
    assert how is not None
    rows = whole_pictures(pictures, boxes.SIZE, boxes.SIZE)

    found = OnGpu(device).boxes(answer, how, selection.thresholds, rows, 0.6, 300)

    expected = boxes.on_cpu(answer, head, selection)
    if layout in boxes.ROUNDED:
        nearly_same(found, expected)
    else:
        boxes.same(found, expected)


def test_more_candidates_than_compete(device: Device) -> None:
    answer = boxes.answers("yolov8", 4, np.random.default_rng(9))
    answer[:, 4] = np.round(np.random.default_rng(2).uniform(0.3, 1, answer[:, 4].shape), 2)
    head, selection = boxes.head_of("yolov8", answer), boxes.select([0.25] * boxes.CLASSES, 0.99, False, 300)
    how = post.reading(head, answer.shape)
    assert how is not None
    rows = whole_pictures(4, boxes.SIZE, boxes.SIZE)
    found = OnGpu(device).boxes(answer, how, selection.thresholds, rows, 0.99, 300)
    boxes.same(found, boxes.on_cpu(answer, head, selection))
