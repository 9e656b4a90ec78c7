"""How a stream is treated, as options: all for `streamer produce SOURCE` and `streams add|set`, some for `run`."""

import argparse
import re
from collections.abc import Callable
from typing import Any

from streamer.commands.parser import number

_PLAIN = ("fps", "transport", "quality", "rotate", "freshness", "pace", "loop", "video", "track", "motion_gate_s")
_NONE = "none"


def add_picture_options(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Adds what is said of a source's pictures, and of who looks at them, however they are delivered."""
    add = parser.add_argument
    add(
        "--fps",
        type=_or_none("a number", number()),
        metavar="N",
        help="take so many frames per second; none: all (default)",
    )
    add("--transport", metavar="SIZE", help="that travels: full (default), network or 640x360")
    add("--quality", type=int, metavar="Q", help="of the JPEGs, 30 to 100 (default: 90)")
    add("--track", action=argparse.BooleanOptionalAction, help="objects keep one id while they are in view")
    add(
        "--motion-gate",
        dest="motion_gate_s",
        type=_or_none("a number", number()),
        metavar="SECONDS",
        help="still scenes cost no inference, but for a look every so many seconds; none: look at all (default)",
    )
    add("--rotate", type=int, metavar="DEGREES", help="clockwise: 0, 90, 180 or 270")
    add(
        "--crop",
        type=_or_none("X,Y,W,H in whole pixels", _crop),
        metavar="X,Y,W,H",
        help="only this part, in pixels of the upright source; none: all",
    )
    add(
        "--mask",
        dest="masks",
        action="append",
        type=_or_none("X,Y;X,Y;X,Y[:pixelate], three points at least,", _mask),
        metavar="X,Y;X,Y;X,Y[:pixelate]",
        help="a polygon that never leaves the producer, filled or pixelated; may be repeated; none: no mask",
    )
    add(
        "--option",
        dest="options",
        action="append",
        type=_or_none("NAME=VALUE, e.g. rtsp_transport=udp,", _named),
        metavar="K=V",
        help="for FFmpeg; repeatable; those given replace all that the stream has; none: no option",
    )
    add("--video", type=int, metavar="N", help="which of the source's video streams, from 0 (default)")


def add_treatment_options(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Adds one option per field of a stream's definition."""
    add_picture_options(parser)
    add = parser.add_argument
    add("--freshness", metavar="HOW", help="latest (default), bounded:500 (ms), every (default with --pace fast)")
    add("--pace", choices=("realtime", "fast"), help="files: by their own clock (default), or at full speed")
    add("--loop", action=argparse.BooleanOptionalAction, help="files: start again at the end, for ever")
    add(
        "--zone",
        dest="zones",
        action="append",
        type=_or_none("NAME=X,Y;X,Y;X,Y[:SECONDS], three points at least,", _zone),
        metavar="NAME=X,Y;X,Y;X,Y[:SECONDS]",
        help="a polygon whose visitors make events, also when they have stayed for so long; tracks; repeatable; none",
    )
    add(
        "--line",
        dest="lines",
        action="append",
        type=_or_none("NAME=X,Y;X,Y, two points,", _line),
        metavar="NAME=X,Y;X,Y",
        help="from a point to another, makes events of who crosses it; tracks; repeatable; none: no line",
    )
    add(
        "--pipeline",
        dest="pipelines",
        action="append",
        metavar="NAME",
        help="that reads it (default: main); repeatable",
    )


def treatment(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a definition that were given, of those that there are options for."""
    given = vars(arguments)
    fields = {name: _value(given[name]) for name in _PLAIN if given.get(name) is not None}
    if arguments.crop is not None:
        fields["crop"] = _value(arguments.crop)
    for name in ("masks", "zones", "lines"):
        if given.get(name):
            fields[name] = tuple(one for one in given[name] if one != _NONE)
    if fields.get("zones") or fields.get("lines"):
        fields.setdefault("track", True)
    if arguments.options:
        fields["options"] = dict(one for one in arguments.options if one != _NONE)
    if given.get("pipelines"):
        fields["pipelines"] = tuple(given["pipelines"])
    if fields.get("pace") == "fast":
        fields.setdefault("freshness", "every")
    return fields


def _value(given: Any) -> Any:
    return None if given == _NONE else given


def _or_none(form: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """An argument's type: what `convert` makes of the text, or `none`. form: what to write, for the message."""

    def checked(text: str) -> Any:
        if text == _NONE:
            return text
        try:
            return convert(text)
        except (ValueError, argparse.ArgumentTypeError):
            raise argparse.ArgumentTypeError(f"{text!r} is neither {form} nor none") from None

    return checked


def _crop(text: str) -> Any:
    left, top, width, height = map(int, text.split(","))
    return {"left": left, "top": top, "width": width, "height": height}


def _mask(text: str) -> Any:
    points, _, mode = text.partition(":")
    return {"points": _points(points), "mode": mode or "fill"}


def _zone(text: str) -> Any:
    name, points = _named(text)
    points, _, dwell = points.partition(":")
    zone = {"name": name, "points": _points(points)}
    return {**zone, "dwell_s": float(dwell)} if dwell else zone


def _line(text: str) -> Any:
    name, points = _named(text)
    start, end = _points(points, least=2)
    return {"name": name, "start": start, "end": end}


def _named(text: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not sign:
        raise ValueError
    return name, rest


def _points(text: str, least: int = 3) -> list[tuple[float, float]]:
    points = [(float(x), float(y)) for x, y in (point.split(",") for point in re.split(r"[;\s]+", text.strip()))]
    if len(points) < least:
        raise ValueError
    return points
