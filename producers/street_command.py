"""`streamer street`: drawn streets with exact boxes, as a data set to train or to try a detector on."""

import argparse
from pathlib import Path

from streamer.commands.parser import whole

HELP = "write pictures of drawn streets with exact boxes, for training"
EXAMPLES = (
    "streamer street renders --pictures 2000 --seed 1",
    "streamer street renders --side 640 && streamer train renders --output street",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where images/ and the COCO json files go")
    parser.add_argument("--pictures", type=whole(0), default=2000, metavar="N", help="for training (default: 2000)")
    parser.add_argument("--val", type=whole(0), default=200, metavar="N", help="for validation (default: 200)")
    parser.add_argument(
        "--side", type=whole(64, 1280), default=320, metavar="PIXELS", help="longest side of a picture (default: 320)"
    )
    parser.add_argument("--quality", type=whole(30, 100), default=90, metavar="Q", help="of the JPEGs (default: 90)")
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="the same seed, the same files (default: 0)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the data set."""
    from rich.console import Console
    from rich.progress import Progress

    from producers.street_dataset import Wanted, write_dataset

    wanted = Wanted(arguments.pictures, arguments.val, arguments.side, arguments.quality, arguments.seed)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("drawing", total=wanted.pictures + wanted.val)
        write_dataset(arguments.folder, wanted, lambda _: progress.advance(task))
    print(f"{arguments.folder}: {wanted.pictures} pictures for training, {wanted.val} for validation")
    return 0
