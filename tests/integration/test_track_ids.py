"""Ids on a real clip through a real service, whose worker is killed in the middle; `tests.bench.track_ids` does all."""

from dataclasses import replace
from pathlib import Path

import pytest

from consumers.entry import Batch
from consumers.follow import Followers
from engines.coco import NAMES
from engines.model import class_names
from engines.onnx_file import read_onnx
from streamer.records import DetectedObject, Result
from streamer.settings import Settings
from tests.bench.__main__ import cut
from tests.bench.track_ids import Frames, compare, run

pytestmark = pytest.mark.shared


def uninterrupted(settings: Settings, classes: tuple[str, ...], broken: Frames) -> Frames:
    """The same boxes with the ids that one worker gives them from the first to the last."""
    low = settings.detect.candidate_confidence
    followers = Followers("main", low, lambda _: ((), ()))
    followers.classes = classes
    followers.open(0, {})
    batch = Batch(None, records=[(0, _unfollowed(broken[number])) for number in sorted(broken)])
    followers.follow(batch)
    return {record.id.sequence: record for _, record in batch.records if isinstance(record, Result)}


def _unfollowed(result: Result) -> Result:
    objects: list[DetectedObject] = [replace(one, id="", info={}) for one in result.objects]
    return replace(result, objects=tuple(objects))


def test_a_kill_changes_no_id_on_a_street(settings: Settings, shared: Path, tmp_path: Path) -> None:
    model, clip = shared / "models/yolox_nano_as_v8.onnx", tmp_path / "street.mp4"
    frames = cut(shared / "videos/people_street_720p.mp4", clip, 50)
    broken = run(settings, clip, model, killed_at=frames // 2)
    whole = uninterrupted(settings, class_names(read_onnx(model)) or NAMES, broken)
    difference = compare(whole, broken)
    assert difference.none, difference
    assert (difference.frames, difference.objects > 1000) == (frames, True)
