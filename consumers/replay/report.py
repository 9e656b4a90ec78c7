"""The folder of a report: report.json, report.md, a line per frame, pictures of the worst disagreements."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import orjson

from consumers.replay.differences import Objects, Pair
from consumers.replay.markdown import markdown
from consumers.replay.pictures import Disagreement, draw
from consumers.replay.shadow import Compared
from streamer.commands.whole_file import whole_file
from streamer.errors import UsageError
from streamer.records import rfc3339

_FRAMES, _PICTURES, _JSON, _TEXT = "frames.jsonl", "worst", "report.json", "report.md"


class ReportFolder:
    """Where a report goes. Nothing is made before `prepare`."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        self._folder, self._overwrite = folder, overwrite

    def check(self) -> None:
        """Says early what would be wrong late.

        Raises:
            UsageError: it is no folder, or one in which something lies that must not be overwritten.
        """
        try:
            taken = self._folder.exists() and any(self._folder.iterdir())
        except OSError as error:
            raise UsageError(f"--report {self._folder}: {error.strerror}") from None
        if taken and not self._overwrite:
            raise UsageError(f"--report {self._folder}: it isn't empty; take another folder, or --overwrite")

    def prepare(self) -> None:
        """Makes the folder, and removes the report that is there: a half-written one must not look like the other.

        Raises:
            UsageError: it can't be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in (*self._folder.glob(f"{_PICTURES}/*.jpg"), *(self._folder / n for n in (_JSON, _TEXT, _FRAMES))):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"--report {self._folder}: {error.strerror}") from None

    @contextmanager
    def frames(self) -> Iterator[TextIO]:
        """The file of frames, which takes its name when it is complete."""
        with whole_file(self._folder / _FRAMES) as file:
            yield file

    def write(self, content: Mapping[str, Any], worst: Sequence[Disagreement], names: tuple[str, str]) -> str:
        """Draws the pictures and writes the rest; returns the text of report.md.

        names: of baseline and candidate.
        """
        pictures = []
        if worst:
            (self._folder / _PICTURES).mkdir(exist_ok=True)
        for rank, each in enumerate(worst, 1):
            picture = f"{_PICTURES}/{rank:02d}-{each.frame.header.id}.jpg"
            (self._folder / picture).write_bytes(draw(each, names))
            pictures.append(
                {"picture": picture, "id": str(each.frame.header.id), "weight": round(each.found.weight, 4)}
            )
        whole = {**content, "worst": pictures}
        text = markdown(whole, names)
        with whole_file(self._folder / _TEXT) as file:
            file.write(text)
        with whole_file(self._folder / _JSON) as file:
            file.write(orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
        return text


def frame_line(compared: Compared) -> str:
    """A frame as a line of frames.jsonl."""
    header, found = compared.frame.header, compared.found
    line: dict[str, Any] = {"id": str(header.id), "captured": rfc3339(header.captured_ms)}
    if found is None:
        assert compared.left_out is not None
        line |= {"compared": False, "why": compared.left_out.why, "detail": compared.left_out.detail}
    else:
        line |= {
            "compared": True,
            "both": len(found.both),
            "mean_iou": round(sum(pair.iou for pair in found.both) / len(found.both), 4) if found.both else None,
            "only_baseline": _objects(found.only_baseline),
            "only_candidate": _objects(found.only_candidate),
            "renamed": [_pair(pair) for pair in found.renamed],
        }
        if compared.before.repeats is not None:
            line["repeats"] = str(compared.before.repeats)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE).decode()


def _objects(objects: Objects) -> list[dict[str, Any]]:
    wanted = ("type", "confidence", "bbox")
    return [{name: fields[name] for name in wanted} for fields in (each.to_fields() for each in objects)]


def _pair(pair: Pair) -> dict[str, Any]:
    return {"baseline": pair.baseline.type, "candidate": pair.candidate.type, "iou": round(pair.iou, 4)}
