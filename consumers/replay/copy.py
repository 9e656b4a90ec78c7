"""Retained frames onto the topics of a pipeline aside."""

from dataclasses import dataclass
from itertools import chain

from consumers.replay.retained import RetainedFrames
from consumers.replay.span import Span
from streamer.aside import FramesAside, aside
from streamer.catalog import stream_catalog
from streamer.errors import StreamerError, UsageError
from streamer.records import FrameHeader, rfc3339
from streamer.settings import Settings
from streamer.topics_admin import create_topics


@dataclass(frozen=True, slots=True)
class Copied:
    """What was written. settings: those of whoever works there."""

    frames: int
    first: FrameHeader
    last: FrameHeader
    damaged: int
    settings: Settings


def copy_aside(settings: Settings, stream: str, span: Span, name: str) -> Copied:
    """Writes the frames with their identity and time, in order, to the topics of the replay `name`.

    Raises:
        UsageError: it can't be a name, there is no such stream, or the name has had these frames.
        StreamerError: no frame of the span is retained.
        ServiceError: Kafka refuses us.
    """
    there = aside(settings, name)
    with RetainedFrames(settings, stream) as retained:
        frames = retained.within(span)
        first = next(frames, None)
        if first is None:
            raise nothing_retained(settings, retained, stream, span)
        create_topics(there)
        _check_unused(there, stream, first.header, name)
        count = 0
        with FramesAside(settings, name) as written:
            written.define([stream])
            for frame in chain([first], frames):
                written.put(frame.header, frame.jpeg, frame.headers)
                count += 1
                last = frame.header
            written.finish()
    return Copied(count, first.header, last, retained.damaged, there)


def nothing_retained(settings: Settings, retained: RetainedFrames, stream: str, span: Span) -> StreamerError:
    """Why a span has no frames, and which there are."""
    oldest = retained.oldest()
    newest = retained.newest()
    if oldest is not None and newest is not None:
        kept = f"{rfc3339(oldest.captured_ms)} ({oldest.id}) .. {rfc3339(newest.captured_ms)} ({newest.id})"
        return StreamerError(f"stream {stream} has no frame within {span}; retained is {kept}")
    catalog = stream_catalog(settings.kafka)
    try:
        catalog.open()
        known = sorted(catalog.definitions)
    finally:
        catalog.close()
    if stream in known:
        return StreamerError(f"no frame of stream {stream} is retained: see topics.frames_retention_s")
    there = f"there are: {', '.join(known[:10])}" if known else "there is none yet"
    return UsageError(f"no such stream: {stream}; {there}")


def _check_unused(there: Settings, stream: str, first: FrameHeader, name: str) -> None:
    """A worker does no frame of a run that has ended, nor one that isn't newer than what it had: it would say nothing.

    Raises:
        UsageError: the replay has had such frames of the stream.
    """
    with RetainedFrames(there, stream) as earlier:
        newest = earlier.newest()
    if newest is not None and newest.id.epoch >= first.id.epoch:
        raise UsageError(
            f"replay {name} has had frames of stream {stream} up to {newest.id}, and its workers do none again: "
            "take another name"
        )
