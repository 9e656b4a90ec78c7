"""`streamer detect`: a worker."""

import argparse
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option, settings_for
from streamer.commands.model_options import NAMES, add_model_options, class_names

if TYPE_CHECKING:
    from streamer.settings import Settings

HELP = "run one worker of a pipeline: frames in, detections out"
EXAMPLES = (
    "streamer detect --model yolov8n.onnx                       start it N times for N replicas",
    "streamer detect --model yolov8n.onnx --classes person,car --confidence 0.4",
    "streamer detect --model other.onnx --pipeline candidate    the same frames through another model",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options; each is the setting of the same name in section [detect]."""
    add_settings_option(parser)
    parser.add_argument("--model", metavar="FILE", help="an ONNX file, or a shipped one's name (default: street-wide)")
    parser.add_argument("--pipeline", metavar="NAME", help="whose worker this is (default: main)")
    add_model_options(parser)
    parser.add_argument("--agnostic-nms", action="store_true", default=None, help="NMS across classes")
    parser.add_argument(
        "--sessions", type=int, metavar="N", help="inferences side by side (default: one per core, two on a GPU)"
    )
    parser.add_argument("--session-threads", type=int, metavar="N", help="cores per inference (default: 1)")
    parser.add_argument("--batch", type=int, metavar="N", help="frames per inference (default: the model's)")
    parser.add_argument(
        "--no-transactions",
        dest="transactions",
        action="store_false",
        default=None,
        help="at least once: cheaper, but a crash may double results",
    )
    parser.add_argument(
        "--allow-upscale", action="store_true", default=None, help="take pictures smaller than the model needs"
    )
    parser.add_argument(
        "--replace-model", action="store_true", help="give the pipeline this model; workers with another leave"
    )
    parser.add_argument("--port", type=int, metavar="N", help="for /metrics, /healthz and /readyz; 0: a free one")


_DETECT = (
    "model",
    "pipeline",
    *NAMES,
    "agnostic_nms",
    "sessions",
    "session_threads",
    "batch",
    "transactions",
    "allow_upscale",
)


def check(settings: "Settings") -> None:
    """For whoever is about to start workers, or wonders whether they would start: what can be told in a moment.

    Raises:
        UsageError: no worker could run with these settings' model.
    """
    from engines.checking import check_model

    check_model(settings.detect)


def run(arguments: argparse.Namespace) -> int:
    """Runs until told to stop; 0 then."""
    from consumers.worker import Worker
    from streamer.errors import UsageError
    from streamer.lifecycle import instance_name, stop_on_signals
    from streamer.memory import give_back, settle, share_heaps
    from streamer.telemetry.logs import configure_logging
    from streamer.telemetry.server import TelemetryServer

    detect = {name: getattr(arguments, name) for name in _DETECT}
    detect["classes"] = class_names(arguments)
    settings = settings_for(arguments, {"detect": detect, "telemetry": {"port": arguments.port}})
    if not settings.detect.model:
        raise UsageError("which model? --model FILE, or detect.model in the settings")
    configure_logging(settings.telemetry)
    share_heaps()
    stopping = stop_on_signals()
    give_back(stopping)
    worker = Worker(settings, instance_name(settings.kafka))
    server = TelemetryServer(settings.telemetry, lambda: worker.not_ready)
    server.start()
    try:
        worker.run(stopping, arguments.replace_model, started=settle)
    finally:
        server.close()
    return 0
