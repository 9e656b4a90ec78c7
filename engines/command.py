"""`streamer model`: what a model file is, and how we would use it."""

import argparse
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option

if TYPE_CHECKING:
    from engines.inspection import Inspection

HELP = "look into a model file"
EXAMPLES = (
    "streamer model inspect yolo11n.onnx",
    "streamer model inspect yolox_s.onnx --head yolox --json",
    "streamer model inspect yolo11n_int8.onnx --engine openvino      what it costs in another engine",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    inspect = actions.add_parser("inspect", help="what it holds, how its outputs are read, what a picture costs")
    inspect.add_argument("file", metavar="FILE", help="ONNX file of a detector")
    inspect.add_argument("--engine", metavar="NAME", help="default: detect.engine of the settings (onnxruntime)")
    inspect.add_argument("--head", metavar="NAME", help="output layout, where it isn't recognised")
    inspect.add_argument("--padding", choices=("auto", "centre", "top-left"), help="of the letterbox")
    inspect.add_argument("--json", action="store_true", help="one JSON object")
    add_settings_option(inspect)


def run(arguments: argparse.Namespace) -> int:
    """Prints what the file is."""
    from engines.inspection import inspect
    from streamer.settings import load

    # Kafka and Redis have no part in this, so their addresses are not looked for. Neither have the settings about
    # classes: they may be for another model.
    settings = load(arguments.config).detect
    chosen = {"engine": arguments.engine, "head": arguments.head, "padding": arguments.padding}
    changes = {key: value for key, value in chosen.items() if value is not None}
    whole = {"model": arguments.file, "classes": (), "class_confidence": {}}
    found = inspect(settings.model_copy(update=changes | whole))
    print(_json(found) if arguments.json else _text(found))
    return 0


def _json(found: "Inspection") -> str:
    import orjson

    return orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2).decode()


def _text(found: "Inspection") -> str:
    file, model, detector = found.file, found.detector.model, found.detector
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in file.opsets.items())
    named = {"file": "named in the file", "COCO": "the file names none: COCO's", "number": "the file names none"}
    batch = f"{'always' if detector.engine.input.fixed_batch else 'any number, here'} {detector.batch}"
    limit = round(255 * model.factor)
    lines = {
        "file": f"{file.path}, {file.size / 1e6:.1f} MB",
        "sha256": file.sha256,
        "made by": file.producer or "not said",
        "opset": opsets,
        "precision": f"{file.precision}, {sum(file.operators.values())} operators",
        "input": ", ".join(map(str, file.inputs)),
        "outputs": ", ".join(map(str, file.outputs)),
        "pictures": f"{model.width}x{model.height} {model.colour} 0..{limit}, padding {model.padding}",
        "batch": f"{batch} per inference",
        "head": f"{model.head}: {model.reason}",
        "objects": f"from a confidence of {model.confidence:g} on",
        "NMS": _nms(found),
        "classes": f"{len(model.classes)} ({named[model.named_by]}): {', '.join(model.classes)}",
        "metadata": ", ".join(key for key in file.metadata) or "none",
        "cost": f"{found.network_cpu_ms:.1f} ms CPU per picture on one thread, {detector.engine.name} "
        f"{detector.engine.version}",
    }
    return "\n".join(f"{key:<10} {value}" for key, value in lines.items())


def _nms(found: "Inspection") -> str:
    detector = found.detector
    if detector.iou is None:
        return "in the file" if ("", "NonMaxSuppression") in found.file.operators else "none needed"
    which = "boxes of any classes" if detector.selection.agnostic else "one class's boxes"
    return f"of {which} that overlap by more than {detector.iou:g}"
