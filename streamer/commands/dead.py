"""`streamer dead`: frames that nobody could do, and what to do with them."""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option, settings_for

if TYPE_CHECKING:
    from streamer.records import DeadFrame

HELP = "frames that could not be done: list them, look at one, do them again aside"
EXAMPLES = (
    "streamer dead list --since 1h                           every one that is kept, a line each",
    "streamer dead list --stream gate --cause fatal --json",
    "streamer dead show gate/1700000000000-17 --output frame.jpg",
    "streamer dead replay --stream gate --to again           onto topics of their own, for another worker",
)
_CAUSES = ("unreadable", "failed", "fatal", "stranger")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    listing = actions.add_parser("list", help="those that topic frames.dead holds, a line each")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, headers included")
    listing.set_defaults(action=_list)
    show = actions.add_parser("show", help="all that is known of one, and its JPEG as a file")
    show.add_argument("frame", metavar="FRAME", help="as the list has it: STREAM/EPOCH-SEQUENCE or PARTITION:OFFSET")
    show.add_argument("--output", type=Path, metavar="FILE", help="where to write its JPEG, as it came")
    show.set_defaults(action=_show, stream=None, cause=None, reason=None, since=None, until=None)
    replay = actions.add_parser("replay", help="write them to topics aside, never to the live ones")
    replay.add_argument("--to", required=True, metavar="NAME", help="name of the replay: its topics are replay.NAME.*")
    replay.set_defaults(action=_replay)
    for action in (listing, replay):
        action.add_argument("--stream", metavar="NAME", action="append", help="only this one's; may be repeated")
        action.add_argument("--cause", choices=_CAUSES, help="only those dead of it")
        action.add_argument("--reason", metavar="TEXT", help="only those whose reason contains it")
        action.add_argument("--since", metavar="TIME", help="set aside then or later: 10m, 2h (ago), 2026-01-31T12:00")
        action.add_argument("--until", metavar="TIME", help="set aside before then")
    for action in (listing, show, replay):
        whose = "detect.pipeline of the settings (main)" if action is replay else "all"
        action.add_argument("--pipeline", metavar="NAME", help=f"whose; default: {whose}")
        add_settings_option(action)


def run(arguments: argparse.Namespace) -> int:
    """Does what the action says."""
    from streamer.records import check_name

    for stream in arguments.stream or ():
        check_name(stream, "stream")
    arguments.settings = settings_for(arguments)
    status: int = arguments.action(arguments)
    return status


def _list(arguments: argparse.Namespace) -> int:
    for dead in _wanted(arguments, arguments.pipeline):
        print(json.dumps(_facts(dead)) if arguments.json else _line(dead), flush=True)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from streamer.commands.lines import printable
    from streamer.errors import StreamerError

    found = [dead for dead in _wanted(arguments, arguments.pipeline) if arguments.frame in (_name(dead), _place(dead))]
    if not found:
        raise StreamerError(f"no dead frame {arguments.frame}: `streamer dead list` names those that are kept")
    for dead in found:
        for name, value in _facts(dead).items():
            print(printable(f"{name:14} {value}"))
    if arguments.output:
        jpeg = found[0].jpeg
        if jpeg is None:
            raise StreamerError(f"frame {arguments.frame} was not kept: it is a stranger's, or too large for the topic")
        _write(arguments.output, jpeg)
    return 0


def _write(path: Path, content: bytes) -> None:
    from streamer.errors import UsageError

    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None


def _replay(arguments: argparse.Namespace) -> int:
    from streamer.aside import FramesAside, next_steps
    from streamer.errors import StreamerError
    from streamer.records import FrameHeader, FrameId

    newest: dict[str, FrameId] = {}
    put = left_out = 0
    with FramesAside(arguments.settings, arguments.to) as frames:
        for dead in _wanted(arguments, arguments.pipeline or arguments.settings.detect.pipeline):
            header = dead.header
            if not isinstance(header, FrameHeader) or dead.jpeg is None:
                left_out += 1
                continue
            if header.stream not in newest:
                frames.define([header.stream])
            elif header.id <= newest[header.stream]:
                continue  # set aside twice, as without transactions it may be
            newest[header.stream] = header.id
            frames.put(header, dead.jpeg, dead.headers)
            put += 1
        frames.finish()
    if left_out:
        print(f"left out, as they were not kept: {left_out}")
    if not put:
        raise StreamerError("no dead frame to replay: `streamer dead list` with the same filters shows what there is")
    print(f"frames written: {put}, streams: {len(newest)}. They are done, and their results read, by:")
    for line in next_steps(frames.settings, "MODEL"):
        print(line)
    return 0


def _wanted(arguments: argparse.Namespace, pipeline: str | None) -> "Iterator[DeadFrame]":
    from streamer.results import DeadFrames

    when = {"since": arguments.since, "until": arguments.until}
    with DeadFrames(arguments.settings, pipeline, arguments.stream, follow=False, **when) as frames:
        for dead in frames:
            of_cause = arguments.cause in (None, dead.death.cause)
            if of_cause and (arguments.reason or "").lower() in dead.death.reason.lower():
                yield dead


def _name(dead: "DeadFrame") -> str:
    return f"{dead.header.stream}/{dead.header.id}" if dead.header else _place(dead)


def _place(dead: "DeadFrame") -> str:
    return f"{dead.partition}:{dead.offset}"


def _line(dead: "DeadFrame") -> str:
    from streamer.commands.lines import printable

    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(dead.died_ms / 1000))
    size = "not kept" if dead.jpeg is None else f"{len(dead.jpeg)} bytes"
    return printable(f"{moment}  {dead.pipeline}  {_name(dead)}  {dead.death.cause}: {dead.death.reason} ({size})")


def _facts(dead: "DeadFrame") -> dict[str, object]:
    from streamer.records import rfc3339

    return {
        "frame": _name(dead),
        "pipeline": dead.pipeline,
        "cause": dead.death.cause.value,
        "reason": dead.death.reason,
        "tries": dead.death.tries,
        "died": rfc3339(dead.died_ms),
        "captured": rfc3339(dead.header.captured_ms) if dead.header else None,
        "place": _place(dead),
        "sha256": dead.sha256,
        "bytes": None if dead.jpeg is None else len(dead.jpeg),
        "headers": {key: text.decode(errors="replace") for key, text in dead.headers},
    }
