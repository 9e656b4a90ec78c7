"""Measures on a real GPU, prints, and writes build/bench-gpu.json.

    python -m tests.bench.gpu MATERIAL [--only PART ...] [--seconds N] [--output FILE]

MATERIAL is a folder made by tests/gpu/material.py. Each part is written as soon as it is measured, and one that is
already in the file is not measured again, so a run that was cut off goes on; --again measures all anew.
"""

import argparse
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamer.errors import StreamerError
from tests.bench.gpu import boxes, leak, load, throughput
from tests.bench.gpu.material import Material

Part = Callable[[Material], dict[str, Any]]


def parts(seconds: float, load_seconds: float, frames: int) -> dict[str, Part]:
    """In the order of what is missed most if the time is up."""
    return {
        "same boxes": boxes.same_boxes,
        "engine level": lambda material: throughput.engine_level(material, seconds),
        "from jpeg, boxes": boxes.from_jpeg,
        "from jpeg, throughput": lambda material: throughput.from_jpeg(material, seconds),
        "load": lambda material: load.load(material, load_seconds),
        "leak": lambda material: leak.leak(material, frames, min(10_000, frames // 10)),
        "reduced precision": boxes.reduced_precision,
    }


def main() -> int:
    """Measures what is asked for; 1 if something doesn't hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description="TensorRT on a real GPU.")
    parser.add_argument("material", type=Path)
    parser.add_argument("--only", nargs="+", metavar="PART", help="names as they are printed")
    parser.add_argument("--seconds", type=float, default=3, help="per rate (default: 3)")
    parser.add_argument("--load-seconds", type=float, default=60, help="of the load (default: 60)")
    parser.add_argument("--frames", type=int, default=100_000, help="for leaks (default: 100000)")
    parser.add_argument("--batch", type=int, default=32, help="the most frames per inference (default: 32)")
    parser.add_argument("--output", type=Path, default=Path("build/bench-gpu.json"))
    parser.add_argument("--again", action="store_true", help="measure what is already in the file too")
    given = parser.parse_args()
    report = Report(given.output, given.again)
    material = Material(given.material, given.batch)
    for name, part in parts(given.seconds, given.load_seconds, given.frames).items():
        if (not given.only or name in given.only) and name not in report.parts:
            report.add(name, part, material)
    return report.finish()


class Report:
    """The file, and what is printed of it."""

    def __init__(self, path: Path, again: bool) -> None:
        self._path = path
        there = path.exists() and not again
        self._content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if there else {}
        self.parts: dict[str, Any] = self._content.setdefault("parts", {})

    def add(self, name: str, part: Part, material: Material) -> None:
        """Measures a part. One that fails says so and doesn't keep the others from being measured."""
        print(f"== {name}", flush=True)
        start = time.monotonic()
        try:
            found = part(material)
        except StreamerError as error:
            print(f"   failed: {error}", flush=True)
            return
        except Exception:
            # The edge of a part: a machine with a GPU is at hand only for a while, so the others go on.
            traceback.print_exc()
            return
        found |= {"seconds": round(time.monotonic() - start, 1), "command": command(name)}
        self.parts[name] = found
        self._content |= {"machine": machine(), "commit": commit()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._content, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found["figures"], indent=1), flush=True)

    def finish(self) -> int:
        """What holds and what doesn't."""
        broken = 0
        for name, part in self.parts.items():
            for condition, holds in part["holds"].items():
                broken += not holds
                print(f"{'holds ' if holds else 'BROKEN'} {name}: {condition}")
        return 1 if broken else 0


def command(name: str) -> str:
    """That measures a part again."""
    others = [word for word in sys.argv[1:] if word != "--again"]
    return " ".join(["python -m tests.bench.gpu", *others, "--again --only", f'"{name}"'])


def machine() -> dict[str, str]:
    """The GPU and its driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return {"gpu": "none"}
    return {"gpu": done.stdout.strip()}


def commit() -> str:
    """Of the code that was measured."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
