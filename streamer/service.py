"""The whole service for one command: its own topics, a producer and workers as children, their records.

What runs here meets nothing of what else is on the same Kafka and Redis, and is gone afterwards.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from streamer.catalog import write_definitions
from streamer.children import Child, Children, environment_of
from streamer.errors import StreamerError, UsageError
from streamer.moments import unix_ms
from streamer.records import Detection
from streamer.records.stream import StreamDefinition
from streamer.results import Results
from streamer.settings import Settings
from streamer.stack import Stack, with_stack_addresses
from streamer.topics import topic_names
from streamer.topics_admin import create_topics, delete_topics

log = logging.getLogger(__name__)


def ensure_stack(settings: Settings, progress: Callable[[str], None]) -> tuple[Settings, Stack | None]:
    """Settings with addresses; where they name none, those of the one-machine stack, started if it isn't up.

    A stack started here ends with this process, but not before the returned object is given up.

    Raises:
        StreamerError: it can't be started.
    """
    if settings.kafka.bootstrap_servers and settings.redis.url:
        return settings, None
    stack = Stack(settings.stack)
    stack.start(lifeline=True, progress=progress)
    return with_stack_addresses(settings), stack


def apart(settings: Settings, kind: str) -> Settings:
    """`settings` under prefixes that nobody else has: `run-1a2b3c4d.` in Kafka, `run-1a2b3c4d:` in Redis."""
    name = f"{kind}-{unix_ms() ^ (os.getpid() << 24):x}"
    kafka = settings.kafka.model_copy(update={"topic_prefix": f"{settings.kafka.topic_prefix}{name}."[-64:]})
    redis = settings.redis.model_copy(update={"prefix": f"{settings.redis.prefix}{name}:"[-64:]})
    return settings.model_copy(update={"kafka": kafka, "redis": redis})


class Service:
    """Runs between entering and leaving the context; the records are read with poll().

    settings: of all parts, with addresses and prefixes of its own (`apart`).
    """

    def __init__(self, settings: Settings, definitions: Sequence[StreamDefinition], workers: int = 1) -> None:
        self._settings, self._definitions = settings, definitions
        environment = environment_of(_for_children(settings, workers))
        self._producer = Child("producer", ["produce"], environment)
        names = [f"worker {number}" for number in range(1, workers + 1)] if workers > 1 else ["worker"]
        self._workers = [Child(name, ["detect"], environment) for name in names]
        self._children = Children(self._producer, *self._workers)
        self._results = Results(settings, settings.detect.pipeline)

    @property
    def children(self) -> tuple[Child, ...]:
        """The processes."""
        return (self._producer, *self._workers)

    def __enter__(self) -> Self:
        create_topics(self._settings)
        try:
            self._define(self._definitions)
            self._results.open()
            self._children.__enter__()
        except BaseException:
            self._leave_nothing()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._children.close()
        self._leave_nothing()

    def poll(self, timeout_s: float) -> list[Detection]:
        """The records that came since, in order within each stream.

        Raises:
            StreamerError: a part has ended that should not have; its last lines say why.
            UsageError: because it is used wrongly.
        """
        # Asked before the poll: what a part wrote before it ended is still read.
        ended = self._children.ended()
        records = self._results.poll(timeout_s)
        if ended and not records:
            child, status = ended[0]
            if status == UsageError.exit_code and child.last_lines:
                # Its last line is the one that says what to change; the others are its log.
                raise UsageError(child.last_lines[-1].partition(": ")[2])
            said = "\n  ".join(child.last_lines) or "nothing"
            raise StreamerError(f"the {child.name} ended with status {status}; it said last:\n  {said}")
        return records

    def _define(self, definitions: Sequence[StreamDefinition]) -> None:
        values: Mapping[str, bytes | None] = {definition.id: definition.to_json() for definition in definitions}
        write_definitions(self._settings.kafka, topic_names(self._settings.kafka).streams, values)

    def _leave_nothing(self) -> None:
        self._results.close()
        try:
            delete_topics(self._settings)
        except StreamerError as error:
            # The broker may be what failed; its retention empties what stays behind.
            log.error("the topics %s* stay behind: %s", self._settings.kafka.topic_prefix, error)


def _for_children(settings: Settings, workers: int) -> Settings:
    """No two may listen on one port; their logs are for whoever wonders why one died; workers share the cores."""
    level = "WARNING" if settings.telemetry.log_level == "INFO" else settings.telemetry.log_level
    telemetry = settings.telemetry.model_copy(update={"port": -1, "log_level": level, "log_format": "console"})
    kafka = settings.kafka.model_copy(update={"instance": ""})
    detect = settings.detect.model_copy(update={"share_cores": workers})
    return settings.model_copy(update={"telemetry": telemetry, "detect": detect, "kafka": kafka})
