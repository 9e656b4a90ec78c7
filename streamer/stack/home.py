"""Where the stack keeps its files."""

import os
from dataclasses import dataclass
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for this program."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "streamer"


@dataclass(frozen=True)
class Home:
    """One stack's folder: two homes are two stacks that know nothing of each other."""

    root: Path

    @property
    def starting(self) -> Path:
        """Locked by whoever starts the stack, so that two don't do it at once."""
        return self.root / "starting.lock"

    @property
    def alive(self) -> Path:
        """Locked by the keeper and its servers: free only when all of them are gone."""
        return self.root / "alive.lock"

    @property
    def lifeline(self) -> Path:
        """A FIFO that the keeper reads."""
        return self.root / "lifeline"

    @property
    def plan(self) -> Path:
        """What the starter tells the keeper, JSON."""
        return self.root / "plan.json"

    @property
    def state(self) -> Path:
        """What the keeper says of itself, JSON."""
        return self.root / "state.json"

    @property
    def keeper_log(self) -> Path:
        """What the keeper prints, usually nothing."""
        return self.root / "keeper.log"

    @property
    def kafka(self) -> Path:
        """Kafka's settings, data and logs."""
        return self.root / "kafka"

    @property
    def redis(self) -> Path:
        """Redis's settings and log."""
        return self.root / "redis"

    def create(self) -> None:
        """Makes the folders, readable by this user alone."""
        for folder in (self.root, self.kafka, self.redis):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def home_of(folder: Path | None) -> Home:
    """The stack's home; None means the usual one in the user's cache folder."""
    return Home((folder or cache_folder() / "stack").expanduser().absolute())
