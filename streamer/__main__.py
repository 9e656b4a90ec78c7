"""The command line. Subcommands are entry points, loaded only when they are called or listed.

A command is a module with HELP (one line), EXAMPLES (lines), configure(parser) and run(arguments) -> exit
status. It imports nothing heavy at its top.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from streamer.addresses import mask
from streamer.commands.parser import Parser, add_examples
from streamer.errors import StreamerError

GROUP = "streamer.commands"
_EPILOG = """examples:
  streamer demo clip.mp4
  streamer run clip.mp4 --output results.jsonl
  streamer up                                    and then, as it says: streams add, produce, detect

exit status: 0 done, 1 something failed, 2 wrong use, 3 a service can't be reached"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    commands = {command.name: command for command in sorted(entry_points(group=GROUP), key=lambda c: c.name)}
    arguments = _parser(commands, words).parse_args(words)
    try:
        return _run(arguments)
    except StreamerError as error:
        print(f"{f'streamer {arguments.command}'.strip()}: {mask(str(error))}", file=sys.stderr)
        _close_stdout_if_full()
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left (`| head`). Python would complain once more when it flushes.
        sys.stderr.close()
        return 141


def _close_stdout_if_full() -> None:
    """Else Python tries once more as it ends, and prints a traceback."""
    try:
        print(end="", flush=True)
    except OSError:
        sys.stdout = None


def _run(arguments: argparse.Namespace) -> int:
    from streamer.commands.whole_file import disk_errors
    from streamer.settings import reading

    with reading(getattr(arguments, "config", None)), disk_errors("the output"):
        status: int = arguments.run(arguments)
        print(end="", flush=True)  # what the disk doesn't take is ours to say, not Python's as it ends
    return status


def _parser(commands: dict[str, EntryPoint], words: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="streamer",
        description="Video in, detections out: cameras and files through Kafka to detectors, results in Redis.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.set_defaults(run=_no_command(parser), command="")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    # Only the command that is meant is loaded, all of them for the list and for a mistake's message.
    wanted = [commands[words[0]]] if words and words[0] in commands else list(commands.values())
    for command in wanted:
        _add(subparsers, command)
    return parser


def _add(subparsers: "argparse._SubParsersAction[Parser]", command: EntryPoint) -> None:
    module: ModuleType = command.load()
    description = module.HELP[0].upper() + module.HELP[1:] + "."
    parser = subparsers.add_parser(command.name, help=module.HELP, description=description)
    module.configure(parser)
    add_examples(parser, module.EXAMPLES)
    parser.set_defaults(run=module.run, command=command.name)


def _no_command(parser: argparse.ArgumentParser) -> object:
    def run(arguments: argparse.Namespace) -> int:
        if arguments.version:
            from streamer import __version__

            print(f"streamer {__version__}")
            return 0
        parser.print_help()
        return 2

    return run


if __name__ == "__main__":
    sys.exit(main())
