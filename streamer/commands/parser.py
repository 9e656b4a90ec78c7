"""The parser of all commands: a mistake is one line that says what to write instead."""

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from streamer.addresses import mask

_OF_ONE = "argument "


class Parser(argparse.ArgumentParser):
    """As argparse's; subparsers are of this class too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # argparse asks its registry for the function of a type; its own message names the function.
        self.register("type", int, whole())
        self.register("type", float, number())

    def error(self, message: str) -> NoReturn:
        """One line on stderr, and the end with status 2. The usage has many lines, and is what --help is for."""
        text = message.removeprefix(_OF_ONE)
        if text == message:
            text += f"; see `{self.prog} --help`"
        self.exit(2, f"{self.prog}: error: {mask(' '.join(text.split()))}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but the parser whose argument it would be says that it knows none such."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown argument {unknown[0]}{self._near(unknown[0])}")
        return found, unknown

    def _near(self, word: str) -> str:
        import difflib

        near = difflib.get_close_matches(word.partition("=")[0], self._option_string_actions, 1)
        return f" (did you mean {near[0]}?)" if near and word.startswith("-") else ""


def add_examples(parser: argparse.ArgumentParser, lines: Sequence[str]) -> None:
    """Shows in a command's help its examples, and in each action's help those that are of the action."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in actions:
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, subparser in action.choices.items():
            subparser.description = f"{helps[name][0].upper()}{helps[name][1:]}."
            add_examples(subparser, [line for line in lines if f"{subparser.prog} " in f"{line} "])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in lines)


def whole(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """An argument's type: a whole number within bounds."""
    limits = _limits(least, most)

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not _within(value, least, most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number{limits}")
        return value

    return convert


def number(least: float | None = None, most: float | None = None) -> Callable[[str], float]:
    """An argument's type: a finite number within bounds."""
    limits = _limits(least, most)

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not _within(value, least, most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number{limits}")
        return value

    return convert


def _within(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _limits(least: float | None, most: float | None) -> str:
    if least is None:
        return ""
    return f" from {least} on" if most is None else f" from {least} to {most}"
