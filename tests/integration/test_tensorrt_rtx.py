"""Real builds: TensorRT-RTX has TensorRT's parser and builder, and needs no GPU to build for some."""

import threading
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.export.graph_reading import convolutions, last_convolutions, load_model
from engines.export.qdq import quantised
from engines.model import input_spec
from engines.onnx_file import read_onnx
from engines.progress import BuildStopped, Progress
from engines.tensorrt.builder import BuildOptions, Built, build
from engines.tensorrt.graph import Precision, prepare
from engines.tensorrt.library import Library, open_library
from engines.tensorrt.plans import Gpu, Wanted, obtain_plan
from streamer.errors import ModelError
from streamer.models import GROUP, model_path
from streamer.settings import TensorRtSettings
from tests.conftest import need

LAYOUTS = ("yolox_nano", "yolox_nano_as_v5", "yolox_nano_as_v8", "yolox_nano_as_end2end", "FastestDet")
OURS = tuple(sorted(entry_points(group=GROUP).names))
GPUS = ("sm_75", "sm_89", "sm_120")


@pytest.fixture(scope="module")
def library() -> Library:
    need(find_spec("tensorrt_rtx_bindings") is not None, "TensorRT-RTX (pip install '.[rtx]')")
    return open_library(("tensorrt_rtx_bindings",))


def build_file(library: Library, path: Path, precision: Precision = "model", batch: int = 0, **options: Any) -> Built:
    file = read_onnx(path)
    spec = input_spec(file, batch)
    # Little effort: what can be built doesn't depend on it.
    chosen = BuildOptions(**{"best": spec.batch, "most": spec.batch, "effort": 0, "targets": ("sm_89",), **options})
    return build(library, prepare(file, precision).model, spec, chosen, Progress())


def in_8_bits(path: Path, target: Path) -> Path:
    """As `streamer export` writes it, but for the scales, of which a build doesn't depend."""
    model = load_model(path)
    found, last = convolutions(model), last_convolutions(model)
    limits = {node.input[0]: 4.0 for node in found.values()}
    onnx.save(quantised(model, limits, [name for name in found if name not in last]), target)
    return target


def every_pair() -> Iterator[tuple[str, str, str]]:
    """Each layout in each precision and for each GPU, in a third of the builds that there could be; ours as shipped."""
    for row, name in enumerate(LAYOUTS):
        for column, precision in enumerate(("model", "fp16", "int8")):
            yield name, precision, GPUS[(row + column) % len(GPUS)]
    for row, name in enumerate(OURS):
        yield from ((name, precision, GPUS[(row + column) % 3]) for column, precision in enumerate(("model", "fp16")))


@pytest.mark.parametrize(("name", "precision", "gpu"), list(every_pair()))
def test_every_layout_builds_in_every_precision(
    library: Library, shared: Path, tmp_path: Path, name: str, precision: str, gpu: str
) -> None:
    path = model_path(name) if name in OURS else shared / "models" / f"{name}.onnx"
    if precision == "int8":
        path = in_8_bits(path, tmp_path / "int8.onnx")
    built = build_file(library, path, "fp16" if precision == "fp16" else "model", targets=(gpu,))
    assert len(built.plan) > 500_000
    assert built.seconds > 0


def small(path: Path, *nodes: onnx.NodeProto, batch: int | str = "batch") -> Path:
    """A file of a convolution, and what comes behind it, from `convolved` to `answer`."""
    random = np.random.default_rng(0)
    weights = {"weights": random.random((8, 3, 3, 3), np.float32), "shape": np.array([0, 8, -1], np.int64)}
    nodes = nodes or (helper.make_node("Reshape", ["convolved", "shape"], ["answer"]),)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "weights"], ["convolved"], name="first"), *nodes],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"best": 4},
        {"best": 8, "tf32": True, "workspace": 64 * 1024**2, "effort": 5},
        {"best": 1, "hardware": "ampere-plus"},
    ],
)
def test_an_open_batch_gets_a_profile(library: Library, tmp_path: Path, options: dict[str, Any]) -> None:
    assert build_file(library, small(tmp_path / "m.onnx"), batch=8, **options).plan


def in_fp8(path: Path) -> Path:
    """Two convolutions, the second one in FP8, as quantisers write it: Q/DQ with zero points of 0 around it."""
    random = np.random.default_rng(0)
    constants = {"first": random.random((16, 3, 3, 3), np.float32), "second": random.random((16, 16, 3, 3), np.float32)}
    rounded = [
        helper.make_node(kind, [given, "scale", "zero"], [made], name=made)
        for name in ("convolved", "second")
        for kind, given, made in (
            ("QuantizeLinear", name, f"{name}_fp8"),
            ("DequantizeLinear", f"{name}_fp8", f"{name}_rounded"),
        )
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "first"], ["convolved"]),
            *rounded,
            helper.make_node("Conv", ["convolved_rounded", "second_rounded"], ["answer"]),
        ],
        "fp8",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
            numpy_helper.from_array(np.float32(0.1), "scale"),
            helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], [0.0]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    return path


@pytest.mark.parametrize("gpu", ["sm_89", "sm_120"])
def test_fp8_builds_for_gpus_that_have_it(library: Library, tmp_path: Path, gpu: str) -> None:
    assert build_file(library, in_fp8(tmp_path / "m.onnx"), targets=(gpu,)).plan


def test_fp8_is_refused_for_a_gpu_that_has_none(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"TensorRT can't build it: .*sm75.*fp8_e4m3"):
        build_file(library, in_fp8(tmp_path / "m.onnx"), targets=("sm_75",))


def test_a_profile_that_cannot_be_is_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="batches of 1, 16 and 8"):
        build_file(library, small(tmp_path / "m.onnx"), batch=8, best=16)


def test_the_parsers_errors_name_the_node(library: Library, tmp_path: Path) -> None:
    strange = helper.make_node("Unheard", ["convolved"], ["answer"], name="odd_one", domain="some.where")
    with pytest.raises(
        ModelError, match=r"can't take its Unheard node odd_one: .*export the model without it"
    ) as caught:
        build_file(library, small(tmp_path / "m.onnx", strange))
    assert "\n" not in str(caught.value)


def test_what_parses_and_cannot_be_built_is_the_models_fault(library: Library, shared: Path) -> None:
    file = read_onnx(shared / "models" / "yolox_nano_as_end2end.onnx")
    options = BuildOptions(effort=0, targets=("sm_89",))
    with pytest.raises(ModelError, match=r"TensorRT can't build it: building the engine: .*no runners"):
        build(library, file.path.read_bytes(), input_spec(file), options, Progress())


def test_a_build_tells_how_far_it_is_and_can_be_stopped(library: Library, shared: Path) -> None:
    path, progress = shared / "models" / "FastestDet.onnx", Progress()
    file = read_onnx(path)
    phases = {progress.state().phase}

    def watch() -> None:
        while not progress.stopped:
            state = progress.state()  # once: a busy machine can let phases go by between two looks
            phases.add(state.phase)
            if state.share > 0.2:
                progress.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(BuildStopped):
        build(library, path.read_bytes(), input_spec(file), BuildOptions(targets=("sm_89",)), progress)
    watcher.join()
    assert len(phases) > 1
    assert 0.2 < progress.state().share < 1


def test_a_model_is_built_once_and_kept(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Wanted, "options", BuildOptions(effort=0, targets=("sm_89",)))
    file = read_onnx(small(tmp_path / "m.onnx", batch=1))
    settings = TensorRtSettings(cache=tmp_path / "engines")
    wanted = Wanted(library, Gpu("NVIDIA L4", "sm_89"), file, input_spec(file), settings)
    with caplog.at_level("INFO"):
        plan = obtain_plan(wanted)
    assert "builds its engine for NVIDIA L4 sm_89" in caplog.text
    caplog.clear()
    assert obtain_plan(wanted) == plan
    assert not caplog.text
    assert (plan.head, plan.model_name) == (None, "m.onnx")
