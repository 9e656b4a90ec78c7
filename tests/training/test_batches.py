"""Batches: boxes stay on what they are around, whatever is done to the picture; chance comes from the seed only."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engines.letterbox import Letterbox
from engines.training.augment import Augmentation
from engines.training.batches import Batch, Batches
from engines.training.dataset import Dataset, Picture, read_dataset
from engines.training.picture_file import PictureFile
from streamer.errors import UsageError

NAMES = ("red", "green", "blue")
COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
SIZES = [(96, 96), (96, 60), (60, 96), (96, 80), (192, 120), (48, 30), (96, 72), (72, 96)]
SIZE = 96
# Geometry only: colours tell the classes.
MOVED = Augmentation(
    hue=0, saturation=0, contrast=0, brightness=0, balance=0, grey=0, blur=0, noise=0,
    mosaic=0.6, turn=(("b", 0.5),), scale=(0.8, 1.4), tile_scale=(0.6, 1.2),
)  # fmt: skip


def painted(folder: Path, seed: int = 0) -> Dataset:
    """Grey pictures, each with one rectangle of its class's colour; sources a and b by turns, b knows no blue."""
    random = np.random.default_rng(seed)
    pictures = []
    for number in range(24):
        width, height = SIZES[number % len(SIZES)]
        kind = number % 2 if number % 2 else number % 3
        left, top = int(width * random.uniform(0.1, 0.4)), int(height * random.uniform(0.1, 0.4))
        right, bottom = left + int(width * random.uniform(0.3, 0.5)), top + int(height * random.uniform(0.3, 0.5))
        pixels = np.full((height, width, 3), 114, np.uint8)
        pixels[top:bottom, left:right] = COLOURS[kind]
        path = folder / f"{number}.png"
        assert cv2.imwrite(str(path), pixels[..., ::-1])
        pictures.append(labelled(path, (width, height), [(left, top, right, bottom)], [kind], "ab"[number % 2], number))
    return Dataset(NAMES, tuple(pictures), (), {"b": frozenset({0, 1})})


def labelled(
    path: Path, size: tuple[int, int], boxes: list[tuple[float, ...]], classes: list[int], source: str, number: int
) -> Picture:
    count = len(classes)
    return Picture(
        path, *size, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64),
        np.ones(count, np.float32), np.zeros(count, np.bool_), source, number, PictureFile(path),
    )  # fmt: skip


def coloured(image: torch.Tensor) -> np.ndarray:
    """(3, S, S): where an input is of each class's colour, by far."""
    pixels = image.numpy()
    return np.stack([pixels[kind] - np.delete(pixels, kind, 0).max(0) for kind in range(3)]) > 0.6


def check_boxes(batch: Batch, tolerance: float = 1.5, least: float = 0.9) -> int:
    """Each object is of its class's colour up to its edges, and nothing coloured lies outside of all boxes.

    tolerance: pixels. least: part of an object that is of its colour.
    """
    objects = 0
    for number, image in enumerate(batch.images):
        found = coloured(image)
        outside = found.copy()
        for box, kind, ignore in zip(batch.boxes[number], batch.classes[number], batch.ignore[number], strict=True):
            if kind < 0:
                continue
            left, top, right, bottom = box.tolist()
            rows = slice(max(0, int(top - tolerance)), int(np.ceil(bottom + tolerance)))
            columns = slice(max(0, int(left - tolerance)), int(np.ceil(right + tolerance)))
            outside[int(kind), rows, columns] = False
            inner = found[kind, round(top + tolerance) : int(bottom - tolerance) + 1,
                          round(left + tolerance) : int(right - tolerance) + 1]  # fmt: skip
            if not ignore and inner.size:
                objects += 1
                assert inner.mean() > least
        assert outside.sum() <= 0.003 * outside.size  # rests of less than a twentieth of a box have none
    return objects


def test_unchanged_pictures_are_as_inference_sees_them(tmp_path: Path) -> None:
    dataset = painted(tmp_path)
    batches = Batches([dataset], SIZE, 24, augmentation=Augmentation.none())
    (batch,) = batches.epoch(0)
    seen = {}
    for picture in dataset.pictures:
        letterboxed = np.empty((3, SIZE, SIZE), np.float32)
        size = picture.width, picture.height
        placement = Letterbox(SIZE, SIZE, "centre", 1 / 255).prepare(picture.file.pixels(), size, letterboxed)
        errors = np.abs(batch.images.numpy() - letterboxed).max((1, 2, 3))
        place = int(errors.argmin())
        seen[place] = picture.number
        assert errors[place] < 1e-4
        assert np.allclose(placement.to_picture(batch.boxes[place, :1].numpy()), picture.boxes, atol=1e-3)
    assert len(seen) == 24
    assert batch.tiles.tolist() == [[[0, 0, SIZE, SIZE]]] * 24


@pytest.mark.parametrize(("mosaic", "size"), [(True, SIZE), (False, SIZE), (True, 64)])
def test_boxes_go_where_pixels_go(tmp_path: Path, mosaic: bool, size: int) -> None:
    batches = Batches([painted(tmp_path)], SIZE, 8, seed=3, augmentation=MOVED)
    objects = sum(check_boxes(batch) for epoch in range(3) for batch in batches.epoch(epoch, size, mosaic))

    assert objects > 50
    assert next(batches.epoch(0, size, mosaic)).images.shape == (8, 3, size, size)


def test_boxes_go_where_pasted_pixels_go(tmp_path: Path) -> None:
    """Blue is what the hosts aren't labelled for, and the only thing that is pasted."""
    wanted = replace(MOVED, paste=(("a", "b"),), pastes=1.0, turn=())
    batches = Batches([painted(tmp_path)], SIZE, 8, seed=3, augmentation=wanted)
    without = Batches([painted(tmp_path)], SIZE, 8, seed=3, augmentation=replace(wanted, paste=()))

    made, plain = ([batch for epoch in range(3) for batch in each.epoch(epoch)] for each in (batches, without))
    pasted, own = (sum(int((batch.classes == 2).sum()) for batch in each) for each in (made, plain))
    assert pasted > own + 15
    for batch in made:
        check_boxes(batch, 3.0, least=0.5)  # hosts' objects may be half covered


def test_what_is_pasted_small_is_the_mean_of_its_pixels(tmp_path: Path) -> None:
    """Stripes one pixel wide, black and white, are grey from afar; to skip most of them leaves some of either."""
    stripes = np.zeros((SIZE, SIZE, 3), np.uint8)
    stripes[:, ::2] = 255
    pictures = []
    for number, pixels in enumerate([stripes, np.full_like(stripes, 114)] * 8):
        path, objects = tmp_path / f"{number}.png", [(4, 4, 92, 92)] * (1 - number % 2)
        assert cv2.imwrite(str(path), pixels)
        pictures.append(labelled(path, (SIZE, SIZE), objects, [2] * len(objects), "ab"[number % 2], number))
    dataset = Dataset(NAMES, tuple(pictures), (), {"b": frozenset({0, 1})})
    wanted = replace(Augmentation.none(), paste=(("a", "b"),), pastes=1.0)
    (batch, *more) = Batches([dataset], SIZE, 16, augmentation=wanted).epoch(0)

    small = 0
    for image, box in zip(batch.images, batch.boxes[:, 0], strict=True):
        left, top, right, bottom = (round(edge) for edge in box.tolist())
        if 12 <= right - left <= 30:
            small += 1
            inner = image[:, top + 4 : bottom - 4, left + 4 : right - 4]
            assert 0.3 < float(inner.min()) <= float(inner.max()) < 0.7
    assert small >= 2
    assert not more


@pytest.mark.parametrize("flip", [0.0, 0.5])
@pytest.mark.parametrize("change", [{}, {"turn": (("a", 1.0),)}, {"paste": (("a", "b"),), "pastes": 1.0}])
def test_nothing_is_mirrored_that_should_not_be(tmp_path: Path, flip: float, change: dict[str, object]) -> None:
    """Red has green beside it and blue below it: from red, green is never on the other side of blue."""
    corners = np.full((SIZE, SIZE, 3), 114, np.uint8)
    for colour, (top, left) in zip(COLOURS, [(10, 10), (10, 58), (58, 10)], strict=True):
        corners[top : top + 28, left : left + 28] = colour
    pictures = []
    for number, pixels in enumerate([corners, np.full_like(corners, 114)] * 20):
        path, objects = tmp_path / f"{number}.png", [(4, 4, 92, 92)] * (1 - number % 2)
        assert cv2.imwrite(str(path), pixels[..., ::-1])
        pictures.append(labelled(path, (SIZE, SIZE), objects, [2] * len(objects), "ab"[number % 2], number))
    dataset = Dataset(NAMES, tuple(pictures), (), {"b": frozenset({0, 1})})
    wanted = replace(Augmentation.none(), flip=flip, **change)  # type: ignore[arg-type]
    (batch,) = Batches([dataset], SIZE, 40, augmentation=wanted).epoch(0)

    found = [places for image in batch.images if (places := middles(coloured(image))) is not None]
    sides = [float(np.sign(np.linalg.det([green - red, blue - red]))) for red, green, blue in found]
    assert set(sides) == ({1.0, -1.0} if flip else {1.0})
    up = [green[1] < red[1] - 20 for red, green, _ in found]
    assert len(found) >= 20
    assert set(up) == ({True, False} if "turn" in change else {False})


def middles(found: np.ndarray) -> list[np.ndarray] | None:
    """x and y of the middle of each colour, if all are there."""
    places = [np.argwhere(each)[:, ::-1] for each in found]
    return [place.mean(0) for place in places] if all(map(len, places)) else None


def test_the_same_seed_gives_the_same_batches_from_any_step_on(tmp_path: Path) -> None:
    wanted = Augmentation(paste=(("a", "b"),), noise=1.0, blur=0.5)

    def made(seed: int, first: int = 0) -> list[Batch]:
        return list(Batches([painted(tmp_path)], SIZE, 5, seed=seed, augmentation=wanted).epoch(2, first=first))

    whole, rest, other = made(1), made(1, 3), made(2)
    assert len(whole) == 5
    for one, again in zip(whole[3:], rest, strict=True):
        for name in Batch.__dataclass_fields__:
            assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(whole[0].images, other[0].images)


def test_values_and_types(tmp_path: Path) -> None:
    batches = Batches([painted(tmp_path)], SIZE, 6, augmentation=Augmentation(brightness=2.0, noise=1.0, mosaic=1.0))
    for batch in batches.epoch(0):
        most = batch.classes.shape[1]
        assert (batch.images.dtype, batch.images.shape) == (torch.float32, (6, 3, SIZE, SIZE))
        assert 0 <= float(batch.images.min()) <= float(batch.images.max()) <= 1
        assert (batch.boxes.dtype, batch.boxes.shape) == (torch.float32, (6, most, 4))
        assert (batch.classes.dtype, batch.scores.dtype, batch.ignore.dtype) == (
            torch.int64, torch.float32, torch.bool,
        )  # fmt: skip
        assert (batch.tiles.shape, batch.known.shape) == ((6, 4, 4), (6, 4, 3))
        assert float((batch.tiles[..., 2] - batch.tiles[..., 0]).min()) > 0
        assert ((batch.boxes >= 0) & (batch.boxes <= SIZE)).all()


def test_tiles_say_what_is_known_of_them(tmp_path: Path) -> None:
    batches = Batches([painted(tmp_path)], SIZE, 24, augmentation=replace(MOVED, mosaic=1.0, flip=0.0))
    (batch,) = batches.epoch(0)

    assert batch.known[..., :2].all()
    assert not batch.known[..., 2].all()
    assert batch.known[..., 2].any()
    for number in range(24):  # b, where blue isn't known, has no blue
        for box, kind in zip(batch.boxes[number].tolist(), batch.classes[number].tolist(), strict=True):
            if kind == 2:
                x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                left, top, right, bottom = batch.tiles[number].T
                inside = (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
                assert batch.known[number, inside, 2].all()


def test_tiles_say_what_a_teacher_knows(tmp_path: Path) -> None:
    [batch] = Batches([painted(tmp_path)], SIZE, 24, augmentation=Augmentation(mosaic=1.0), untaught=["b"]).epoch(0)
    assert torch.equal(batch.taught, batch.known[..., 2])  # both are so in all of a, and in nothing of b
    assert 0 < int(batch.taught.sum()) < batch.taught.numel()


def test_rests_are_ignored(tmp_path: Path) -> None:
    """Half out of the picture is an object still, a quarter is neither object nor background."""
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 114, np.uint8))
    wide = [(float(left), 20.0, left + 30.0, 80.0) for left in range(0, 66, 5)]
    dataset = Dataset(NAMES, (labelled(path, (SIZE, SIZE), wide, [0] * len(wide), "", 0),), (), {})
    larger = replace(MOVED, mosaic=0.0, scale=(1.4, 1.4), stretch=0.0, flip=0.0, turn=())
    batches = Batches([dataset], SIZE, 1, augmentation=larger)
    for epoch in range(20):
        (batch,) = batches.epoch(epoch)
        shown = (batch.boxes[0, :, 2:] - batch.boxes[0, :, :2]).prod(1) / (30 * 60 * 1.4**2)
        there = batch.classes[0] >= 0
        assert torch.equal(batch.ignore[0][there], (shown < 0.35)[there])
        assert float(shown[there].min()) >= 0.05


def test_thin_boxes_are_ignored_where_scaling_made_them_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 114, np.uint8))
    boxes = [(40.0, 40.0, 42.5, 60.0), (50.0, 40.0, 60.0, 60.0)]
    dataset = Dataset(NAMES, (labelled(path, (SIZE, SIZE), boxes, [0, 1], "", 0),), (), {})
    still = replace(MOVED, mosaic=0.0, stretch=0.0, flip=0.0, turn=())
    for scale, ignored in ((1.0, [False, False]), (0.8, [True, False])):
        (batch,) = Batches([dataset], SIZE, 1, augmentation=replace(still, scale=(scale, scale))).epoch(0)
        assert batch.ignore[0].tolist() == ignored


def test_repeats_and_the_length_of_an_epoch(tmp_path: Path) -> None:
    batches = Batches([painted(tmp_path)], SIZE, 12, repeats={"a": 3}, augmentation=Augmentation.none())

    assert len(batches) == 4  # 12 + 3 * 12
    blue = sum(int((batch.classes == 2).sum()) for batch in batches.epoch(0))
    assert blue == 3 * sum(int(2 in picture.classes) for picture in batches.pictures)


@pytest.mark.parametrize(
    "wrong",
    [
        {"repeats": {"c": 2}},
        {"augmentation": Augmentation(paste=(("a", "c"),))},
        {"augmentation": Augmentation(turn=(("c", 0.5),))},
    ],
)
def test_a_source_that_is_not_there(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"no picture is from source 'c'; there are: a, b"):
        Batches([painted(tmp_path)], SIZE, 8, **wrong)  # type: ignore[arg-type]


def test_data_sets_of_other_classes_are_joined_by_name(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = painted(tmp_path / "one"), painted(tmp_path / "two")
    renamed = replace(two, names=("blue", "yellow", "red"), labelled={})
    batches = Batches([one, renamed], SIZE, 48, augmentation=Augmentation.none())
    (batch,) = batches.epoch(0)

    assert batches.names == ("red", "green", "blue", "yellow")
    classes = batch.classes[batch.classes >= 0].bincount(minlength=4)
    own = np.bincount([kind for picture in one.pictures for kind in picture.classes], minlength=3)
    assert classes.tolist() == [own[0] + own[2], own[1], own[2] + own[0], own[1]]
    known = {tuple(row) for row in batch.known[:, 0].tolist()}
    assert known == {(True, True, True, False), (True, True, False, False), (True, False, True, True)}


def test_a_picture_that_breaks_later_is_left_out(tmp_path: Path) -> None:
    dataset = painted(tmp_path)
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    batches = Batches([dataset], SIZE, 24, augmentation=Augmentation.none())
    batches.load()

    assert [line.partition(str(tmp_path))[2] for line in batches.problems] == ["/3.png is no picture: left out"]
    assert sum(len(batch.images) for batch in batches.epoch(0)) == 24
    for number in range(24):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(UsageError, match="no picture can be decoded"):
        Batches([dataset], SIZE, 24).load()


def test_colours_change_and_stay_in_range(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.tile(np.arange(SIZE, dtype=np.uint8)[:, None, None] * 2, (1, SIZE, 3)))
    dataset = Dataset(("none",), (labelled(path, (SIZE, SIZE), [], [], "", 0),), (), {})
    still = replace(Augmentation.none(), scale=(1.0, 1.0))
    (plain,) = Batches([dataset], SIZE, 1, augmentation=still).epoch(0)
    for change in ({"brightness": 0.5}, {"contrast": 0.5}, {"balance": 0.3}, {"blur": 1.0}, {"noise": 1.0}):
        (batch,) = Batches([dataset], SIZE, 1, augmentation=replace(still, **change)).epoch(0)
        assert 0.001 < float((batch.images - plain.images).abs().mean()) < 0.3
    for change in ({"hue": 0.2}, {"saturation": 0.9}, {"grey": 1.0}):  # nothing to do in a grey picture
        (batch,) = Batches([dataset], SIZE, 1, augmentation=replace(still, **change)).epoch(0)
        assert float((batch.images - plain.images).abs().max()) < 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_the_same(tmp_path: Path) -> None:
    dataset = painted(tmp_path)
    wanted = replace(Augmentation(), noise=0.0, paste=(("a", "b"),), turn=(("b", 0.5),))
    pairs = [Batches([dataset], SIZE, 8, device, augmentation=wanted).epoch(0) for device in ("cpu", "cuda")]
    for host, device in zip(*pairs, strict=True):
        assert torch.equal(host.boxes, device.boxes.cpu())
        assert float((host.images - device.images.cpu()).abs().mean()) < 1e-3


@pytest.mark.shared
def test_real_pictures_of_several_sources(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data/streetset.tar") as archive:
        archive.extract("streetset/val.json", tmp_path, filter="data")
        images = json.loads((tmp_path / "streetset/val.json").read_bytes())["images"]
        for source in ("cap", "hw"):
            for image in [image for image in images if image["source"] == source][:20]:
                archive.extract(f"streetset/images/{image['file_name']}", tmp_path, filter="data")
    dataset = read_dataset(tmp_path / "streetset", "val", {"cap": ["person"]})
    wanted = Augmentation(paste=(("hw", "cap"),), turn=(("cap", 0.2),))

    assert len(dataset.pictures) == 40
    for batch in Batches([dataset], 320, 8, augmentation=wanted, repeats={"hw": 2}).epoch(0):
        assert torch.isfinite(batch.images).all()
        assert int(batch.classes.max()) < 5
