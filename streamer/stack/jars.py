"""Kafka's jars: fetched by jgo from their pinned Maven coordinates, checked against hashes shipped with us.

A jar takes its name in the folder only when it is complete and its hash is right, so that whatever
interrupts a download, what lies there under a jar's name is good.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from streamer.errors import ServiceError, UsageError
from streamer.extras import how_to_install
from streamer.stack.home import cache_folder

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Jar:
    """One pinned artifact."""

    sha256: str
    group: str
    name: str
    version: str

    @property
    def file_name(self) -> str:
        """As Maven calls it."""
        return f"{self.name}-{self.version}.jar"


def pinned_jars() -> tuple[Jar, ...]:
    """Kafka's server and everything that it needs."""
    lines = files("streamer.stack").joinpath("kafka.sha256").read_text(encoding="utf-8").splitlines()
    return tuple(Jar(line.split()[0], *line.split()[1].split(":")) for line in lines)


def kafka_jars(repository: str, progress: Progress, jars: tuple[Jar, ...] | None = None) -> list[Path]:
    """Paths of all jars, every one checked now; those missing or damaged are fetched.

    repository: a Maven repository's address; empty: Maven Central.

    Raises:
        ServiceError: a jar can't be fetched, or what came is not what we pinned.
        UsageError: the package that fetches is not installed, or the cache folder's name does not do.
    """
    jars = jars or pinned_jars()
    folder = cache_folder() / "jars"
    if os.pathsep in str(folder):
        raise UsageError(f"Java can't take jars from {folder}: set XDG_CACHE_HOME to a folder without {os.pathsep!r}")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock", progress):
        missing = [jar for jar in jars if not _is_good(folder / jar.file_name, jar)]
        if missing:
            _fetch_all(missing, folder, repository, progress)
    return [folder / jar.file_name for jar in jars]


def _fetch_all(missing: list[Jar], folder: Path, repository: str, progress: Progress) -> None:
    for leftover in folder.glob(".part-*"):
        shutil.rmtree(leftover)  # of a download that was killed; we hold the lock
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as part, ThreadPoolExecutor(4) as pool:
        fetched = [pool.submit(_fetch, jar, Path(part), folder, repository) for jar in missing]
        try:
            for done, future in enumerate(as_completed(fetched), 1):
                future.result()
                progress(f"fetching Kafka: {done} of {len(missing)} jars")
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(jar: Jar, part: Path, folder: Path, repository: str) -> None:
    try:
        from jgo.maven import MavenContext
        from requests import RequestException
    except ImportError:
        raise UsageError(f"the one-machine stack is not installed: {how_to_install('local')}") from None
    origin = repository or "Maven Central"
    context = MavenContext(repo_cache=part, remote_repos={"maven": repository} if repository else None, timeout=60)
    try:
        file = context.project(jar.group, jar.name).at_version(jar.version).artifact().resolve()
    except (RequestException, RuntimeError, OSError) as error:
        raise ServiceError(f"can't fetch {jar.file_name} from {origin}: {error}") from None
    if not _is_good(file, jar):
        raise ServiceError(f"{jar.file_name} from {origin} is not the file that we know: its SHA-256 differs")
    os.replace(file, folder / jar.file_name)


def _is_good(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


@contextmanager
def _locked(file: Path, progress: Progress) -> Iterator[None]:
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that fetches Kafka")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
