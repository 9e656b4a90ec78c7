"""Plug-ins for sources: one that fails ends its own stream with a line, and nothing else."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from unittest.mock import Mock

import pytest

from producers.assignment import Defined
from producers.reconnect import State
from producers.serving import Serving
from producers.sources import registry
from streamer.errors import SourceUnusableError
from streamer.settings import Settings
from tests.clips import definition, quick_settings
from tests.waiting import eventually

Plug = Callable[[str], None]
MADE = "def make(definition, address, settings):\n    "
FAILING = [
    ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    ("raise OSError('libcam.so: cannot open')", "OSError: libcam.so: cannot open"),
    ("x = 1 + 'a'", "TypeError: unsupported operand"),
    ("class Broken(Exception): pass\nraise Broken('two\\nlines')", "Broken: two lines"),
    ("", "AttributeError: module 'mycam' has no attribute 'make'"),
    (MADE + "raise KeyError(address)", "KeyError: 'mycam://***@h/1'"),
]


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plug]:
    """Makes a plug-in `mycam` of this text."""

    def write(text: str) -> None:
        (tmp_path / "mycam.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "mycam", raising=False)
        known = {**registry._factories(), "mycam": EntryPoint("mycam", "mycam:make", registry.GROUP)}
        monkeypatch.setattr(registry, "_factories", lambda: known)

    yield write
    sys.modules.pop("mycam", None)


@pytest.mark.parametrize(("text", "reason"), FAILING)
def test_a_plug_in_that_fails_is_named_in_one_line(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv("MYCAM_LOGIN", "u:hunter2")
    plug(text)
    with pytest.raises(SourceUnusableError) as failed:
        registry.open_source(definition("mycam://${MYCAM_LOGIN}@h/1"), quick_settings())
    assert f"plug-in mycam:make fails: {reason}" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_what_a_plug_in_says_of_its_address_is_passed_on(plug: Plug) -> None:
    plug("from streamer.errors import SourceError\n" + MADE + "raise SourceError('no garden here')")
    with pytest.raises(Exception, match=r"^no garden here$"):
        registry.open_source(definition("mycam:garden"), quick_settings())


def test_the_other_streams_run(plug: Plug) -> None:
    plug("import no_such_package")
    publisher = Mock()
    publisher.lane.return_value.stamp.side_effect = lambda ms: ms
    streams = {"bad": "mycam:garden", "good": "synthetic:?frames=1"}
    wanted = {name: Defined(definition(source).model_copy(update={"id": name}), 1) for name, source in streams.items()}
    serving = Serving(Settings(), publisher, Mock(of=lambda _: None))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("producers.serving.find_positions", lambda *_: {})
        serving.apply(wanted)
    eventually(lambda: all(runner.over for runner in serving.runners.values()), "both are over")
    assert {name: runner.state for name, runner in serving.runners.items()} == {
        "bad": State.FAILED,
        "good": State.ENDED,
    }
