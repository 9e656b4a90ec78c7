"""Built engines, kept: on this machine, and for a fleet of machines if there is a shared place."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.progress import BuildStopped
from engines.tensorrt.own_folder import OwnFolder, open_own_folder
from engines.tensorrt.plan_file import (
    LONGEST_HEADER,
    Header,
    Plan,
    PlanKey,
    Unusable,
    read_header,
    read_plan,
    write_plan,
)
from engines.tensorrt.shared import SharedCache
from streamer.errors import UsageError

SUFFIX = ".engine"
TIMINGS = ".timings"
_SAY_EVERY_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the cache.

    header: what it says of itself, None if it is cut off or damaged. used: seconds since 1970.
    """

    digest: str
    size: int
    used: float
    header: Header | None


def _any(_: Plan) -> bool:
    return True


class PlanCache:
    """Plans by key, in a folder of this user's. Processes and threads may share it; made by `open_cache`."""

    def __init__(self, folder: OwnFolder, shared: SharedCache | None = None) -> None:
        self.folder = folder
        self._shared = shared

    def find(self, key: PlanKey, usable: Callable[[Plan], bool] = _any) -> Plan | None:
        """The plan if it is on this machine, whole, for this key, and usable. One that isn't is as good as none."""
        name = key.digest + SUFFIX
        content = self.folder.read(name)
        if content is None:
            return None
        try:
            plan = read_plan(content, key)
        except Unusable as error:
            _log.warning("%s: %s; it is built again", self.folder.path / name, error)
            return None
        if not usable(plan):
            return None
        self.folder.used(name)
        return plan

    def obtain(
        self,
        key: PlanKey,
        build: Callable[[], Plan],
        stopped: Callable[[], bool] = lambda: False,
        usable: Callable[[Plan], bool] = _any,
    ) -> Plan:
        """The plan, built if it is nowhere. One builds at a time, others wait for it.

        stopped: whether who waits shall wait no more. usable: whether one that is there can be used; else it is built
        anew, and takes the other's place.

        Raises:
            BuildStopped: `stopped` said so.
            UsageError: it is to be built, and the folder is read-only or full.
        """
        plan = self.find(key, usable)
        if plan:
            return plan
        with self.folder.alone(key.digest, _Waiting(key, stopped)) as our_turn:
            if not our_turn:
                raise BuildStopped
            return self.find(key, usable) or self._new(key, build, usable)

    def _new(self, key: PlanKey, build: Callable[[], Plan], usable: Callable[[Plan], bool]) -> Plan:
        self.folder.clear_unfinished(key.digest)
        plan = self._shared.find(key) if self._shared else None
        if plan and usable(plan):
            self._write(key.digest + SUFFIX, write_plan(key, plan))
            return plan
        plan = build()
        content = write_plan(key, plan)
        self._write(key.digest + SUFFIX, content)
        if self._shared:
            self._shared.publish(key, content)
        return plan

    def timings(self, key: PlanKey) -> bytes:
        """What TensorRT has timed on this GPU in builds before; nothing if there were none."""
        return self.folder.read(_timings_name(key)) or b""

    def keep_timings(self, key: PlanKey, timings: bytes) -> None:
        """For the next build on this GPU."""
        if timings:
            self._write(_timings_name(key), timings)

    def entries(self) -> list[Entry]:
        """All plans, the last used one first."""
        found = [self._entry(name) for name in self.folder.names(SUFFIX)]
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    def remove(self, digest: str) -> None:
        """Removes a plan; processes that have loaded it keep it."""
        self.folder.remove(digest + SUFFIX)

    def _write(self, name: str, content: bytes) -> None:
        """What can't be kept can be used all the same."""
        try:
            self.folder.write(name, content)
        except UsageError as error:
            _log.warning("%s; it is built again next time", error)

    def _entry(self, name: str) -> Entry:
        size, used = self.folder.size_and_time(name)
        try:
            header = read_header(self.folder.read(name, LONGEST_HEADER) or b"", size)
        except Unusable:
            return Entry(name.removesuffix(SUFFIX), size, used, None)
        return Entry(name.removesuffix(SUFFIX), size, used, header)


def open_cache(folder: Path, shared: SharedCache | None = None) -> PlanCache:
    """The cache in a folder, which is made if it is not there.

    Raises:
        UsageError: it is not this user's alone.
    """
    return PlanCache(open_own_folder(folder), shared)


class _Waiting:
    """Called while another one builds: says so now and then, and whether to go on waiting."""

    def __init__(self, key: PlanKey, stopped: Callable[[], bool]) -> None:
        self._key, self._stopped = key, stopped
        self._said = 0.0

    def __call__(self) -> bool:
        if time.monotonic() - self._said > _SAY_EVERY_S:
            self._said = time.monotonic()
            _log.info("waiting for another process, which builds the engine %s", self._key.digest[:12])
        return not self._stopped()


def _timings_name(key: PlanKey) -> str:
    """One per library and GPU: TensorRT takes no other's."""
    words = f"{key.library}-{key.version}-{key.gpu}"
    return "".join(each if each.isalnum() or each in ".-" else "_" for each in words) + TIMINGS
