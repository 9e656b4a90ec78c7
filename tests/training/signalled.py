"""A training in the first step of which a signal comes: python -m tests.training.signalled NUMBER TASK WORD..."""

import signal
import sys
from collections.abc import Callable

import engines.training.classify.trainer
import engines.training.trainer
from streamer.__main__ import main

TRAINERS = {"detect": engines.training.trainer.Trainer, "classify": engines.training.classify.trainer.Trainer}


def signalled(step: Callable[..., object], number: int) -> Callable[..., object]:
    """A trainer's step, in the first of which a signal comes."""
    done: list[object] = []

    def stepped(*words: object) -> object:
        if not done:
            signal.raise_signal(number)
        done.append(words)
        return step(*words)

    return stepped


def run(number: int, task: str, words: list[str]) -> int:
    """The command's exit status; the signal does what it did before again."""
    before, trainer = signal.getsignal(number), TRAINERS[task]
    trainer._step = signalled(trainer._step, number)  # type: ignore[assignment,method-assign]
    status = main(words)
    assert signal.getsignal(number) is before
    return status


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
