"""`streamer detect`: a worker."""

import argparse

from streamer.commands.common import add_settings_option, settings_for

HELP = "run one worker of a pipeline: frames in, detections out"
EXAMPLES = (
    "streamer detect --model yolov8n.onnx                       start it N times for N replicas",
    "streamer detect --model yolov8n.onnx --classes person,car --confidence 0.4",
    "streamer detect --model other.onnx --pipeline candidate    the same frames through another model",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options; each is the setting of the same name in section [detect]."""
    add_settings_option(parser)
    parser.add_argument("--model", metavar="FILE", help="ONNX file")
    parser.add_argument("--pipeline", metavar="NAME", help="whose worker this is (default: main)")
    parser.add_argument("--engine", metavar="NAME", help="onnxruntime (default), openvino or an installed one")
    parser.add_argument("--head", metavar="NAME", help="output layout, if it is not found out from the file")
    parser.add_argument("--padding", choices=("auto", "centre", "top-left"), help="of the letterbox")
    parser.add_argument("--confidence", type=float, metavar="P", help="least score of an object (default: 0.25)")
    parser.add_argument("--iou", type=float, metavar="R", help="overlap from which two boxes are one (default: 0.45)")
    parser.add_argument("--classes", metavar="A,B", help="names of the classes wanted (default: all)")
    parser.add_argument("--agnostic-nms", action="store_true", default=None, help="NMS across classes")
    parser.add_argument("--sessions", type=int, metavar="N", help="inferences side by side (default: one per core)")
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
    "engine",
    "head",
    "padding",
    "confidence",
    "iou",
    "agnostic_nms",
    "sessions",
    "session_threads",
    "batch",
    "transactions",
    "allow_upscale",
)


def run(arguments: argparse.Namespace) -> int:
    """Runs until told to stop; 0 then."""
    from consumers.worker import Worker
    from streamer.errors import UsageError
    from streamer.lifecycle import instance_name, stop_on_signals
    from streamer.telemetry.logs import configure_logging
    from streamer.telemetry.server import TelemetryServer

    detect = {name: getattr(arguments, name) for name in _DETECT}
    detect["classes"] = tuple(filter(None, arguments.classes.split(","))) if arguments.classes else None
    settings = settings_for(arguments, {"detect": detect, "telemetry": {"port": arguments.port}})
    if not settings.detect.model:
        raise UsageError("which model? --model FILE, or detect.model in the settings")
    configure_logging(settings.telemetry)
    stopping = stop_on_signals()
    worker = Worker(settings, instance_name(settings.kafka))
    server = TelemetryServer(settings.telemetry, lambda: worker.not_ready)
    server.start()
    try:
        worker.run(stopping, arguments.replace_model)
    finally:
        server.close()
    return 0
