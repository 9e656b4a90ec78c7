"""`streamer engine`: engines of TensorRT, built ahead, looked into, kept in order, compared."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option
from streamer.commands.parser import number

if TYPE_CHECKING:
    from streamer.settings import Settings

HELP = "build, inspect, check and compare TensorRT engines for this machine's GPU"
EXAMPLES = (
    "streamer engine build street.onnx --batch 32",
    "streamer engine build street.onnx --batch 32 --precision fp16",
    "streamer engine inspect street.onnx --batch 32        layers, number formats, sizes",
    "streamer engine list",
    "streamer engine prune --unused 30",
    "streamer engine verify street.onnx                    the boxes of CPU and GPU side by side, in drawn streets",
    "streamer engine verify street.onnx pictures/          in pictures of your own",
    "streamer engine verify street.onnx pictures/ --whole --iou 0.9     decoding and NMS on the GPU, too",
    "streamer engine bench street.onnx --batch 32          beside the bare TensorRT loop",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    for name, action, text in (
        ("build", _build, "build a model's engine into the cache, so that no worker has to"),
        ("inspect", _inspect, "layers of a model's engine, their number formats and sizes"),
        ("list", _list, "what is in the cache"),
        ("prune", _prune, "remove engines that can't be used any more"),
        ("verify", _verify, "run a model on CPU and GPU on the same pictures; exit status 1 if the boxes differ"),
        ("bench", _bench, "frames per second of a model's engine, and of the bare TensorRT loop"),
    ):
        subparser = actions.add_parser(name, help=text)
        subparser.set_defaults(action=action)
        _add_arguments(subparser, name)
        add_settings_option(subparser)


def _add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    if action not in ("list", "prune"):
        parser.add_argument("model", metavar="MODEL", help="ONNX file of a detector")
        parser.add_argument("--batch", type=int, metavar="N", help="most frames per inference (default: detect.batch)")
    if action in ("build", "inspect"):
        parser.add_argument("--precision", choices=("model", "fp16"), help="default: tensorrt.precision (model)")
    if action in ("inspect", "list", "bench"):
        parser.add_argument("--json", action="store_true", help="one JSON object")
    if action == "prune":
        parser.add_argument("--unused", type=number(0), metavar="DAYS", help="those not used for so long, too")
        parser.add_argument("--all", action="store_true", help="all of them")
    if action == "verify":
        parser.add_argument(
            "pictures",
            nargs="*",
            type=Path,
            metavar="PICTURES",
            help="JPEG or PNG files, or folders (default: drawn streets, the same each time)",
        )
        parser.add_argument("--engine", default="tensorrt", metavar="NAME", help="compared with it (tensorrt)")
        parser.add_argument("--reference", default="onnxruntime", metavar="NAME", help="what is right (onnxruntime)")
        parser.add_argument(
            "--whole", action="store_true", help="all that a worker does from the JPEG on, not the network only"
        )
        parser.add_argument("--iou", type=number(0, 1), default=0.99, metavar="R", help="least overlap of a box (0.99)")
    if action == "bench":
        parser.add_argument("--seconds", type=number(0), default=5, metavar="S", help="per way (default: 5)")


def run(arguments: argparse.Namespace) -> int:
    """0, or 1 where engines disagree."""
    status: int = arguments.action(arguments)
    return status


def _settings(arguments: argparse.Namespace) -> "Settings":
    """Those of the file, with what is given on the command line."""
    from streamer.settings import load

    batch, precision = getattr(arguments, "batch", None), getattr(arguments, "precision", None)
    return load(arguments.config, {"detect": {"batch": batch}, "tensorrt": {"precision": precision}})


def _build(arguments: argparse.Namespace) -> int:
    from engines.tensorrt.ahead import build_ahead

    print(build_ahead(arguments.model, _settings(arguments)))
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from engines.tensorrt.ahead import inspect_engine
    from engines.tensorrt.layers import as_json, as_text

    layers = inspect_engine(arguments.model, _settings(arguments))
    print(as_json(layers) if arguments.json else as_text(layers))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from engines.tensorrt.catalogue import as_json, as_text
    from engines.tensorrt.plans import open_plan_cache

    cache = open_plan_cache(_settings(arguments).tensorrt)
    entries = cache.entries()
    print(as_json(entries) if arguments.json else as_text(cache.folder.path, entries))
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from engines.tensorrt.catalogue import prune
    from engines.tensorrt.plans import open_plan_cache

    cache = open_plan_cache(_settings(arguments).tensorrt)
    for line in prune(cache, arguments.unused, arguments.all):
        print(line)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from engines.tensorrt.drawn import drawn_streets
    from engines.tensorrt.verify import verify

    settings = _settings(arguments).detect.model_copy(update={"model": arguments.model})
    with ExitStack() as wanted:
        pictures = arguments.pictures or [wanted.enter_context(drawn_streets())]
        found = verify(settings, arguments.engine, arguments.reference, pictures, arguments.whole)
    print(found.as_text(arguments.iou))
    return 0 if found.agree(arguments.iou) else 1


def _bench(arguments: argparse.Namespace) -> int:
    from engines.tensorrt.bench import bench

    found = bench(arguments.model, _settings(arguments), arguments.seconds)
    print(found.as_json() if arguments.json else found.as_text())
    return 0
