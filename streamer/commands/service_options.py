"""What `streamer run` and `streamer demo` share: options of the parts, and the sources as stream definitions."""

import argparse
from typing import TYPE_CHECKING, Any

from streamer.commands.common import add_settings_option
from streamer.commands.model_options import NAMES, add_model_options, class_names
from streamer.commands.parser import whole

if TYPE_CHECKING:
    from streamer.records.stream import StreamDefinition
    from streamer.settings import Settings


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Adds the sources, the model and how both are treated."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="several: one after the other or with commas")
    parser.add_argument(
        "--model", metavar="FILE", help="detector: an ONNX file, or a shipped one's name (default: street)"
    )
    parser.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes that detect (default: 1)")
    parser.add_argument("--pipeline", metavar="NAME", help="name in the records (default: main)")
    add_model_options(parser)
    parser.add_argument("--fps", type=float, metavar="N", help="take so many frames per second of each source")
    parser.add_argument("--transport", metavar="SIZE", help="that travels: full (default), network or 640x360")
    parser.add_argument("--quality", type=int, metavar="Q", help="of the JPEGs, 30 to 100 (default: 90)")
    add_settings_option(parser)


def service_settings(arguments: argparse.Namespace) -> "Settings":
    """The settings of this call.

    Raises:
        UsageError: one is wrong, or no model is named, or no worker could run it.
    """
    from streamer.commands.common import settings_for
    from streamer.errors import UsageError
    from streamer.models import check_model, model_names, model_path

    detect: dict[str, Any] = {name: getattr(arguments, name) for name in ("pipeline", *NAMES)}
    detect["model"] = arguments.model
    detect["classes"] = class_names(arguments)
    settings = settings_for(arguments, {"detect": detect})
    if not settings.detect.model:
        raise UsageError("which detector? name its ONNX file: --model FILE (with make: MODEL=FILE)")
    if not model_path(settings.detect.model).is_file():
        raise UsageError(f"{settings.detect.model}: no such model file; shipped are: {', '.join(model_names())}")
    check_model(settings)
    return settings


def stream_definitions(
    arguments: argparse.Namespace, settings: "Settings", **treatment: Any
) -> "list[StreamDefinition]":
    """One per source.

    Raises:
        UsageError: an argument is wrong.
    """
    from streamer.commands.sources import expand_sources, name_streams, without_secrets
    from streamer.records.stream import StreamDefinition, parse_definition

    for name in ("fps", "transport", "quality"):
        if getattr(arguments, name) is not None:
            treatment[name] = getattr(arguments, name)
    treatment["pipelines"] = (settings.detect.pipeline,)
    named = name_streams(expand_sources(arguments.sources))
    return [
        parse_definition(StreamDefinition, {"id": name, "source": without_secrets(source, name), **treatment})
        for name, source in named.items()
    ]
