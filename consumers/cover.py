"""The records that cover a run of frames: results, ends, and gaps as long as they can be."""

from collections.abc import Iterable, Iterator

from consumers.entry import Entry
from streamer.records import Detection, Gap, GapReason


def covering(entries: Iterable[Entry], pipeline: str, now_ms: int) -> Iterator[Detection]:
    """Results, ends and gaps of done frames, in order per stream, neighbouring gaps of one reason as one.

    now_ms: when gaps are recorded, in ms since 1970.
    """
    open_gaps: dict[str, Gap] = {}
    for entry in entries:
        header = entry.header
        if header is None or entry.foreign:
            continue
        for gap in entry.gaps_before:
            yield from _extend(open_gaps, gap)
        if isinstance(entry.outcome, GapReason):
            sequence = header.id.sequence
            gap = Gap(pipeline, header.stream, header.id, sequence, entry.outcome, now_ms, entry.detail)
            yield from _extend(open_gaps, gap)
        elif entry.outcome is not None:
            if header.stream in open_gaps:
                yield open_gaps.pop(header.stream)
            yield entry.outcome
    yield from open_gaps.values()


def _extend(open_gaps: dict[str, Gap], gap: Gap) -> Iterable[Gap]:
    """Adds a gap to the stream's open one, or yields the open one and opens this."""
    before = open_gaps.get(gap.stream)
    if before is not None and _adjoins(before, gap):
        # A hole is recorded when it is come upon, which may be long before the frames at its side were skipped.
        recorded_ms = max(before.recorded_ms, gap.recorded_ms)
        open_gaps[gap.stream] = Gap(
            gap.pipeline, gap.stream, before.first, gap.last_sequence, gap.reason, recorded_ms, gap.detail
        )
        return
    if before is not None:
        yield before
    open_gaps[gap.stream] = gap


def _adjoins(before: Gap, after: Gap) -> bool:
    return (
        before.reason is after.reason
        and before.detail == after.detail
        and before.first.epoch == after.first.epoch
        and before.last_sequence is not None
        and after.first.sequence == before.last_sequence + 1
    )
