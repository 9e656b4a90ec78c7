"""A fleet's cache: nothing of it is believed without its signature, and nothing of it stops a worker."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from engines.tensorrt.cache import PlanCache, open_cache
from engines.tensorrt.plan_file import write_plan
from engines.tensorrt.shared import SharedCache, open_shared
from streamer.errors import UsageError
from streamer.settings import load
from tests.unit.test_plan_cache import KEY, PLAN, cut, never

SECRET = "a key that all machines have, and nobody else"


@pytest.fixture(params=["memory://engines", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield request.param if request.param != "file" else f"file://{tmp_path}/fleet/engines"
    if request.param != "file":
        import fsspec

        fsspec.filesystem("memory").store.clear()


def shared_at(address: str, secret: str = SECRET) -> SharedCache:
    shared = open_shared(address, secret)
    assert shared
    return shared


def machine(path: Path, address: str, secret: str = SECRET) -> PlanCache:
    return open_cache(path, shared_at(address, secret))


def place(address: str) -> tuple[Any, str]:
    import fsspec

    files, folder = fsspec.core.url_to_fs(address)
    return files, f"{folder}/{KEY.digest}.engine"


def test_what_one_machine_built_the_others_load(tmp_path: Path, address: str) -> None:
    machine(tmp_path / "one", address).obtain(KEY, lambda: PLAN)
    other = machine(tmp_path / "other", address)
    assert other.obtain(KEY, never) == PLAN
    files, _ = place(address)
    files.rm(address.partition("://")[2], recursive=True)
    assert other.obtain(KEY, never) == PLAN  # it is on that machine too by now


def test_nothing_is_left_unfinished(tmp_path: Path, address: str) -> None:
    machine(tmp_path / "one", address).obtain(KEY, lambda: PLAN)
    files, name = place(address)
    assert [Path(found).name for found in files.ls(Path(name).parent.as_posix(), detail=False)] == [Path(name).name]


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (cut, "signature is wrong"),
        (lambda content: content[:31], "signature is wrong"),
        (lambda content: b"", "signature is wrong"),
        (lambda content: content[32:], "signature is wrong"),
        (lambda content: bytes(32) + content[32:], "signature is wrong"),
        (lambda content: content[:-5] + b"evil\n", "signature is wrong"),
        (lambda content: content[:32] + write_plan(KEY, replace(PLAN, content=b"evil")), "signature is wrong"),
    ],
)
def test_forged_files_are_not_loaded(
    tmp_path: Path, address: str, forge: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    machine(tmp_path / "one", address).obtain(KEY, lambda: PLAN)
    files, name = place(address)
    files.pipe_file(name, forge(files.cat_file(name)))
    assert shared_at(address).find(KEY) is None
    assert says in caplog.text

    newer = replace(PLAN, content=b"newer")
    assert machine(tmp_path / "other", address).obtain(KEY, lambda: newer) == newer
    assert shared_at(address).find(KEY) == newer


def test_a_signed_engine_does_not_pass_for_another(
    tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    machine(tmp_path / "one", address).obtain(KEY, lambda: PLAN)
    files, name = place(address)
    other = replace(KEY, precision="fp16")
    files.cp_file(name, name.replace(KEY.digest, other.digest))
    assert shared_at(address).find(other) is None
    assert "signature is wrong" in caplog.text


def test_another_key_is_no_key(tmp_path: Path, address: str) -> None:
    machine(tmp_path / "one", address).obtain(KEY, lambda: PLAN)
    assert shared_at(address, SECRET + "!").find(KEY) is None


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_without_a_key_it_is_refused(secret: str, address: str) -> None:
    with pytest.raises(UsageError, match="key of at least 32 characters"):
        open_shared(address, secret)
    given = {"tensorrt": {"shared_cache": address, "shared_key": secret}}
    with pytest.raises(UsageError, match="shared_key of at least 32 characters") as caught:
        load(environ={}, overrides=given)
    assert not secret or secret not in str(caught.value)


def test_without_an_address_there_is_none() -> None:
    assert open_shared("", "") is None


@pytest.mark.parametrize("wrong", ["nonsense://bucket/engines", "s4://x"])
def test_an_address_that_nobody_knows_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"tensorrt\.shared_cache"):
        open_shared(wrong, SECRET)


class Hdfs(MemoryFileSystem):
    """Renames as HDFS does by WebHDFS: not to a name that is taken, and without a word. stuck: not at all."""

    store: ClassVar[dict[str, Any]] = {}
    cachable = False

    def __init__(self, stuck: bool = False) -> None:
        super().__init__()
        self.stuck = stuck

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        if not self.stuck and not self.exists(path2):
            super().mv(path1, path2)


def test_on_hdfs_too_a_newer_engine_takes_the_place_of_one(tmp_path: Path) -> None:
    Hdfs.store.clear()
    shared = SharedCache(Hdfs(), "/engines", SECRET.encode())
    newer = replace(PLAN, content=b"newer")
    for plan in (PLAN, newer):
        shared.publish(KEY, write_plan(KEY, plan))
        assert shared.find(KEY) == plan
        assert list(Hdfs.store) == [f"/engines/{KEY.digest}.engine"]


def test_what_can_not_be_renamed_is_not_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    Hdfs.store.clear()
    SharedCache(Hdfs(stuck=True), "/engines", SECRET.encode()).publish(KEY, write_plan(KEY, PLAN))
    assert "can't be written, so other machines build it too" in caplog.text
    assert list(Hdfs.store) == []


class OutOfReach:
    """A file system whose every call fails as some library of the cloud's would."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("Could not connect\nto the endpoint")

        return fail


def test_a_place_out_of_reach_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = open_cache(tmp_path / "engines", SharedCache(OutOfReach(), "bucket/engines", SECRET.encode()))
    with caplog.at_level(logging.WARNING):
        assert cache.obtain(KEY, lambda: PLAN) == PLAN
    assert "can't be read, so it is built here: Could not connect to the endpoint" in caplog.text
    assert "can't be written, so other machines build it too" in caplog.text
