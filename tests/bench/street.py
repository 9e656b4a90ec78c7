"""How well a detector finds what the drawn street shows, through the whole service.

    python -m tests.bench.street [--model street-wide] [--frames 200] [--seed 7] [--fps 0.1] [--transport network]

Every frame goes through producer, Kafka and worker. A box counts if it overlaps an object of its class by IoU .5;
of objects that are less than a fifth to be seen neither finding nor missing counts, as in `streamer street`. Recall is
given at the settings' own confidence, and at the lowest confidence whose precision is above .95.

Ten seconds lie between two frames, so that they show others: at 2 frames/s 200 frames show 100 people and vehicles,
again and again (a red light lasts 24 frames), and recall at precision .95 was .80 to .88 by seed; at .1 frames/s they
show 1000, and it was .84 to .865; the mean of eight seeds was .853 in both (run 5 of docs/training.md, .6 for NMS).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from producers.sources.synthetic import parse_address
from producers.street import Truth

VISIBLE, SAME, WANTED = 0.2, 0.5, 0.95
Box = tuple[float, float, float, float]


class Found(NamedTuple):
    """A box. hit: an object; None: one that doesn't count."""

    score: float
    hit: bool | None


def matched(objects: Iterable[dict[str, Any]], truths: list[Truth]) -> list[Found]:
    """The boxes of a frame, the most confident first; each object is found once, by the first box on it."""
    left = list(truths)
    found = []
    for one in sorted(objects, key=lambda o: -o["confidence"]):
        box = (*one["bbox"].values(),)
        same = [truth for truth in left if truth.kind == one["type"] and overlap(box, truth.box) >= SAME]
        best = max(same, key=lambda truth: (truth.visible >= VISIBLE, overlap(box, truth.box)), default=None)
        if best is not None:
            left.remove(best)
        found.append(Found(one["confidence"], best is not None if best is None or best.visible >= VISIBLE else None))
    return found


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def rates(found: list[Found], objects: int, confidence: float) -> tuple[float, float]:
    """Recall and precision of the boxes from a confidence on."""
    hits = [one.hit for one in found if one.score >= confidence and one.hit is not None]
    return sum(hits) / max(objects, 1), sum(hits) / max(len(hits), 1)


def measure(address: str, *options: str) -> dict[str, Any]:
    """Runs `streamer run` over a street, and compares."""
    street = parse_address(address).street()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "results.jsonl"
        command = [sys.executable, "-m", "streamer", "run", address, "--output", str(output), *options]
        subprocess.run(command, check=True, capture_output=True, env=os.environ.copy())
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    frames = [record for record in records if record["kind"] == "frame"]
    truths = [street.ground_truth(record["index"]) for record in frames]
    found = [one for record, truth in zip(frames, truths, strict=True) for one in matched(record["objects"], truth)]
    objects = sum(truth.visible >= VISIBLE for each in truths for truth in each)
    recall, precision = rates(found, objects, 0.0)
    sure = [one.score for one in found if rates(found, objects, one.score)[1] > WANTED]
    at = min(sure, default=1.0)
    return {
        "model": frames[0]["engine"]["model"],
        "frames": len(frames),
        "objects": objects,
        "recall": round(recall, 4),
        "precision": round(precision, 4),
        "recall_at_precision_95": round(rates(found, objects, at)[0], 4),
        "confidence_there": round(at, 4),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="recall and precision on the drawn street, through the service")
    parser.add_argument("--model", default="street-wide")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fps", type=float, default=0.1)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--transport", default="network")
    given = parser.parse_args()
    address = f"synthetic:?frames={given.frames}&seed={given.seed}&size={given.size}&fps={given.fps}"
    print(json.dumps(measure(address, "--model", given.model, "--transport", given.transport), indent=1))


if __name__ == "__main__":
    main()
