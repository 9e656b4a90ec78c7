"""What an ONNX file says of itself, and what is said of one that can't be read."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper

from engines.onnx_file import read_onnx
from streamer.errors import ModelError
from tests.unit.networks import constant_network, rows, save


def test_reads_what_is_written(tmp_path: Path) -> None:
    answers = {"boxes": rows(count=84, width=6), "more": rows(count=2, width=3)}
    path = constant_network(tmp_path / "m.onnx", answers, ("batch", 3, 64, 32), {"names": "['a', 'ö']"})

    file = read_onnx(path)

    assert str(file.inputs[0]) == "images float32 batchx3x64x32"
    assert [str(output) for output in file.outputs] == ["boxes float32 batchx84x6", "more float32 batchx2x3"]
    assert (file.producer, file.opsets, file.metadata) == ("tests", {"": 13}, {"names": "['a', 'ö']"})
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (file.size, file.precision, file.foreign_operators) == (path.stat().st_size, "fp32", [])
    assert file.operators["", "Reshape"] == 2


def test_weights_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", {"boxes": rows(count=84, width=6)})
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("exponent", TensorProto.FLOAT, [1]))
    onnx.save(model, path)

    assert [spec.name for spec in read_onnx(path).inputs] == ["images"]


def test_weights_in_another_file_count(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", {"boxes": rows(count=84, width=6)})
    inside = read_onnx(path)
    model = onnx.load(path)
    external_data_helper.convert_model_to_external_data(model, location="m.weights", size_threshold=100)
    onnx.save(model, path)

    outside = read_onnx(path)

    assert outside.weight_bytes == inside.weight_bytes
    assert outside.size == path.stat().st_size + (tmp_path / "m.weights").stat().st_size
    before = outside.sha256
    weights = bytearray((tmp_path / "m.weights").read_bytes())
    weights[0] ^= 1
    (tmp_path / "m.weights").write_bytes(weights)
    assert read_onnx(path).sha256 != before
    (tmp_path / "m.weights").unlink()
    with pytest.raises(ModelError, match=r"weights can't be read from m\.weights"):
        read_onnx(path)


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = constant_network(folder / "m.onnx", {"boxes": rows(count=84, width=6)})
    model = onnx.load(path)
    external_data_helper.set_external_data(model.graph.initializer[1], "../secret")
    model.graph.initializer[1].ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    (tmp_path / "secret").write_bytes(bytes(3000))

    with pytest.raises(ModelError, match=r"outside of its folder"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"# Models\n", "not an ONNX file"),
        (b"PK\x03\x04 and so on", "PyTorch or zip file"),
        (b"\x80\x02}q\x00", "PyTorch or zip file"),
        (b"\xff\xd8\xff\xe0 a JPEG", "not an ONNX"),
        (b"\x08\x07\x12\x05tests", "no graph"),
        (b"\x08\x07\x3a\xff\xff\xff\x7f", "damaged"),
        (b"\x08" + b"\xff" * 12, "damaged"),
        (bytes(100), "not an ONNX file"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as raised:
        read_onnx(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_onnx(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        read_onnx(tmp_path)


def test_cut_off_anywhere(tmp_path: Path) -> None:
    whole = constant_network(tmp_path / "whole.onnx", {"boxes": rows(count=84, width=6)}).read_bytes()
    path = tmp_path / "m.onnx"
    for size in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:size])
        try:
            read_onnx(path)
        except ModelError:
            continue
        # What is left may be a whole file by chance, if the cut is behind the graph.
        assert onnx.load(path).graph.output


@pytest.mark.parametrize(
    ("kinds", "operators", "precision"),
    [
        ((np.float32,), ("Relu",), "fp32"),
        ((np.float16, np.int64), ("Relu",), "fp16"),
        ((np.float32, np.int8), ("QuantizeLinear", "DequantizeLinear"), "int8 QDQ"),
        ((np.float32, np.int8), ("DynamicQuantizeLinear", "ConvInteger"), "int8 dynamic"),
    ],
)
def test_precision(tmp_path: Path, kinds: tuple[type, ...], operators: tuple[str, ...], precision: str) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    nodes = [helper.make_node(name, ["x"], [f"y{number}"]) for number, name in enumerate(operators)]
    weights = [onnx.numpy_helper.from_array(np.ones(50, kind), f"w{n}") for n, kind in enumerate(kinds)]
    save(helper.make_graph(nodes, "g", [value], [value], weights), tmp_path / "m.onnx")

    assert read_onnx(tmp_path / "m.onnx").precision == precision


def test_operators_of_others(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    nodes = [
        helper.make_node("Magic", ["x"], ["y"], domain="acme"),
        helper.make_node("Twice", ["x"], ["z"], domain="own"),
    ]
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 13)]
    )
    opsets = [helper.make_opsetid("acme", 1), helper.make_opsetid("own", 1)]
    save(helper.make_graph(nodes, "g", [value], [value]), tmp_path / "m.onnx", opsets=opsets, functions=[twice])

    assert read_onnx(tmp_path / "m.onnx").foreign_operators == ["acme.Magic"]
