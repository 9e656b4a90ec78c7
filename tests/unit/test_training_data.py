"""Data sets for training: the formats give the same pictures, and every fault is a clear line, not an end."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.training.dataset import Dataset, place_of, read_dataset
from engines.training.packing import pack_dataset
from engines.training.picture_file import PictureError, PictureFile
from streamer.errors import UsageError

Change = Callable[[dict[str, Any], Path], object]


def picture(path: Path, size: tuple[int, int] = (80, 60), seed: int = 0) -> Path:
    """A picture of coloured noise. size: width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def coco(folder: Path, change: Change = lambda content, folder: None, split: str = "train") -> Path:
    """Three pictures in COCO's format; two have a box."""
    content: dict[str, Any] = {
        "categories": [{"id": 7, "name": "car"}, {"id": 2, "name": "person"}],
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 80, "height": 60, "source": "ab"[n % 2]} for n in range(3)
        ],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 2, "bbox": [10, 20, 30, 15], "iscrowd": 0},
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 80, 60], "iscrowd": 1, "pseudo": 0.5},
        ],
    }
    for number in range(3):
        picture(folder / "images" / split / f"{number}.jpg", seed=number)
    change(content, folder / "images" / split)
    (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def yolo(folder: Path, labels: Mapping[str, str | None], names: str = "names: [person, car]\n") -> Path:
    """Pictures with label files in YOLO's layout; None: no label file."""
    for number, (stem, text) in enumerate(labels.items()):
        picture(folder / "images" / "train" / f"{stem}.jpg", seed=number)
        if text is not None:
            label = folder / "labels" / "train" / f"{stem}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val  # none yet\n{names}")
    return folder


def test_coco_gives_boxes_names_sources_and_scores(tmp_path: Path) -> None:
    dataset = read_dataset(coco(tmp_path), "train", {"a": ["person"]})

    assert dataset.names == ("person", "car")  # in the order of their ids
    assert dataset.problems == ()
    assert [picture.source for picture in dataset.pictures] == ["a", "b", "a"]
    first, second, third = dataset.pictures
    assert (first.width, first.height, first.number) == (80, 60, 0)
    assert first.boxes.tolist() == [[10, 20, 40, 35]]
    assert (first.classes.tolist(), first.scores.tolist(), first.crowd.tolist()) == ([0], [1.0], [False])
    assert (second.classes.tolist(), second.scores.tolist(), second.crowd.tolist()) == ([1], [0.5], [True])
    assert third.boxes.shape == (0, 4)
    assert (third.boxes.dtype, third.classes.dtype, third.crowd.dtype) == (np.float32, np.int64, np.bool_)
    assert (dataset.known("a"), dataset.known("b")) == ({0}, {0, 1})


@pytest.mark.parametrize(
    ("json_at", "pictures_at", "asked"),
    [
        ("train.json", "images/train", "."),
        ("train.json", "images/train", "train.json"),
        ("annotations/instances_train2017.json", "train2017", "."),
        ("annotations/instances_train2017.json", "images/train2017", "."),
        ("train/_annotations.coco.json", "train", "."),
        ("any.json", ".", "any.json"),
    ],
)
def test_coco_is_found_in_its_usual_places(tmp_path: Path, json_at: str, pictures_at: str, asked: str) -> None:
    coco(tmp_path / "from")
    top = tmp_path / "to"
    (top / json_at).parent.mkdir(parents=True, exist_ok=True)
    (top / pictures_at).mkdir(parents=True, exist_ok=True)
    (tmp_path / "from/train.json").rename(top / json_at)
    for file in (tmp_path / "from/images/train").iterdir():
        file.rename(top / pictures_at / file.name)

    assert len(read_dataset(top / asked, "train").pictures) == 3


def _set(**values: object) -> Change:
    return lambda content, folder: content["annotations"][0].update(values)


def _image(**values: object) -> Change:
    return lambda content, folder: content["images"][2].update(values)


def _cut(content: dict[str, Any], folder: Path) -> None:
    whole = (folder / "2.jpg").read_bytes()
    (folder / "2.jpg").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("change", "line", "pictures", "boxes"),
    [
        (_cut, "2.jpg is cut off: left out", 2, 2),
        (lambda _, folder: (folder / "2.jpg").write_bytes(b""), "2.jpg is empty: left out", 2, 2),
        (lambda _, folder: (folder / "2.jpg").write_text("hello"), "2.jpg is no picture: left out", 2, 2),
        (lambda _, folder: (folder / "2.jpg").unlink(), "2.jpg is missing: left out", 2, 2),
        (_image(id=1), "id 1 is that of 1.jpg and 2.jpg: the second one is left out", 2, 2),
        (_image(width=160, height=120), "2.jpg is 80x60 pixels, its labels are for 160x120: boxes scaled", 3, 2),
        (_image(width=60, height=80), "2.jpg is 80x60 pixels, its labels are for 60x80: left out", 2, 2),
        (_set(bbox=[70, 20, 30, 15]), "annotation 0: a box reaches 20 pixels out of its picture: clipped", 3, 2),
        (_set(bbox=[90, 20, 30, 15]), "annotation 0: a box outside its picture: left out", 3, 1),
        (_set(bbox=[10, 20, 0, 15]), "annotation 0: a box of zero size: left out", 3, 1),
        (_set(bbox=[10, 20, -5, 15]), "annotation 0: a box of zero size: left out", 3, 1),
        (_set(bbox=[10, float("nan"), 5, 15]), "annotation 0: not a number in its box: left out", 3, 1),
        (_set(bbox=[10, 20, 5]), "annotation 0 has no bbox of four numbers: left out", 3, 1),
        (_set(bbox=None), "annotation 0 has no bbox of four numbers: left out", 3, 1),
        (_set(category_id=3), "annotation 0 has category 3, which isn't there: left out", 3, 1),
        (_set(image_id=9), "annotation 0 is for image 9, which isn't there: left out", 3, 1),
        (lambda content, _: content["categories"].append({"id": 9, "name": "bus"}), "no picture has a bus", 3, 2),
    ],
)  # fmt: skip
def test_a_fault_is_a_line_and_the_rest_is_used(
    tmp_path: Path, change: Change, line: str, pictures: int, boxes: int
) -> None:
    dataset = read_dataset(coco(tmp_path, change), "train")

    assert line in dataset.problems[0]
    assert len(dataset.pictures) == pictures
    assert sum(len(picture.boxes) for picture in dataset.pictures) == boxes
    for each in dataset.pictures:
        assert (each.boxes >= 0).all()
        assert (each.boxes <= [each.width, each.height] * 2).all()


def test_boxes_of_a_scaled_picture_are_scaled(tmp_path: Path) -> None:
    def change(content: dict[str, Any], folder: Path) -> None:
        content["images"][0] |= {"width": 160, "height": 120}

    assert read_dataset(coco(tmp_path, change), "train").pictures[0].boxes.tolist() == [[5, 10, 20, 17.5]]


def test_many_faults_of_a_kind_are_a_few_lines(tmp_path: Path) -> None:
    dataset = read_dataset(
        yolo(tmp_path, {f"{n}": "" for n in range(12)} | {"a": "0 .5 .5 .5 .5\n1 .5 .5 .5 .5"}), "train"
    )

    assert len(dataset.problems) == 6
    assert dataset.problems[-1] == "7 more: empty label files"


@pytest.mark.parametrize(
    ("prepare", "line"),
    [
        (lambda top: None, "no data set with a split 'train'"),
        (lambda top: (top / "train.json").write_text("{"), "not a JSON file"),
        (lambda top: (top / "train.json").write_text('{"annotations": []}'), "no list 'images'"),
        (lambda top: (top / "train.json").write_text("[]"), "no list 'images'"),
        (lambda top: (top / "train.json").write_text('{"images": [], "categories": []}'), "no picture that can be"),
        (lambda top: (top / "train.json").write_text('{"images": [{"id": 1}], "categories": []}'), "without file_name"),
        (lambda top: coco(top, lambda content, folder: [f.unlink() for f in folder.iterdir()]), "0.jpg is missing"),
        (lambda top: (top / "data.yaml").write_text("train: images\n"), "no names in it"),
        (lambda top: (top / "data.yaml").write_text("names: [a]\n"), "no 'train' in it"),
        (lambda top: (top / "data.yaml").write_text("names: [a]\ntrain: images"), "train: images isn't there"),
        (lambda top: (top / "data.yaml").write_text("names:\n  0: a\n  2: b\ntrain: x"), "each number from 0 on"),
        (lambda top: [coco(top), (top / "annotations").mkdir(),
                      (top / "annotations/instances_train.json").write_text("{}")], "name one of them"),
        (lambda top: (top / "pack.json").write_text("{}"), "not an index of packed pictures"),
        (lambda top: yolo(top, {"a": "0 .5 .5 1 1"}, f"names: [{','.join(map(str, range(8193)))}]"),
         "data.yaml: 8193 classes, more than 8192"),
        (lambda top: (yolo(top, {"a": "0 .5 .5 1 1\n7 .5 .5 1 1\n9999 .5 .5 1 1"}) / "data.yaml").unlink(),
         "a.txt:3: class 9999, but 3 classes are used, and none has a name; mend it, or write names into data.yaml"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_at_all_ends_in_one_line(
    tmp_path: Path, prepare: Callable[[Path], object], line: str
) -> None:
    prepare(tmp_path)

    with pytest.raises(UsageError, match=line) as caught:
        read_dataset(tmp_path, "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "split", "second"),
    [
        ("train.json", "val", "val.json"),
        ("train.json", "val", "valid.json"),
        ("mine.json", "test", "test.json"),
        ("annotations/instances_train2017.json", "val", "annotations/instances_val2017.json"),
        ("annotations/train.json", "val", "annotations/val.json"),
        ("train/_annotations.coco.json", "val", "valid/_annotations.coco.json"),
        (".", "val", "."),
        ("data.yaml", "val", "data.yaml"),
        ("pack.json", "val", "pack.json"),
    ],
)
def test_where_another_split_is(tmp_path: Path, first: str, split: str, second: str) -> None:
    for name in (first, second):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name != ".":
            (tmp_path / name).touch()

    assert place_of(tmp_path / first, split) == tmp_path / second


@pytest.mark.parametrize("name", ["data/train.json", "data/val.json"])
def test_a_file_is_not_its_own_other_split(tmp_path: Path, name: str) -> None:
    for file in ("val.json", name):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()

    with pytest.raises(UsageError, match="has one split, and no other file beside it is called 'val'"):
        place_of(tmp_path / name, "val")


def test_wrong_names_in_labelled(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no class 'lorry'; there are person, car"):
        read_dataset(coco(tmp_path), "train", {"a": ["lorry"]})
    assert "no picture is from 'c' (a, b)" in read_dataset(tmp_path, "train", {"c": ["car"]}).problems[0]


def _without_sources(content: dict[str, Any], folder: Path) -> None:
    for image in content["images"]:
        del image["source"]


@pytest.mark.parametrize("named", ["web", "web/train.json", "web/annotations/any.json", "web/train/any.json"])
def test_pictures_without_a_source_are_from_their_folder(tmp_path: Path, named: str) -> None:
    folder = coco(tmp_path / "web", _without_sources)
    if named.endswith(".json"):
        (tmp_path / named).parent.mkdir(exist_ok=True)
        (folder / "train.json").rename(tmp_path / named)

    dataset = read_dataset(tmp_path / named, "train", {"web": ["person"]})
    assert {picture.source for picture in dataset.pictures} == {"web"}
    assert (dataset.known("web"), dataset.problems) == ({0}, ())


def test_where_some_pictures_have_a_source_the_others_have_none(tmp_path: Path) -> None:
    dataset = read_dataset(coco(tmp_path, lambda content, _: content["images"][2].pop("source")), "train")
    assert [picture.source for picture in dataset.pictures] == ["a", "b", ""]


def test_yolo_folders_are_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = yolo(tmp_path / "web", {"a": "1 .5 .5 .1 .1"})
    monkeypatch.chdir(folder)
    for path in (folder, Path(), Path("data.yaml")):
        assert read_dataset(path, "train").pictures[0].source == "web"


@pytest.mark.parametrize(
    ("text", "boxes", "classes", "scores"),
    [
        ("1 0.5 0.5 0.25 0.5\n", [[30, 15, 50, 45]], [1], [1]),
        ("0 0.5 0.5 1 1\n\n1 0.25 0.5 0.5 1 0.75\n", [[0, 0, 80, 60], [0, 0, 40, 60]], [0, 1], [1, 0.75]),
        ("1 0.25 0.5 0.5 0.25 0.75 0.75\n", [[20, 15, 60, 45]], [1], [1]),
    ],
    ids=["box", "score", "outline"],
)
def test_yolo_labels(
    tmp_path: Path, text: str, boxes: list[list[float]], classes: list[int], scores: list[float]
) -> None:
    first = read_dataset(yolo(tmp_path, {"a": text, "b": "0 .5 .5 .1 .1"}), "train").pictures[0]

    assert first.boxes.tolist() == boxes
    assert (first.classes.tolist(), first.scores.tolist()) == (classes, scores)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "a.txt: empty: its picture is taken as empty of objects"),
        (None, "a.jpg: no a.txt: taken as empty of objects"),
        ("2 .5 .5 .1 .1", "a.txt:1: class 2, but names end at 1: left out"),
        ("-1 .5 .5 .1 .1", "a.txt:1: class -1, but names end at 1: left out"),
        ("0 nan .5 .1 .1", "a.txt:1: not a number in its box: left out"),
        ("0 .5 .5 0 .1", "a.txt:1: a box of zero size: left out"),
        ("0 1.5 .5 .1 .1", "a.txt:1: a box outside its picture: left out"),
        ("person .5 .5 .1 .1", "is not 'class x y width height': left out"),
        ("0.5 .5 .5 .1 .1", "is not 'class x y width height': left out"),
        ("nan .5 .5 .1 .1", "is not 'class x y width height': left out"),
        ("0 .5 .5 .1", "is not 'class x y width height': left out"),
    ],
)
def test_faults_of_yolo_labels(tmp_path: Path, text: str | None, line: str) -> None:
    dataset = read_dataset(yolo(tmp_path, {"a": text, "b": "0 .5 .5 .1 .1\n1 .5 .5 .1 .1"}), "train")

    assert line in dataset.problems[0]
    assert [len(picture.boxes) for picture in dataset.pictures] == [0, 2]


@pytest.mark.parametrize(
    "names",
    [
        "names: [person, 'car']",
        "names: {0: person, 1: car}",
        "names:\n- person\n- car",
        'names:\n  0: person\n  1: "car"  # four wheels',
        "nc: 2\nnames: [ person, car ]\nlicense: CC BY 4.0",
    ],
)
def test_ways_to_write_names(tmp_path: Path, names: str) -> None:
    assert read_dataset(yolo(tmp_path, {"a": "1 .5 .5 .1 .1"}, names), "train").names == ("person", "car")


def test_yolo_folders_without_a_data_yaml(tmp_path: Path) -> None:
    (yolo(tmp_path, {"a": "1 .5 .5 .1 .1"}) / "data.yaml").unlink()
    assert read_dataset(tmp_path, "train").names == ("class 0", "class 1")
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 .5 .5 .1 .1\n79 .5 .5 .1 .1\n-1 .5 .5 .1 .1")
    assert read_dataset(tmp_path, "train").names == tuple(f"class {number}" for number in range(80))
    (tmp_path / "classes.txt").write_text("person\ncar\n")
    assert read_dataset(tmp_path, "train").names == ("person", "car")


def _same(one: Dataset, other: Dataset) -> bool:
    pairs = zip(one.pictures, other.pictures, strict=True)
    return one.names == other.names and all(
        a.file.read() == b.file.read()
        and all(np.array_equal(getattr(a, key), getattr(b, key)) for key in ("boxes", "classes", "scores", "crowd"))
        and (a.width, a.height, a.source, a.number) == (b.width, b.height, b.source, b.number)
        for a, b in pairs
    )


def test_packed_pieces_give_the_same_pictures(tmp_path: Path) -> None:
    def large(content: dict[str, Any], folder: Path) -> None:
        for number in range(3):
            picture(folder / f"{number}.jpg", (800, 600), number)
            content["images"][number] |= {"width": 800, "height": 600}

    dataset = read_dataset(coco(tmp_path / "from", large), "train", {"a": ["person"]})
    pieces = pack_dataset(dataset, tmp_path / "to", "train", piece_mib=1)
    pack_dataset(dataset, tmp_path / "to", "val")

    assert len(pieces) > 1
    assert all(piece.stat().st_size <= 1 << 20 for piece in pieces)
    for split in ("train", "val"):
        packed = read_dataset(tmp_path / "to", split)
        assert _same(packed, dataset)
        assert (packed.labelled, packed.problems) == (dataset.labelled, ())
    with pytest.raises(UsageError, match="packed there already"):
        pack_dataset(dataset, tmp_path / "to", "val")
    with pytest.raises(UsageError, match="no split 'test' is packed here"):
        read_dataset(tmp_path / "to", "test")
    pieces[0].write_bytes(pieces[0].read_bytes()[:-1] + b"!")
    with pytest.raises(UsageError, match="not those packed; carry it over again"):
        read_dataset(tmp_path / "to", "train")
    pieces[0].unlink()
    with pytest.raises(UsageError, match="is missing; carry it over"):
        read_dataset(tmp_path / "to", "train")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_the_size_of_a_picture_is_that_of_its_pixels(tmp_path: Path, suffix: str) -> None:
    file = PictureFile(picture(tmp_path / f"a{suffix}", (70, 50)))

    assert file.size() == (70, 50)
    assert file.pixels().shape == (50, 70, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photograph_that_lies_on_its_side_is_upright(tmp_path: Path, order: str) -> None:
    path = picture(tmp_path / "a.jpg", (70, 50))
    table = struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8) + table
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])

    assert PictureFile(path).size() == (50, 70)
    assert PictureFile(path).pixels().shape == (70, 50, 3)


def test_pixels_of_a_cut_off_picture_are_refused(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(PictureError, match="is cut off"):
        PictureFile(path).pixels()
