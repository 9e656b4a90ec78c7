"""Whether the GPU finds what the CPU finds: box by box where numbers are the same, else by average precision."""

from dataclasses import asdict
from typing import Any

from engines.evaluation.average_precision import score
from engines.evaluation.candidate import open_candidate
from engines.evaluation.classes import share
from engines.evaluation.evaluate import evaluate
from engines.jpeg_detector import Damaged, Frame
from engines.tensorrt.detector import GpuDetector
from engines.tensorrt.verify import verify
from tests.bench.gpu.material import BY_GPU, Material, precision
from tests.on_gpu import Decoded, detect_jpegs

_EVERY_BOX: dict[str, Any] = {"confidence": 0.001, "max_objects": 300}
FP16_LOSS, INT8_LOSS, JPEG_LOSS = 0.003, 0.01, 0.01
ALIKE = 0.99


def same_boxes(material: Material, pictures: int = 100) -> dict[str, Any]:
    """FP32 with TF32 off: each box of ONNX Runtime's has one of TensorRT's at an IoU above .99."""
    files = [picture.path for picture in material.labelled.pictures[:pictures]]
    found = verify(material.settings(), "tensorrt", "onnxruntime", files)
    return {"figures": found.as_text(ALIKE).splitlines()[-1], "holds": {f"all IoU > {ALIKE}": found.agree(ALIKE)}}


def reduced_precision(material: Material) -> dict[str, Any]:
    """AP50 of FP16 and INT8 engines beside ONNX Runtime's of the same file."""
    figures: dict[str, float] = {}
    holds: dict[str, bool] = {}
    for name, file, kind, allowed in (
        ("fp16", "fp32", "fp16", FP16_LOSS),
        ("int8", "int8", "model", INT8_LOSS),
    ):
        if not material.model(file).exists():
            holds[f"{name}: {material.model(file)} is there"] = False
            continue
        with precision(kind):
            found, expected = _both(material, file)
        figures |= {name: found, f"{name} in ONNX Runtime": expected}
        holds[f"{name}: AP50 within {allowed}"] = abs(found - expected) <= allowed
    return {"figures": figures, "holds": holds}


def _both(material: Material, file: str) -> tuple[float, float]:
    names = material.labelled.names
    candidates = [open_candidate(material.settings(file, engine), names) for engine in ("tensorrt", "onnxruntime")]
    found, expected = evaluate(candidates, material.labelled, timed=0)
    for candidate in candidates:
        candidate.close()
    return found.AP50, expected.AP50


def from_jpeg(material: Material) -> dict[str, Any]:
    """AP50 from JPEG to boxes on the GPU, beside the worker's way on the CPU."""
    dataset = material.labelled
    reference = open_candidate(material.settings(engine="onnxruntime"), dataset.names)
    [expected] = evaluate([reference], dataset, timed=0)
    reference.close()
    detector = material.gpu_detector(**_EVERY_BOX)
    shared = share(detector.model.path.name, detector.model.classes, dataset.names)
    frames = [Frame(picture.file.read(), picture.width, picture.height) for picture in dataset.pictures]
    decoded = Decoded()
    boxes = detect_jpegs(detector, frames, decoded)
    found_in = [one for one in boxes if not isinstance(one, Damaged)]
    found = score([shared.renumbered(one) for one in found_in], dataset) if not decoded.damaged else None
    detector.close()
    ap50 = found.AP50 if found else 0.0
    return {
        "figures": {"gpu": ap50, "cpu": expected.AP50, "pictures": len(frames), "decoded": asdict(decoded)},
        "holds": {f"AP50 within {JPEG_LOSS}": abs(ap50 - expected.AP50) <= JPEG_LOSS, BY_GPU: decoded.by_gpu},
    }


def repeatable(detector: GpuDetector, frames: list[Frame]) -> bool:
    """Whether the same frames give the same boxes, to the last bit: races would show as differences."""
    first, second = detect_jpegs(detector, frames), detect_jpegs(detector, frames)
    return all(
        not isinstance(one, Damaged) and not isinstance(other, Damaged) and one.boxes.tobytes() == other.boxes.tobytes()
        for one, other in zip(first, second, strict=True)
    )
