"""Previews of a real worker in a real Redis, to users who have the rights that docs/records.md gives them."""

import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import simplejpeg
from numpy.typing import NDArray
from pydantic import SecretStr

from streamer import preview
from streamer.mirror import Keys, connect_redis
from streamer.settings import Settings
from tests.integration.worker_rig import HEIGHT, WIDTH, Rig, header, running

PAGE = Path(__file__).resolve().parents[2] / "docs" / "records.md"


@pytest.fixture
def admin(rig: Rig) -> Iterator[redis.Redis]:
    """Who may do everything; takes the users away that `as_user` has made."""
    with connect_redis(rig.settings.redis) as client:
        yield client
        for role in ("worker", "viewer"):
            client.acl_deluser(rig.settings.redis.prefix + role)


def as_user(settings: Settings, admin: redis.Redis, role: str) -> Settings:
    """The settings of a user of this role, who gets its rights."""
    prefix = settings.redis.prefix
    found = re.search(rf"^user {role} +(on >\S+.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    rights = found[1].replace(">...", ">secret").replace("det:", prefix)
    rights = rights.replace("+client|setinfo", "")  # which a Redis before 7.2 doesn't know; clients do without
    admin.execute_command("ACL", "SETUSER", prefix + role, *rights.split())
    login = {"username": prefix + role, "password": SecretStr("secret")}
    return settings.model_copy(update={"redis": settings.redis.model_copy(update=login)})


class Watched:
    """A stream with a frame every 50 ms, of which the test goes on as long as it waits."""

    def __init__(self, rig: Rig, admin: redis.Redis) -> None:
        self._rig, self._admin, self._numbers = rig, admin, count()
        keys = Keys(rig.settings.redis.prefix)
        self.shown, self.wanted = keys.preview("main", "a"), keys.preview_wanted("main", "a")

    def frame(self) -> None:
        """One more."""
        self._rig.put(header("a", next(self._numbers)))
        time.sleep(0.05)

    def looks(self, more: int) -> None:
        """Frames until the worker has looked so many times more who watches."""
        enough, deadline = self._looked() + more, time.monotonic() + 30
        while self._looked() < enough:
            assert time.monotonic() < deadline, "it does not look who watches"
            self.frame()

    def _looked(self) -> int:
        stats: Any = self._admin.info("commandstats")
        return int(stats.get("cmdstat_mget", {"calls": 0})["calls"])


def shown_to(viewer: Settings, watched: Watched) -> NDArray[np.uint8]:
    """The first preview that a viewer gets."""
    deadline = time.monotonic() + 30
    while (data := preview("a", viewer)) is None:
        assert time.monotonic() < deadline, "no preview"
        watched.frame()
    picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(data)
    return picture


def test_a_preview_is_there_while_somebody_watches_and_only_then(rig: Rig, admin: redis.Redis) -> None:
    rig.define("a")
    viewer, watched = as_user(rig.settings, admin, "viewer"), Watched(rig, admin)
    with running(as_user(rig.settings, admin, "worker")):
        watched.looks(3)
        assert not admin.exists(watched.shown)

        picture = shown_to(viewer, watched)
        assert picture.shape == (HEIGHT, WIDTH, 3)
        # The frames are grey. What the model finds is 32 x 16 pixels in their middle.
        coloured = np.ptp(picture.astype(np.int16), axis=2) > 60
        assert coloured[24, 52:76].mean() > 0.7
        assert coloured[40, 52:76].mean() > 0.7
        assert not coloured[44:].any()
        ttl: Any = admin.ttl(watched.shown)
        assert 0 < ttl <= 10

        admin.pexpire(watched.wanted, 1)
        watched.looks(3)  # what was under way at the second is shown by the third
        admin.delete(watched.shown)
        watched.looks(2)
        assert not admin.exists(watched.shown)
