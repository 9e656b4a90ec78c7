"""Plans that a fleet of machines shares, at any address that fsspec knows: a bucket, HDFS, a folder of the network.

Who can write there could run machine code on every machine; so each file is signed with a key that only the machines
have, and nothing of a file is looked at before its signature is right.
"""

import hashlib
import hmac
import logging
import uuid
from contextlib import suppress
from typing import Any

from engines.tensorrt.plan_file import Plan, PlanKey, Unusable, read_plan
from streamer.errors import UsageError

LEAST_KEY = 32
_SIGNATURE = hashlib.sha256().digest_size
_LARGEST = 4 * 1024**3
_log = logging.getLogger(__name__)


class SharedCache:
    """Signed plans in a folder of a file system; made by `open_shared`. What fails there is logged, not raised."""

    def __init__(self, files: Any, folder: str, secret: bytes) -> None:
        self._files, self._folder, self._secret = files, folder.rstrip("/"), secret

    def find(self, key: PlanKey) -> Plan | None:
        """The plan for a key, if there is one that is rightly signed."""
        content = self._read(self._place(key))
        if content is None:
            return None
        signature, plan = content[:_SIGNATURE], content[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(key, plan)):
            _log.warning("%s: its signature is wrong, so it is not used; who wrote it?", self._place(key))
            return None
        try:
            return read_plan(plan, key)
        except Unusable as error:
            _log.warning("%s: %s; it is built again", self._place(key), error)
            return None

    def publish(self, key: PlanKey, content: bytes) -> None:
        """Puts a plan's file there, signed."""
        place = self._place(key)
        unfinished = f"{place}.{uuid.uuid4().hex}.part"
        try:
            self._files.makedirs(self._folder, exist_ok=True)
            self._files.pipe_file(unfinished, self._sign(key, content) + content)
            self._rename(unfinished, place)
        except Exception as error:  # file systems share no base of what they raise
            _log.warning("%s: can't be written, so other machines build it too: %s", place, _words(error))
            with suppress(Exception):
                self._files.rm(unfinished)

    def _rename(self, unfinished: str, place: str) -> None:
        self._files.mv(unfinished, place)
        if self._files.exists(unfinished):
            # HDFS takes no name that is taken, and says so in an answer that fsspec drops.
            self._files.rm(place)
            self._files.mv(unfinished, place)
        if self._files.exists(unfinished):
            raise OSError("it could not be renamed")

    def _read(self, place: str) -> bytes | None:
        try:
            if self._files.size(place) > _LARGEST:
                return None
            content: bytes = self._files.cat_file(place)
        except FileNotFoundError:
            return None
        except Exception as error:  # file systems share no base of what they raise
            _log.warning("%s: can't be read, so it is built here: %s", place, _words(error))
            return None
        return content

    def _sign(self, key: PlanKey, content: bytes) -> bytes:
        """HMAC-SHA256 (RFC 2104) over what it is for, and what it is: a plan can't stand in for another one."""
        return hmac.digest(self._secret, bytes.fromhex(key.digest) + content, "sha256")

    def _place(self, key: PlanKey) -> str:
        return f"{self._folder}/{key.digest}.engine"


def open_shared(address: str, secret: str) -> SharedCache | None:
    """The shared cache at an address as in s3://bucket/engines; None without one.

    Raises:
        UsageError: there is no key, or too short a one; fsspec or what it needs for the address is not installed.
    """
    if not address:
        return None
    if len(secret.encode()) < LEAST_KEY:
        raise UsageError(
            f"tensorrt.shared_cache needs a key of at least {LEAST_KEY} characters, the same on all machines, in "
            "STREAMER_TENSORRT__SHARED_KEY: engines are machine code, and unsigned ones are not loaded"
        )
    try:
        import fsspec

        files, folder = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UsageError(f"tensorrt.shared_cache: {_words(error)}; install it with pip, beside fsspec") from None
    except ValueError as error:
        raise UsageError(f"tensorrt.shared_cache: {_words(error)}") from None
    return SharedCache(files, folder, secret.encode())


def _words(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
