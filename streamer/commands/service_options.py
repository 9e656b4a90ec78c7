"""What `streamer run` and `streamer demo` share: options of the parts, and the sources as stream definitions."""

import argparse
from typing import TYPE_CHECKING, Any

from streamer.commands.common import add_settings_option
from streamer.commands.model_options import NAMES, add_model_options, class_names
from streamer.commands.parser import whole
from streamer.commands.stream_options import add_picture_options, treatment

if TYPE_CHECKING:
    from streamer.records.stream import StreamDefinition
    from streamer.settings import Settings


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Adds the sources, the model and how both are treated."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="several: one after the other or with commas")
    parser.add_argument(
        "--model", metavar="FILE", help="detector: an ONNX file, or a shipped one's name (default: street-wide)"
    )
    parser.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes that detect (default: 1)")
    parser.add_argument("--pipeline", metavar="NAME", help="name in the records (default: main)")
    add_model_options(parser)
    add_settings_option(parser)
    add_picture_options(parser.add_argument_group("of each SOURCE"))


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
    arguments: argparse.Namespace, settings: "Settings", **delivery: Any
) -> "list[StreamDefinition]":
    """One per source. delivery: fields of a definition, over which goes what the arguments say of them.

    Raises:
        UsageError: an argument is wrong.
    """
    from streamer.commands.sources import expand_sources, name_streams, without_secrets
    from streamer.records.stream import StreamDefinition, parse_definition

    fields = {**delivery, **treatment(arguments), "pipelines": (settings.detect.pipeline,)}
    named = name_streams(expand_sources(arguments.sources))
    return [
        parse_definition(StreamDefinition, {"id": name, "source": without_secrets(source, name), **fields})
        for name, source in named.items()
    ]
