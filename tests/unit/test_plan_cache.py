"""Built engines are kept for their key alone, found whole or not at all, built by one process at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.progress import BuildStopped
from engines.tensorrt.cache import PlanCache, open_cache
from engines.tensorrt.plan_file import Plan, PlanKey
from streamer.errors import UsageError
from tests.waiting import eventually

KEY = PlanKey("ab" * 32, 1, "tensorrt", "10.15.1", "NVIDIA L4 sm_89", "model", (3, 64, 64), (1, 4, 8), {"tf32": False})
PLAN = Plan(b"machine code\n" * 999, "yolov8", ("its NMS was cut off",), "street.onnx", 12.5, 1_700_000_000.0)
# Builds until there is a file `go`; says in files of its own when it builds, and when it waits for another's build.
BUILDER = """
import os, sys, time
from pathlib import Path
from engines.tensorrt.cache import open_cache
from tests.unit.test_plan_cache import KEY, PLAN
folder = Path(sys.argv[1])
def build():
    (folder / f"builds.{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return PLAN
def waits():
    (folder / f"waits.{os.getpid()}").touch()
    return False
assert open_cache(folder / "engines").obtain(KEY, build, waits) == PLAN
"""


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return open_cache(tmp_path / "engines")


def never() -> Plan:
    raise AssertionError("built again")


def file_of(cache: PlanCache, key: PlanKey = KEY) -> Path:
    return cache.folder.path / f"{key.digest}.engine"


def test_what_is_built_once_is_found_as_it_was(cache: PlanCache) -> None:
    assert cache.find(KEY) is None
    assert cache.obtain(KEY, lambda: PLAN) == PLAN
    assert cache.obtain(KEY, never) == PLAN
    assert open_cache(cache.folder.path).find(KEY) == PLAN
    assert (file_of(cache).stat().st_mode & 0o777, cache.folder.path.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "cd" * 32},
        {"preparation": 2},
        {"library": "tensorrt_rtx"},
        {"version": "10.15.2"},
        {"gpu": "NVIDIA L40S sm_89"},
        {"precision": "fp16"},
        {"shape": (3, 64, 96)},
        {"batches": (1, 8, 8)},
        {"options": {"tf32": True}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_anything_else_is_another_engine(cache: PlanCache, other: dict[str, Any]) -> None:
    cache.obtain(KEY, lambda: PLAN)
    changed = replace(KEY, **other)
    assert cache.find(changed) is None
    # Not by its name either.
    file_of(cache).rename(file_of(cache, changed))
    assert cache.find(changed) is None


def cut(content: bytes) -> bytes:
    return content[:-1]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        lambda content: content + b"\0",
        lambda content: content[:-7] + b"\0" + content[-6:],
        lambda content: content[:40],
        lambda content: b"",
        lambda content: b"\x7fELF" + content,
        lambda content: content.replace(b'"sha256"', b'"sha257"'),
        lambda content: content.replace(b'"seconds":12.5', b'"seconds":"no"'),
        lambda content: content.replace(b'"batches":[1,4,8]', b'"batches":5'),
        lambda content: content.replace(b'{"key":{', b'{"key":[{'),
        lambda content: b"streamer engine 1\n[]\n",
        lambda content: b"streamer engine 1\n" + b" " * 99_999 + b"\n",
    ],
)
def test_a_damaged_file_is_built_again(
    cache: PlanCache, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    cache.obtain(KEY, lambda: PLAN)
    file = file_of(cache)
    file.write_bytes(damage(file.read_bytes()))
    newer = replace(PLAN, content=b"newer")
    assert cache.obtain(KEY, lambda: newer) == newer
    assert cache.obtain(KEY, never) == newer
    assert "built again" in caplog.text


def to_symlink(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def to_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize("trick", [to_symlink, to_pipe, lambda file: file.chmod(0o620), lambda file: file.chmod(0o602)])
def test_a_file_that_others_can_change_is_not_loaded(cache: PlanCache, trick: Callable[[Path], None]) -> None:
    cache.obtain(KEY, lambda: PLAN)
    trick(file_of(cache))
    assert cache.find(KEY) is None
    assert cache.obtain(KEY, lambda: PLAN) == PLAN
    assert cache.obtain(KEY, never) == PLAN


def test_another_users_file_is_not_loaded(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.obtain(KEY, lambda: PLAN)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert cache.find(KEY) is None


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770, 0o1777])
def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines").chmod(mode)
    with pytest.raises(UsageError, match="open to other users"):
        open_cache(tmp_path / "engines")


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "engines").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(UsageError, match="another user's"):
        open_cache(tmp_path / "engines")


@pytest.mark.parametrize("what", ["link", "file", "missing/link"])
def test_what_is_no_folder_of_its_own_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "missing").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="can't be used"):
        open_cache(tmp_path / what)


def test_a_folder_exchanged_behind_our_back_is_not_looked_into(cache: PlanCache, tmp_path: Path) -> None:
    cache.obtain(KEY, lambda: PLAN)
    (tmp_path / "engines").rename(tmp_path / "ours")
    forged = open_cache(tmp_path / "engines")
    forged.obtain(KEY, lambda: replace(PLAN, content=b"evil"))
    assert cache.find(KEY) == PLAN


def test_a_full_disk_costs_the_next_start_not_this_one(
    cache: PlanCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert cache.obtain(KEY, lambda: PLAN) == PLAN
    assert "No space left on device" in caplog.text
    assert cache.folder.names("") == [f"{KEY.digest}.lock"]


@pytest.fixture
def read_only(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> PlanCache:
    """With an engine in it, as a container's read-only root has it; for whom nothing is forbidden, too."""
    cache.obtain(KEY, lambda: PLAN)
    writing, opened = os.O_WRONLY | os.O_RDWR | os.O_CREAT, os.open

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    def open_(path: Any, flags: int, *more: Any, **others: Any) -> int:
        if flags & writing:
            refuse()
        return opened(path, flags, *more, **others)

    monkeypatch.setattr(os, "open", open_)
    for name in ("utime", "unlink", "replace", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    return open_cache(cache.folder.path)


def test_an_engine_in_a_read_only_folder_is_used(read_only: PlanCache) -> None:
    assert read_only.obtain(KEY, never) == PLAN


def test_one_that_is_missing_in_a_read_only_folder_is_one_clear_line(read_only: PlanCache) -> None:
    missing = replace(KEY, precision="fp16")
    with pytest.raises(UsageError, match=r"can't be kept: Read-only file system; build it there with .*or name anoth"):
        read_only.obtain(missing, never)
    with pytest.raises(UsageError, match="Read-only file system"):
        read_only.remove(KEY.digest)
    read_only.keep_timings(KEY, b"timed")  # said in the log, and done without


Process = subprocess.Popen[bytes]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts a process that wants the engine."""
    with ExitStack() as running:

        def begin() -> Process:
            command = [sys.executable, "-c", BUILDER, str(tmp_path)]
            process = running.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE))
            running.callback(process.kill)
            return process

        yield begin


def count(folder: Path, what: str) -> int:
    """How many processes have begun to do so: `builds` or `waits`."""
    return len(list(folder.glob(f"{what}.*")))


def ends_well(process: Process) -> None:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()


def test_of_many_processes_one_builds(start: Callable[[], Process], tmp_path: Path) -> None:
    processes = [start() for _ in range(5)]
    eventually(lambda: count(tmp_path, "builds") + count(tmp_path, "waits") == 5, "all want it")
    (tmp_path / "go").touch()
    for process in processes:
        ends_well(process)
    assert count(tmp_path, "builds") == 1


def test_a_killed_builder_leaves_the_way_free(start: Callable[[], Process], tmp_path: Path) -> None:
    killed = start()
    eventually(lambda: count(tmp_path, "builds"), "it builds")
    (tmp_path / "engines" / f"{KEY.digest}.engine.1234.part").write_bytes(b"of one that was killed while writing")
    waiting = start()
    eventually(lambda: count(tmp_path, "waits"), "another waits for it")
    assert count(tmp_path, "builds") == 1
    killed.send_signal(signal.SIGKILL)
    eventually(lambda: count(tmp_path, "builds") == 2, "the other builds")
    (tmp_path / "go").touch()
    ends_well(waiting)
    left = {each.name for each in (tmp_path / "engines").iterdir()}
    assert left == {f"{KEY.digest}.engine", f"{KEY.digest}.lock"}


def test_who_waits_can_be_told_to_stop(cache: PlanCache, start: Callable[[], Process], tmp_path: Path) -> None:
    start()
    eventually(lambda: count(tmp_path, "builds"), "it builds")
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(BuildStopped):
        cache.obtain(KEY, never, stopped)


def test_other_engines_are_built_meanwhile(cache: PlanCache, start: Callable[[], Process], tmp_path: Path) -> None:
    start()
    eventually(lambda: count(tmp_path, "builds"), "it builds")
    assert cache.obtain(replace(KEY, precision="fp16"), lambda: PLAN) == PLAN


def test_a_failed_build_leaves_nothing(cache: PlanCache) -> None:
    def fails() -> Plan:
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        cache.obtain(KEY, fails)
    assert cache.entries() == []
    assert cache.obtain(KEY, lambda: PLAN) == PLAN


def test_timings_are_kept_per_gpu_and_version(cache: PlanCache) -> None:
    cache.keep_timings(KEY, b"timed")
    cache.keep_timings(KEY, b"")
    assert cache.timings(replace(KEY, model="cd" * 32, precision="fp16")) == b"timed"
    assert cache.timings(replace(KEY, gpu="../../NVIDIA L40S sm_89")) == b""
    assert cache.timings(replace(KEY, version="10.16")) == b""
