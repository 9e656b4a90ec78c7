"""A folder whose files nobody else can have put there. To load an engine is to run machine code from a file.

All is done relative to the folder once opened, so that nobody can exchange it for another one behind its name.
"""

import fcntl
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamer.errors import UsageError

_WAIT_S = 0.1
UNFINISHED = ".part"
LOCK = ".lock"


class OwnFolder:
    """A folder of this user, closed to others; made by `open_own_folder`. Safe to use from several threads."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._folder = descriptor

    def names(self, suffix: str) -> list[str]:
        """Names of the files that end so, in order."""
        return sorted(name for name in os.listdir(self._folder) if name.endswith(suffix))

    def read(self, name: str, most: int = -1) -> bytes | None:
        """A file's bytes, or the first `most`; None if there is none, or it isn't a plain file of this user alone."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._folder)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
            return file.read(most) if ours else None

    def write(self, name: str, content: bytes) -> None:
        """Writes a file whole: others see the old one or the new one, after a crash too.

        Raises:
            UsageError: the disk is full, or has failed.
        """
        unfinished = f"{name}.{uuid.uuid4().hex}{UNFINISHED}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=self._folder), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError as error:
            with suppress(OSError):
                os.unlink(unfinished, dir_fd=self._folder)
            raise UsageError(f"can't write into {self.path}: {error.strerror}; name another folder") from None

    def remove(self, name: str) -> None:
        """Removes a file if it is there.

        Raises:
            UsageError: the folder is read-only.
        """
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"can't remove {self.path / name}: {error.strerror}") from None

    def size_and_time(self, name: str) -> tuple[int, float]:
        """Bytes of a file, and when it was last used, as seconds since 1970; zeros if it is gone."""
        try:
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return 0, 0.0
        return found.st_size, found.st_mtime

    def used(self, name: str) -> None:
        """Notes that a file is used now, where that can be noted: files of an image may be read-only."""
        with suppress(OSError):
            os.utime(name, dir_fd=self._folder, follow_symlinks=False)

    @contextmanager
    def alone(self, name: str, waiting: Callable[[], bool]) -> Iterator[bool]:
        """Waits until no other process or thread is in here under that name; a killed one is out.

        waiting: called again and again meanwhile; False gives up. Yields whether it is our turn.

        Raises:
            UsageError: nothing can be written there.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(f"{name}{LOCK}", flags, 0o600, dir_fd=self._folder)
        except OSError as error:
            raise UsageError(
                f"tensorrt.cache {self.path}: an engine is to be built, and can't be kept: {error.strerror}; build it "
                "there with `streamer engine build` while it can be written, or name another folder"
            ) from None
        try:
            yield _locked(descriptor, waiting)
        finally:
            os.close(descriptor)

    def remove_lock(self, name: str) -> bool:
        """Removes a lock's file unless somebody is in there; whether it did."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        try:
            free = _locked(descriptor, lambda: False)
            if free:
                self.remove(name)
        finally:
            os.close(descriptor)
        return free

    def clear_unfinished(self, name: str) -> None:
        """Removes what killed writers of a file have left; only for who is `alone` with it."""
        for left in self.names(UNFINISHED):
            if left.startswith(f"{name}."):
                self.remove(left)


def open_own_folder(path: Path) -> OwnFolder:
    """The folder, made if it is not there.

    Raises:
        UsageError: it is another user's, open to others, or can't be made.
    """
    try:
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"tensorrt.cache {path}: can't be used: {error.strerror}; name another folder") from None
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077:
        return OwnFolder(path, descriptor)
    os.close(descriptor)
    whose = "another user's" if found.st_uid != os.geteuid() else "open to other users"
    raise UsageError(
        f"tensorrt.cache {path} is {whose}, and engines in it are machine code; remove it, or name another folder"
    )


def _locked(descriptor: int, waiting: Callable[[], bool]) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting():
                return False
            time.sleep(_WAIT_S)
        else:
            return True
