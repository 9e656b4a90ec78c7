"""What a worker's death does to track ids: clips through the whole service, with and without a kill in the middle.

    python -m tests.bench.track_ids CLIP ... --model MODEL

Each clip goes through a producer and a worker twice; the second time the worker is killed (-9) at half of the results,
and another one goes on. Detections are the same in both runs, so every object must have the same id in both. Printed:
frames and objects compared, objects whose id differs, and identity switches: how often a track of the first run
goes on under another id in the second. Ends with status 1 if anything differs.
"""

import argparse
import itertools
import os
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamer.records import End, Gap, Result
from streamer.results import Results
from streamer.settings import Settings
from streamer.topics_admin import create_topics, delete_topics
from tests.bench.__main__ import cut
from tests.bench.processes import Part
from tests.bench.service import bench_stack, environment, fresh_names

Frames = dict[int, Result]
"""By sequence number."""


@dataclass
class Difference:
    """Between two runs over one clip. objects: with an id, in frames that both have."""

    frames: int
    only_once: int
    objects: int
    other_id: int
    tracks: int
    switches: int

    @property
    def none(self) -> bool:
        """Whether the runs are the same."""
        return not (self.only_once or self.other_id or self.switches)

    def __str__(self) -> str:
        return (
            f"{self.frames} frames ({self.only_once} in one run only), {self.objects} objects of {self.tracks} tracks: "
            f"{self.other_id} with another id, {self.switches} identity switches"
        )


def compare(whole: Frames, broken: Frames) -> Difference:
    """A run without, and one with a kill."""
    both = sorted(whole.keys() & broken.keys())
    pairs: list[tuple[str, str]] = []
    for number in both:
        other = {(one.bbox, one.type): one.id for one in broken[number].objects}
        pairs += [(one.id, other.get((one.bbox, one.type), "")) for one in whole[number].objects if one.id]
    ids: dict[str, list[str]] = defaultdict(list)
    for before, after in pairs:
        ids[before].append(after)
    switches = sum(a != b for seen in ids.values() for a, b in itertools.pairwise(seen))
    differ = sum(before != after for before, after in pairs)
    return Difference(len(both), len(whole.keys() ^ broken.keys()), len(pairs), differ, len(ids), switches)


@contextmanager
def worker(settings: Settings, model: Path) -> Iterator[Part]:
    """One that is ready; stopped at the end, if it lives."""
    part = Part.start(["detect", "--model", str(model)], environment(settings))
    try:
        part.wait_ready()
        yield part
    finally:
        part.stop()


def run(settings: Settings, clip: Path, model: Path, killed_at: int | None) -> Frames:
    """All results of a clip; the worker is killed when `killed_at` of them have come."""
    settings = fresh_names(settings)
    create_topics(settings)
    produce = ["produce", str(clip), "--pace", "fast", "--freshness", "every", "--transport", "network", "--track"]
    try:
        with worker(settings, model) as first, Results(settings) as results:
            producer = Part.start(produce, environment(settings))
            try:
                records, found = iter(results), Frames()
                if killed_at is None:
                    return collect(records, found)
                collect(records, found, killed_at)
                os.kill(first.process.pid, signal.SIGKILL)
                with worker(settings, model):
                    return collect(records, found)
            finally:
                producer.stop()
    finally:
        delete_topics(settings)


def collect(records: Iterator[Result | Gap | End], found: Frames, most: int | None = None) -> Frames:
    """Adds results to `found`, up to the end of the run or until there are `most`."""
    for record in records:
        if isinstance(record, Result):
            found[record.id.sequence] = record
        if isinstance(record, End) or len(found) == most:
            break
    return found


def main() -> int:
    """Runs; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.track_ids", description="ids across a worker's death")
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=10_000, help="of each clip at most (default: all)")
    arguments = parser.parse_args()
    same = True
    with tempfile.TemporaryDirectory() as folder, bench_stack(Path(folder)) as (settings, _):
        for clip in arguments.clips:
            short = Path(folder, clip.name)
            count = cut(clip, short, arguments.frames)
            whole = run(settings, short, arguments.model.absolute(), None)
            broken = run(settings, short, arguments.model.absolute(), count // 2)
            difference = compare(whole, broken)
            print(f"{clip.name}, killed at frame {count // 2}: {difference}", flush=True)
            same = same and difference.none
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
