"""Writes down what pycuda offers, read off its source: python -m tests.fakes.pycuda_signatures pycuda-*.tar.gz

pycuda can't be built without CUDA, so tests on a machine without it hold the simulated one to this record; on a
machine with a GPU, tests/gpu holds the record to pycuda itself.
"""

import json
import re
import sys
import tarfile
from pathlib import Path

RECORD = Path(__file__).with_name("pycuda.json")
_WRAPPER, _ERRORS = "src/wrapper/wrap_cudadrv.cpp", ("Error", "MemoryError", "LogicError", "LaunchError")
_CLASSES = ("Device", "Context", "Stream", "Event", "Module", "DeviceAllocation")
_FUNCTIONS = (
    "init", "mem_alloc", "mem_get_info", "pagelocked_empty", "memcpy_htod_async", "memcpy_dtoh_async",
    "memset_d8_async", "module_from_buffer",
)  # fmt: skip


def signatures(source: str) -> dict[str, object]:
    """functions: names of their arguments, None where C++ doesn't name them. classes: names of their members."""
    return {
        "functions": {name: _arguments(source, name) for name in _FUNCTIONS},
        "classes": {name: _members(source, name) for name in _CLASSES},
        "errors": [name for name in _ERRORS if re.search(rf"DECLARE_EXC\({name},", source)],
        "event_flags": re.findall(r'\.value\("(\w+)"', _statement(source, '"event_flags"')),
    }


def documented(words: str | None) -> list[str]:
    """The names of a function's arguments, off what the built pycuda says of it; empty if it names none."""
    named = re.findall(r"\(\w+\)(\w+)", (words or "").strip().partition("\n")[0])
    return [] if named and re.fullmatch(r"arg\d+", named[0]) else named


def _statement(source: str, start: str) -> str:
    """From `start` to the end of the C++ statement."""
    at = source.index(start)
    return source[at : source.index(";", at)]


def _arguments(source: str, name: str) -> list[str] | None:
    if f"DEF_SIMPLE_FUNCTION({name})" in source:
        return []
    statement = _statement(source, f'py::def("{name}"')
    return [word for group in re.findall(r"py::args?\(([^)]*)\)", statement) for word in re.findall(r'"(\w+)"', group)]


def _members(source: str, name: str) -> list[str]:
    start = re.search(rf'\(?"{name}", py::(?:no_init|init)', source)
    assert start, name
    statement = source[start.start() : source.index("\n      ;", start.start())]
    found = re.findall(r'(?:def|add_property)\(\s*"(\w+)"|METHOD\((\w+)\)', statement)
    return sorted({name or simple for name, simple in found})


def _main(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        root = opened.getnames()[0].partition("/")[0]
        file = opened.extractfile(f"{root}/{_WRAPPER}")
        assert file is not None
        found = {"version": root.partition("-")[2], **signatures(file.read().decode())}
    RECORD.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
