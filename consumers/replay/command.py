"""`streamer replay`: frames that are still retained, once more."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option, settings_for
from streamer.commands.model_options import NAMES, add_model_options, class_names

if TYPE_CHECKING:
    from consumers.replay.span import Span
    from streamer.settings import DetectSettings, Settings

HELP = "retained frames once more: for a pipeline aside, or to compare a model with the one in service"
EXAMPLES = (
    "streamer replay --stream gate --from 10m --to-pipeline again            the last ten minutes, for other workers",
    "streamer replay --stream gate --from 2026-11-23T07:00 --to 07:10 --to-pipeline again",
    "streamer replay --stream gate --from 5m --model new.onnx --report new   against what is in service",
    "streamer replay --stream gate --model new.onnx --baseline old.onnx --report new_old",
)
_FOR_REPORTS = ("baseline", "pipeline", "overwrite", "pictures", "allow_upscale", "classes", *NAMES)
_PICTURES = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("--stream", required=True, metavar="NAME", help="whose frames")
    when = "10m, 2h (ago), 2026-01-31T12:00, 07:10 (today) or EPOCH-SEQUENCE"
    add("--from", dest="begin", metavar="TIME", help=f"captured then or later: {when}; default: all")
    add("--to", dest="end", metavar="TIME", help="before then, or up to that frame; default: now")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to-pipeline", metavar="NAME", help="copy them to topics of their own, replay.NAME.*")
    where.add_argument("--report", type=Path, metavar="FOLDER", help="compare --model with what is in service")
    add("--model", metavar="FILE", help="the candidate: an ONNX file, or a shipped one's name")
    add("--baseline", metavar="FILE", help="compare with this model rather than with the results in service")
    add("--pipeline", metavar="NAME", help="in service; default: detect.pipeline of the settings (main)")
    add("--pictures", type=int, metavar="N", help=f"of the worst disagreements; 0: none (default: {_PICTURES})")
    add("--overwrite", action="store_true", default=None, help="replace the report that is in the folder")
    add("--allow-upscale", action="store_true", default=None, help="take pictures smaller than a model needs")
    add_model_options(parser)
    add_settings_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Does what the arguments say."""
    from consumers.replay.span import parse_span
    from streamer.records import check_name

    _check(arguments)
    check_name(arguments.stream, "stream")
    span = parse_span(arguments.begin, arguments.end, time.time())
    if arguments.to_pipeline:
        return _copy(arguments, settings_for(arguments), span)
    return _report(arguments, span)


def _check(arguments: argparse.Namespace) -> None:
    from streamer.errors import UsageError

    if arguments.report and not arguments.model:
        raise UsageError("which model is to be compared with the one in service? --model FILE")
    if arguments.pictures is not None and arguments.pictures < 0:
        raise UsageError(f"--pictures is {arguments.pictures}; give 0 or more")
    for name in _FOR_REPORTS if arguments.to_pipeline else ():
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is for --report; a pipeline aside has workers with their own")


def _copy(arguments: argparse.Namespace, settings: "Settings", span: "Span") -> int:
    from consumers.replay.copy import copy_aside
    from streamer.aside import next_steps
    from streamer.records import rfc3339

    copied = copy_aside(settings, arguments.stream, span, arguments.to_pipeline)
    if copied.damaged:
        print(f"left out, as no producer of ours wrote them so: {copied.damaged}")
    moments = f"{rfc3339(copied.first.captured_ms)} ({copied.first.id}) .. {rfc3339(copied.last.captured_ms)}"
    print(f"frames written: {copied.frames}, {moments} ({copied.last.id}). They are done, and their results read, by:")
    for line in next_steps(copied.settings, arguments.model or "MODEL"):
        print(line)
    return 0


def _report(arguments: argparse.Namespace, span: "Span") -> int:
    from consumers.replay.evaluation import Wanted, evaluate

    given = {name: getattr(arguments, name) for name in ("pipeline", "allow_upscale", "engine", "confidence", "iou")}
    settings = settings_for(arguments, {"detect": {**given, "classes": class_names(arguments)}})
    wanted = Wanted(
        settings,
        arguments.stream,
        span,
        _model(settings, arguments.model, head=arguments.head, padding=arguments.padding),
        _model(settings, arguments.baseline) if arguments.baseline else None,
        arguments.report,
        bool(arguments.overwrite),
        _PICTURES if arguments.pictures is None else arguments.pictures,
    )
    print(evaluate(wanted), end="")
    print(f"\nreport: {arguments.report}")
    return 0


def _model(settings: "Settings", model: str, head: str | None = None, padding: str | None = None) -> "DetectSettings":
    """What the settings say of the outputs of the model in service needn't hold for another one."""
    return settings.detect.model_copy(update={"model": model, "head": head or "auto", "padding": padding or "auto"})
