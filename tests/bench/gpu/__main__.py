"""Measures on a real GPU, prints, and writes build/bench-gpu.json.

    python -m tests.bench.gpu MATERIAL [--only PART ...] [--seconds N] [--budget SECONDS] [--output FILE]

MATERIAL is a folder made by tests/gpu/material.py. Each part is written as soon as it is measured, and one that is
already in the file is not measured again, so a run that was cut off goes on; --again measures all anew. What a part has
measured so far is in the file under "cut off" until it is done. MEASURED_COMMIT names the code where there is no git.
"""

import argparse
import faulthandler
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from streamer.errors import StreamerError
from tests.bench.gpu import boxes, leak, load, throughput
from tests.bench.gpu.material import Material, Note

Part = Callable[[Material], dict[str, Any]]


def parts(seconds: float, load_seconds: float, frames: int, note: Note) -> dict[str, Part]:
    """In the order of what is missed most if the time is up. note: told what long ones have measured so far."""
    return {
        "same boxes": boxes.same_boxes,
        "load": lambda material: load.load(material, load_seconds, note=note),
        "engine level": lambda material: throughput.engine_level(material, seconds, note),
        "from jpeg, boxes": boxes.from_jpeg,
        "from jpeg, throughput": lambda material: throughput.from_jpeg(material, seconds, note=note),
        "leak": lambda material: leak.leak(material, frames, min(10_000, frames // 10)),
        "reduced precision": boxes.reduced_precision,
    }


def main() -> int:
    """Measures what is asked for; 1 if something doesn't hold or wasn't measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description="TensorRT on a real GPU.")
    parser.add_argument("material", type=Path)
    parser.add_argument("--only", nargs="+", metavar="PART", help="names as they are printed")
    parser.add_argument("--seconds", type=float, default=3, help="per rate (default: 3)")
    parser.add_argument("--load-seconds", type=float, default=60, help="of the load (default: 60)")
    parser.add_argument("--frames", type=int, default=100_000, help="for leaks (default: 100000)")
    parser.add_argument("--batch", type=int, default=32, help="the most frames per inference (default: 32)")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no part begins")
    parser.add_argument("--longest", type=float, help="seconds after which a part, and with it this program, is killed")
    parser.add_argument("--output", type=Path, default=Path("build/bench-gpu.json"))
    parser.add_argument("--again", action="store_true", help="measure what is already in the file too")
    given = parser.parse_args()
    start = time.monotonic()
    report = Report(given.output, given.again, given.longest)
    all_parts = parts(given.seconds, given.load_seconds, given.frames, report.note)
    if unknown := set(given.only or ()) - set(all_parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(all_parts)}")
    material = Material(given.material, given.batch)
    wanted = {name: part for name, part in all_parts.items() if not given.only or name in given.only}
    # What broke this program last time doesn't keep the others from being measured now.
    for name, part in sorted(wanted.items(), key=lambda item: report.begun.get(item[0], 0)):
        if name not in report.parts and time.monotonic() - start < given.budget:
            report.add(name, part, material)
    return report.finish(wanted)


class Report:
    """The file, and what is printed of it. begun: how often a part was, in earlier runs too, without an end."""

    def __init__(self, path: Path, again: bool, longest: float | None) -> None:
        self._path, self._longest = path, longest
        there = path.exists() and not again
        self._content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if there else {}
        self.parts: dict[str, Any] = self._content.setdefault("parts", {})
        self.begun: dict[str, int] = self._content.setdefault("begun", {})
        self._cut_off: dict[str, Any] = self._content.setdefault("cut off", {})
        self._name = ""

    def add(self, name: str, part: Part, material: Material) -> None:
        """Measures a part. One that fails says so and doesn't keep the others from being measured."""
        print(f"== {name}", flush=True)
        self._name = name
        self.begun[name] = self.begun.get(name, 0) + 1
        self._write()
        start = time.monotonic()
        try:
            with killed_after(self._longest):
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
        self._cut_off.pop(name, None)
        self.begun.pop(name, None)
        self._write()
        print(json.dumps(found["figures"], indent=1), flush=True)

    def note(self, figures: Mapping[str, Any]) -> None:
        """What the part that runs has measured so far."""
        self._cut_off[self._name] = dict(figures)
        self._write()
        print(f"   so far: {list(figures)[-1]}: {list(figures.values())[-1]}", flush=True)

    def _write(self) -> None:
        """In one step, as this may be killed at any time."""
        self._content |= {"machine": machine(), "commit": commit()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._content, indent=1) + "\n", encoding="utf-8")
        new.replace(self._path)

    def finish(self, wanted: Iterable[str]) -> int:
        """What holds and what doesn't, and which of the wanted parts were not measured."""
        missing = [name for name in wanted if name not in self.parts]
        broken = 0
        for name, part in self.parts.items():
            for condition, holds in part["holds"].items():
                broken += not holds
                print(f"{'holds ' if holds else 'BROKEN'} {name}: {condition}")
        for name in missing:
            print(f"MISSING {name}")
        if not missing:
            print("all measured")
        return 1 if broken or missing else 0


@contextmanager
def killed_after(seconds: float | None) -> Iterator[None]:
    """A thread that waits for a GPU that hangs hears nothing: the process ends, and shows where each thread was."""
    if seconds:
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def command(name: str) -> str:
    """That measures a part again."""
    others = [word for word in sys.argv[1:] if word != "--again"]
    return " ".join(["python -m tests.bench.gpu", *others, "--again --only", f'"{name}"'])


@cache
def machine() -> dict[str, str]:
    """The GPU and its driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return {"gpu": "none"}
    return {"gpu": done.stdout.strip()}


@cache
def commit() -> str:
    """Of the code that was measured."""
    if said := os.environ.get("MEASURED_COMMIT"):
        return said
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
