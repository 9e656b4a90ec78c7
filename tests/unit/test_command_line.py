"""What all commands have in common: a mistake is one line that says what to write, and help has examples that work."""

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from streamer.__main__ import GROUP, _parser, main
from streamer.commands.parser import Parser
from streamer.settings import DEFAULT_FILE

COMMANDS = {command.name: command for command in entry_points(group=GROUP)}


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers that no other follows: of commands without actions, and of actions."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in actions:
        for subparser in action.choices.values():
            yield from leaves(subparser)
    if not actions:
        yield parser


ALL = _parser(COMMANDS, [])
LEAVES = {parser.prog: parser for parser in leaves(ALL)}


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each `streamer` in an example: NAME=VALUE streamer A && streamer B | C > FILE    comment."""
    command = re.split(r"\s{2,}", line.strip())[0]
    for part in re.split(r"\|\||&&|\|", command):
        words = shlex.split(part.partition(" > ")[0])
        if "streamer" in words:
            yield words[words.index("streamer") + 1 :]


@pytest.mark.parametrize("prog", ["streamer", *sorted(LEAVES)])
def test_help_has_examples_that_parse(prog: str) -> None:
    text = LEAVES.get(prog, ALL).format_help()
    lines = [line for line in text.partition("\nexamples:\n")[2].splitlines() if f"{prog} " in f"{line} "]
    assert lines, text
    for line in lines:
        for words in calls(line):
            assert _parser(COMMANDS, words).parse_args(words).command == words[0]


@pytest.mark.parametrize("prog", sorted(LEAVES))
def test_no_example_empties_the_settings_before_they_are_read(prog: str) -> None:
    """The shell does, for `> streamer.toml` here, or for `--config X > X`."""
    for line in LEAVES[prog].format_help().splitlines():
        command, redirected, file = line.partition(" > ")
        assert not redirected or file.split()[0] not in (DEFAULT_FILE, *command.split())


@pytest.mark.parametrize("prog", sorted(LEAVES))
def test_help_begins_with_what_it_does(prog: str) -> None:
    description = LEAVES[prog].description
    assert description
    assert description[0].isupper()
    assert description.endswith(".")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("detect --batch few", "streamer detect: error: --batch: 'few' is not a whole number"),
        ("detect --confidence nan", "streamer detect: error: --confidence: 'nan' is not a number"),
        ("detect --iou", "streamer detect: error: --iou: expected one argument"),
        ("run a.mp4 --workers 0", "streamer run: error: --workers: '0' is not a whole number from 1 on"),
        ("results tail --count 0", "streamer results tail: error: --count: '0' is not a whole number from 1 on"),
        ("street x --quality 3", "streamer street: error: --quality: '3' is not a whole number from 30 to 100"),
        ("engine prune --unused -1", "streamer engine prune: error: --unused: '-1' is not a number from 0 on"),
        ("produce x --mask 1,2", "streamer produce: error: --mask: '1,2' is neither X,Y;X,Y;X,Y[:pixelate], three"),
        ("streams set gate --fsp 3", "streamer streams set: error: unknown argument --fsp (did you mean --fps?)"),
        ("up now", "streamer up: error: unknown argument now; see `streamer up --help`"),
        ("up rtsp://u:hunter2@h/1", "streamer up: error: unknown argument rtsp://***@h/1; see `streamer up --help`"),
        ("results", "streamer results: error: the following arguments are required: ACTION; see `streamer results --"),
        ("run", "streamer run: error: the following arguments are required: SOURCE; see `streamer run --help`"),
        ("rnu", "streamer: error: COMMAND: invalid choice: 'rnu' (choose from "),
    ],
)
def test_a_wrong_argument_is_one_line(words: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words.split())
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def types(parser: argparse.ArgumentParser) -> dict[str, object]:
    return {one.option_strings[-1]: one.type for one in parser._actions if one.type and one.option_strings}


@pytest.mark.parametrize("prog", sorted(LEAVES))
def test_no_message_names_a_function(prog: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every option that takes something of its own kind; paths and the like take everything."""
    parser = LEAVES[prog]
    assert isinstance(parser, Parser)
    for option in types(parser):
        try:
            parser.parse_args([option, "?"])
        except SystemExit:
            said = capsys.readouterr().err
            assert " value: " not in said
            assert said.count("\n") == 1
