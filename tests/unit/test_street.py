"""The drawn street: the same for the same seed, and its ground truth is what is in the picture."""

import numpy as np
import pytest

from producers.street import Street, Truth, coco
from producers.street.street import CLASSES

SMALL = (320, 180)


def overlap(one: Truth, other: Truth) -> bool:
    return (
        one.box[0] < other.box[2]
        and other.box[0] < one.box[2]
        and one.box[1] < other.box[3]
        and other.box[1] < one.box[3]
    )


@pytest.mark.parametrize("index", [0, 77, 100_000])
def test_a_picture_depends_on_seed_and_number_only(index: int) -> None:
    fresh, used = Street(SMALL, seed=3), Street(SMALL, seed=3)
    for before in (5, 400, 12):
        used.draw(before)

    assert np.array_equal(fresh.draw(index), used.draw(index))
    assert fresh.ground_truth(index) == used.ground_truth(index)
    assert not np.array_equal(fresh.draw(index), Street(SMALL, seed=4).draw(index))


def test_a_drawn_picture_is_the_callers_own() -> None:
    street = Street(SMALL)
    first = street.draw(0)
    first[:] = 0

    assert street.draw(0).any()


@pytest.mark.parametrize("size", [(320, 180), (640, 480), (180, 320), (64, 64)])
def test_boxes_lie_in_the_picture_and_hold_all_that_moves(size: tuple[int, int]) -> None:
    """Shadows may lie outside of the boxes: they only darken."""
    street, empty = Street(size, seed=5), Street(size, seed=5, objects=0)
    for index in range(0, 600, 60):
        drawn, still = street.draw(index).astype(int), empty.draw(index)
        changed, brighter = np.abs(drawn - still).max(2) > 12, (drawn - still).max(2) > 12
        for truth in street.ground_truth(index):
            left, top, right, bottom = truth.box
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
            if truth.visible > 0.5 and (right - left) * (bottom - top) > 150:
                assert changed[top:bottom, left:right].mean() > 0.3
            # Half-covered pixels at the rim are not counted into a box.
            brighter[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = False
        assert not brighter.any()


def test_boxes_are_tight() -> None:
    """A thing that nothing hides reaches all four sides of its box."""
    street, empty = Street((640, 360), seed=8), Street((640, 360), seed=8, objects=0)
    seen = 0
    for index in range(0, 3000, 50):
        truths = street.ground_truth(index)
        changed = np.abs(street.draw(index).astype(int) - empty.draw(index)).max(2) > 3
        for truth in truths:
            left, top, right, bottom = truth.box
            alone = not any(other is not truth and overlap(truth, other) for other in truths)
            if alone and truth.visible == 1 and left > 0 and right < 640:
                inside = changed[top:bottom, left:right]
                assert inside[:2].any()
                assert inside[-2:].any()
                assert inside[:, :2].any()
                assert inside[:, -2:].any()
                seen += 1
    assert seen > 20


def test_everything_shows_up_and_hides() -> None:
    street = Street(SMALL, seed=1, objects=20)
    truths = [truth for index in range(0, 6000, 40) for truth in street.ground_truth(index)]

    assert {truth.kind for truth in truths} == set(CLASSES)
    assert any(0 < truth.visible < 0.7 for truth in truths)
    assert any(truth.visible == 1 for truth in truths)
    assert all(0 <= truth.visible <= 1 for truth in truths)


@pytest.mark.parametrize(("objects", "least", "most"), [(0, 0, 0), (6, 2, 9), (30, 12, 36)])
def test_about_as_many_as_asked_for(objects: int, least: int, most: int) -> None:
    street = Street(SMALL, seed=2, objects=objects)

    mean = float(np.mean([len(street.ground_truth(index)) for index in range(0, 6000, 100)]))

    assert least <= mean <= most


def test_tracks_keep_their_number_and_move_steadily() -> None:
    street = Street((640, 360), fps=10, seed=6)
    last: dict[int, Truth] = {}
    kinds: dict[int, str] = {}
    for index in range(400):
        truths = street.ground_truth(index)
        assert len({truth.track for truth in truths}) == len(truths)
        for truth in truths:
            assert kinds.setdefault(truth.track, truth.kind) == truth.kind
            before = last.get(truth.track)
            inside = truth.box[0] > 0 and truth.box[2] < 640
            if before and inside and before.box[0] > 0 and before.box[2] < 640:
                assert abs(sum(truth.box[::2]) - sum(before.box[::2])) / 2 < 0.06 * 640
        last = {truth.track: truth for truth in truths}


def test_people_cross_only_while_cars_stand() -> None:
    street = Street(SMALL, fps=4, seed=9, objects=30)
    between_kerbs = range(110, 132)  # rows
    driving_seen, crossing_seen = 0, 0
    before: dict[int, Truth] = {}
    for index in range(240):
        now = {truth.track: truth for truth in street.ground_truth(index)}
        cars = [key for key in now.keys() & before.keys() if now[key].kind == "car" and now[key].visible == 1]
        driving = any(abs(now[key].box[0] - before[key].box[0]) > 2 for key in cars)
        crossing = any(key >= 50_000_000 and truth.box[3] in between_kerbs for key, truth in now.items())
        assert not (driving and crossing)
        driving_seen, crossing_seen, before = driving_seen + driving, crossing_seen + crossing, now
    assert driving_seen > 10
    assert crossing_seen > 10


def test_coco_export() -> None:
    street = Street(SMALL, seed=1)

    data = coco(street, range(0, 50, 10))

    assert [image["id"] for image in data["images"]] == [0, 10, 20, 30, 40]
    assert {c["name"]: c["id"] for c in data["categories"]} == CLASSES
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"]) > 0
    first = [a for a in data["annotations"] if a["image_id"] == 0]
    truths = street.ground_truth(0)
    for annotation, truth in zip(first, truths, strict=True):
        left, top, right, bottom = truth.box
        assert annotation["bbox"] == [left, top, right - left, bottom - top]
        assert annotation["iscrowd"] == (truth.visible < 0.2)
