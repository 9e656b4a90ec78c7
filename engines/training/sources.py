"""Where pictures are from, as options name it."""

from collections.abc import Sequence
from dataclasses import replace

from engines.training.dataset import Dataset
from streamer.errors import UsageError


def check_sources(option: str, named: Sequence[str], datasets: Sequence[Dataset]) -> None:
    """Sees to it that there are pictures from all sources that an option names.

    Raises:
        UsageError: there are none from one of them.
    """
    sources = {picture.source for dataset in datasets for picture in dataset.pictures}
    unknown = sorted(set(named) - sources)
    if unknown:
        told = ", ".join(sorted(filter(None, sources)))
        raise UsageError(f"{option} {unknown[0]}: no picture is from that source; there are: {told}")


def left_out(datasets: Sequence[Dataset], sources: Sequence[str]) -> list[Dataset]:
    """The data sets, in their order, without their pictures from `sources`: one may have none left.

    Raises:
        UsageError: there are no pictures from one of the sources, or none from any other.
    """
    check_sources("--leave-out", sources, datasets)
    rest = [
        replace(dataset, pictures=tuple(picture for picture in dataset.pictures if picture.source not in sources))
        for dataset in datasets
    ]
    if not any(dataset.pictures for dataset in rest):
        raise UsageError(f"--leave-out {' '.join(sources)} leaves no picture")
    return rest
