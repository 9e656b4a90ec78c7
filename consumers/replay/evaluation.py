"""The shadow evaluation as a whole: who is compared, over which frames, into which folder."""

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from consumers.replay.copy import nothing_retained
from consumers.replay.finder import Finder, open_finder
from consumers.replay.in_service import InService
from consumers.replay.look import Looker
from consumers.replay.pictures import Worst
from consumers.replay.report import ReportFolder, frame_line
from consumers.replay.retained import RetainedFrames
from consumers.replay.shadow import OVERLAP, Compared, SharedNames, few, shadow, share_names
from consumers.replay.span import Span
from consumers.replay.summary import Summary
from streamer.commands.progress import counting
from streamer.errors import StreamerError, UsageError
from streamer.settings import DetectSettings, Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be evaluated.

    candidate: the model and how it is run. baseline: the other model; None: what `settings`' pipeline has found.
    pictures: how many of the worst disagreements are drawn.
    """

    settings: Settings
    stream: str
    span: Span
    candidate: DetectSettings
    baseline: DetectSettings | None
    folder: Path
    overwrite: bool = False
    pictures: int = 20


def evaluate(wanted: Wanted) -> str:
    """Writes the report; returns its page for people.

    Raises:
        UsageError: the folder is taken, a model can't be used, there is no such stream.
        StreamerError: no frame is retained, or none can be compared.
        ServiceError: Kafka refuses us.
    """
    folder = ReportFolder(wanted.folder, wanted.overwrite)
    folder.check()
    with ExitStack() as open_now:
        candidate = _opened(open_now, wanted.candidate)
        retained = open_now.enter_context(RetainedFrames(wanted.settings, wanted.stream))
        frames = retained.within(wanted.span)
        first = next(frames, None)
        if first is None:
            raise nothing_retained(wanted.settings, retained, wanted.stream, wanted.span)
        baseline = _baseline(open_now, wanted, first.header.captured_ms / 1000)
        names, worst = share_names(baseline, candidate), Worst(wanted.pictures)
        folder.prepare()
        one_more = open_now.enter_context(counting("frames"))
        with folder.frames() as file:

            def write(compared: Compared) -> None:
                file.write(frame_line(compared))
                one_more()

            summary = shadow(chain([first], frames), baseline, candidate, names, worst, write)
            _check(summary, baseline)
        content = _content(wanted, summary, names, baseline, candidate, retained.damaged)
        return folder.write(content, worst.ranked(), (baseline.name, candidate.name))


def _opened(open_now: ExitStack, settings: DetectSettings) -> Finder:
    finder = open_finder(settings)
    open_now.callback(finder.close)
    return finder


def _baseline(open_now: ExitStack, wanted: Wanted, since_s: float) -> Looker:
    if wanted.baseline is not None:
        return _opened(open_now, wanted.baseline)
    pipeline = wanted.settings.detect.pipeline
    return open_now.enter_context(InService(wanted.settings, pipeline, wanted.stream, since_s))


def _check(summary: Summary, baseline: Looker) -> None:
    """Raises StreamerError if there is nothing to report."""
    if summary.compared:
        return
    if "too small" in summary.left_out:
        raise UsageError(f"{summary.details['too small']}: --allow-upscale compares nevertheless")
    why = ", ".join(f"{why} {count}" for why, count in sorted(summary.left_out.items()))
    raise StreamerError(
        f"none of {summary.frames} frames can be compared with {baseline.name} ({why}): take another span, or another "
        "model with --baseline"
    )


def _content(
    wanted: Wanted, summary: Summary, names: SharedNames, baseline: Looker, candidate: Looker, damaged: int
) -> dict[str, Any]:
    before, after = baseline.to_json(), candidate.to_json()
    notes = [
        f"classes that only {side.name} has, not compared: {few(only)}"
        for side, only in ((baseline, names.only_baseline), (candidate, names.only_candidate))
        if only
    ]
    if baseline.classes is None:
        notes.append(f"{baseline.name} has not said which classes it knows: taken to be those of {candidate.name}")
    if len(before["models"]) > 1:
        notes.append(f"{baseline.name} had {len(before['models'])} models within the span")
    if damaged:
        notes.append(f"records that no producer of ours wrote so, left out: {damaged}")
    return {
        "stream": wanted.stream,
        "span": str(wanted.span),
        **summary.to_json(),
        "baseline": {"name": baseline.name, **before, "classes_of_its_own": names.only_baseline},
        "candidate": {"name": candidate.name, **after, "classes_of_its_own": names.only_candidate},
        "settings": {"overlap": OVERLAP},
        "notes": notes,
    }
