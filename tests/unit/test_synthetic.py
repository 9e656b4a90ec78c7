"""The street as a source: options, numbers, times, and its two natures."""

import itertools
import time

import numpy as np
import pytest

from producers.colour import BT601, Tags, tags
from producers.picture import Picture
from producers.sources.registry import open_source
from producers.sources.synthetic import StreetOptions, SyntheticSource, parse_address
from streamer.errors import SourceUnusableError
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings


def opened(address: str) -> SyntheticSource:
    source = SyntheticSource(StreamDefinition(id="cam", source=address), address, ProduceSettings())
    source.open()
    return source


def planes(picture: Picture) -> list[bytes]:
    return [bytes(plane) for plane in picture.frame.planes]


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("synthetic:", StreetOptions()),
        ("synthetic://", StreetOptions()),
        ("synthetic:?frames=200&seed=7&fps=12.5", StreetOptions(frames=200, seed=7, fps=12.5)),
        ("synthetic:?size=640x360&objects=0", StreetOptions(size=(640, 360), objects=0)),
    ],
)
def test_addresses(address: str, options: StreetOptions) -> None:
    assert parse_address(address) == options


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("synthetic:street", "options go behind a question mark"),
        ("synthetic:?speed=2", "no option is called speed; there are: size, fps, seed, frames, objects"),
        ("synthetic:?size=641x360", "use WIDTHxHEIGHT, even numbers from 64 to 4096"),
        ("synthetic:?size=640", "use WIDTHxHEIGHT"),
        ("synthetic:?frames=0", "use a whole number from 1 on"),
        ("synthetic:?frames=", "use a whole number from 1 on"),
        ("synthetic:?fps=nan", "use a number from 0.1 to 1000"),
        ("synthetic:?fps=fast", "use a number from 0.1 to 1000"),
        ("synthetic:?objects=-1", "use a whole number up to 200"),
        ("synthetic:?seed=²", "use a whole number"),
    ],
)
def test_wrong_addresses_say_what_is_right(address: str, message: str) -> None:
    with pytest.raises(SourceUnusableError, match=message.replace("?", r"\?")):
        parse_address(address)


def test_a_street_with_an_end_is_like_a_file() -> None:
    source = opened("synthetic:?frames=20&size=160x90&fps=10")

    pictures = list(source.pictures())

    assert not source.live
    assert [p.index for p in pictures] == list(range(20))
    assert [p.seconds for p in pictures] == pytest.approx([k / 10 for k in range(20)])
    assert float(pictures[7].pts * pictures[7].frame.time_base) == pytest.approx(0.7)
    assert pictures[0].frame.format.name == "yuv420p"
    assert tags(pictures[0].frame) == Tags(BT601, full=False)


def test_going_on_behind_a_crash_gives_the_same_pictures() -> None:
    whole = list(opened("synthetic:?frames=12&size=160x90").pictures())

    rest = list(opened("synthetic:?frames=12&size=160x90").pictures(start_index=9))

    assert [p.index for p in rest] == [9, 10, 11]
    assert [planes(p) for p in rest] == [planes(p) for p in whole[9:]]


def test_its_colours_are_those_drawn() -> None:
    source = opened("synthetic:?frames=1&size=320x180&seed=4")
    drawn = StreetOptions(size=(320, 180), seed=4).street().draw(0)

    frame = next(source.pictures()).frame
    shown = frame.to_ndarray(format="bgr24", src_colorspace="ITU601", src_color_range=1, dst_color_range=2)

    assert np.abs(shown.astype(int) - drawn).mean() < 3


def test_a_street_without_an_end_keeps_its_own_time() -> None:
    source = opened("synthetic:?size=64x64&fps=50")
    begin = time.monotonic()

    taken = list(itertools.islice(source.pictures(), 20))

    assert source.live
    assert time.monotonic() - begin >= taken[-1].index / 50
    assert all(one.index < other.index for one, other in itertools.pairwise(taken))


def test_a_live_street_does_not_wait_for_the_slow() -> None:
    source = opened("synthetic:?size=64x64&fps=100")
    pictures = source.pictures()
    last = next(pictures)
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:  # busy with something else
        pass

    assert next(pictures).index >= last.index + 25


@pytest.mark.parametrize("address", ["synthetic:?size=64x64&fps=0.1", "synthetic:?size=64x64&frames=100000"])
def test_closing_ends_it_at_once(address: str) -> None:
    source = opened(address)
    pictures = source.pictures()
    next(pictures)

    begin = time.monotonic()
    source.close()

    assert list(pictures) == []
    assert time.monotonic() - begin < 2


def test_found_by_its_address() -> None:
    definition = StreamDefinition(id="cam", source="synthetic:?frames=3&size=64x64&fps=5")

    source = open_source(definition, ProduceSettings())
    source.open()

    assert len(list(source.pictures())) == 3
    assert source.describe() == "drawn street, 64x64, 5 frames/s, 3 pictures"
