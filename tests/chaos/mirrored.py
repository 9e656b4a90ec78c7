"""Redis against Kafka."""

import re
from collections.abc import Collection, Iterable, Sequence

from tests.chaos.logs import Row
from tests.chaos.verdict import Verdict

Held = Sequence[tuple[str, bytes]]
"""A Redis stream's ids and records."""
_SPARE_MS = 5000
"""A key is about to go: it may be gone by the time it is looked at."""


def check_redis(verdict: Verdict, name: str, rows: Sequence[Row], held: Held, since_ms: int, most: int) -> None:
    """One stream's records in Redis against those in Kafka.

    since_ms, most: what was written since then must be there, of more than `most` records the newest.
    """
    logged = {row.record["id"]: row for row in rows}
    mirrored = dict(held)
    oldest = _place(held[0][0]) if held else None
    newest = [number for number, row in logged.items() if row.timestamp_ms >= since_ms][-most:]
    expected = {number for number in logged if oldest is not None and _place(number) >= oldest}
    for number in sorted(expected | set(newest) | mirrored.keys(), key=_place):
        row, found = logged.get(number), mirrored.get(number)
        if row is None:
            verdict.blame("redis_differs", f"{name}: {number} is in Redis alone")
        elif found is None:
            verdict.blame("redis_differs", f"{name}: {number} is not in Redis")
        elif found != row.value:
            verdict.blame("redis_differs", f"{name}: {number} is not the same in Redis")


def check_latest(verdict: Verdict, name: str, rows: Iterable[Row], held: bytes | None, since_ms: float) -> None:
    """What Redis calls a stream's latest result.

    since_ms: it must be there if it was written since then: how long a stream may be silent, before it was looked at.
    """
    results = [row for row in rows if row.record["kind"] == "frame"]
    if held is not None and held not in [row.value for row in results[-1:]]:
        verdict.blame("redis_differs", f"{name}: the latest result is not the last on the topic")
    if held is None and any(row.timestamp_ms > since_ms + _SPARE_MS for row in results[-1:]):
        verdict.blame("redis_differs", f"{name}: there is no latest result")


def check_keys(verdict: Verdict, keys: Iterable[str], prefix: str, pipeline: str, streams: Collection[str]) -> None:
    """That Redis has keys of these streams alone. keys: all there are."""
    ours = re.compile(rf"{re.escape(prefix)}(detections|latest|events):\{{{re.escape(pipeline)}:(.+)\}}")
    for key in keys:
        match = ours.fullmatch(key)
        if match is None or match[2] not in streams:
            verdict.blame("redis_differs", f"{key} is in Redis, and of no stream")


def _place(number: str) -> tuple[int, int]:
    epoch, _, sequence = number.partition("-")
    return int(epoch), int(sequence)
