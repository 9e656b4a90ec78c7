"""Cameras of this machine. What can be tested where there is none: what is said then."""

from pathlib import Path

import pytest

from producers.sources.registry import open_source
from streamer.errors import SourceError, SourceUnusableError
from tests.clips import definition, quick_settings


def test_a_camera_that_is_not_there_may_be_plugged_in() -> None:
    source = open_source(definition("/dev/video97"), quick_settings())
    assert source.live
    with pytest.raises(SourceError, match=r"/dev/video97: no such camera; there (is none|are)") as caught:
        source.open()
    assert not isinstance(caught.value, SourceUnusableError)


def test_what_is_no_camera() -> None:
    assert Path("/dev/null").exists()
    with pytest.raises(SourceError, match="/dev/null: this is no camera"):
        open_source(definition("/dev/null"), quick_settings()).open()
