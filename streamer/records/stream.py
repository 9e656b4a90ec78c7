"""The record on topic `streams`: which streams exist and how each is treated. Changed while running."""

import re
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamer.addresses import has_credentials, option_has_credentials
from streamer.errors import UsageError
from streamer.records.identity import check_name

T = TypeVar("T", bound=BaseModel)

_FRESHNESS = re.compile(r"latest|every|bounded:(?P<ms>[1-9]\d{0,6})(ms)?")
_CONTROL = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
_TRACKED_S = 2.0  # a track without boxes ends after three seconds
_SHOWN = 20  # mistakes of one definition
_REFER = (
    "and this record can be read by many: put it into an environment variable of the producer and write ${NAME}, "
    "or into a file and write ${file:PATH}"
)
_SIZE = re.compile(r"(?P<width>[1-9]\d{1,4})x(?P<height>[1-9]\d{1,4})")


def _name(what: str) -> AfterValidator:
    def check(name: str) -> str:
        try:
            return check_name(name, what)
        except UsageError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


def _freshness(text: str) -> str:
    if not _FRESHNESS.fullmatch(text):
        raise ValueError(f"{text!r:.80}: use latest, every or bounded:<milliseconds>")
    return text


def _transport(text: str) -> str:
    if text not in ("full", "network") and not _SIZE.fullmatch(text):
        raise ValueError(f"{text!r:.80}: use full, network or a size such as 640x360")
    return text


def _no_credentials(source: str) -> str:
    if _CONTROL.search(source):
        raise ValueError("a control character can't be part of an address or file name here")
    if has_credentials(source):
        raise ValueError(f"it holds a password or token, {_REFER}")
    return source


def _no_credentials_in_options(options: dict[str, str]) -> dict[str, str]:
    for name, value in options.items():
        if option_has_credentials(name, value):
            raise ValueError(f"{shown_key(name)} holds a password, token or key, {_REFER}")
    return options


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Crop(_Record):
    """A rectangle of the upright source picture, in its pixels."""

    left: int = Field(ge=0)
    top: int = Field(ge=0)
    width: int = Field(ge=16)
    height: int = Field(ge=16)


class Mask(_Record):
    """A polygon, in upright source pixels, that never leaves the producer."""

    points: tuple[tuple[float, float], ...] = Field(min_length=3)
    mode: Literal["fill", "pixelate"] = "fill"


Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Point = tuple[Coordinate, Coordinate]


class _Place(_Record):
    """What zones and lines have in common."""

    name: Annotated[str, _name("zone or line")]
    classes: tuple[str, ...] = Field((), description="of the objects that count; empty: all")
    anchor: Literal["bottom", "centre"] = Field(
        "bottom",
        description="the point of a box that counts: the middle of its lower edge, where a thing stands, or its centre",
    )
    margin: float = Field(
        0.1,
        ge=0,
        le=10,
        description="how far beyond the border the point must be to have changed sides, in sizes of "
        "the object (mean of width and height)",
    )
    min_s: float = Field(0.5, ge=0, le=3600, description="seconds of source time that it must stay there to count")


class Zone(_Place):
    """A polygon, in upright source pixels; everything that its outline goes around belongs to it."""

    points: tuple[Point, ...] = Field(min_length=3, max_length=100)
    dwell_s: float | None = Field(
        None, gt=0, le=1e6, description="an event when an object has been inside for so many seconds; none: no event"
    )


class Line(_Place):
    """From one point to another, in upright source pixels; left and right as seen from its start towards its end."""

    start: Point
    end: Point

    @model_validator(mode="after")
    def _long(self) -> Self:
        if self.start == self.end:
            raise ValueError("a line's start and end are two points")
        return self


class StreamDefinition(_Record):
    """A stream: its source and everything that is done to it before and after the log.

    All pixels are upright source pixels: after the file's rotation metadata and `rotate`, before `crop`.
    """

    id: Annotated[str, _name("stream")]
    source: Annotated[str, AfterValidator(_no_credentials)] = Field(
        min_length=1,
        max_length=4096,
        description="file, folder of pictures, rtsp://, http(s)://, /dev/video0 or synthetic:; "
        "credentials as references only, e.g. rtsp://${CAM_USER}:${CAM_PASSWORD}@host/live",
    )
    options: Annotated[dict[str, str], AfterValidator(_no_credentials_in_options)] = Field(
        default_factory=dict, description="FFmpeg options, e.g. rtsp_transport = udp; credentials as references only"
    )
    video: int = Field(0, ge=0, description="which of the source's video streams, counted from 0")
    fps: float | None = Field(None, gt=0, le=1000, description="sampled down to this rate; none: every frame")
    rotate: Literal[0, 90, 180, 270] = Field(0, description="degrees clockwise, on top of the file's own rotation")
    crop: Crop | None = None
    masks: tuple[Mask, ...] = ()
    transport: Annotated[str, AfterValidator(_transport)] = Field(
        "full", description="size that travels: full, network (what the pipeline's model needs) or WIDTHxHEIGHT"
    )
    quality: int = Field(90, ge=30, le=100, description="of the JPEG")
    freshness: Annotated[str, AfterValidator(_freshness)] = Field(
        "latest", description="latest: only the newest frame counts; bounded:<ms>: older are skipped; every: all"
    )
    pace: Literal["realtime", "fast"] = Field("realtime", description="files: by their own clock, or as fast as wanted")
    loop: bool = Field(False, description="files: start again at the end, for ever")
    track: bool = Field(False, description="objects keep one id while they are in view")
    motion_gate_s: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="a frame in which nothing has moved since the last one that was looked at costs no inference; "
        "after so many seconds of source time one is looked at all the same; none: every frame is",
    )
    zones: tuple[Zone, ...] = Field((), max_length=50, description="who enters, stays and leaves makes events")
    lines: tuple[Line, ...] = Field((), max_length=50, description="who crosses one makes an event")
    pipelines: tuple[Annotated[str, _name("pipeline")], ...] = Field(("main",), min_length=1)
    paused: bool = False
    managed: bool = Field(True, description="false: served by the one `streamer produce SOURCE` that wrote it")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.pace == "fast" and self.freshness != "every":
            # At full speed a frame's age says nothing: everything but the newest would be skipped.
            raise ValueError("pace fast needs freshness every")
        names = [place.name for place in (*self.zones, *self.lines)]
        if len(names) != len(set(names)):
            raise ValueError("zones and lines need names of their own")
        if names and not self.track:
            raise ValueError("zones and lines need track")
        if self.track and self.motion_gate_s is not None and self.motion_gate_s > _TRACKED_S:
            raise ValueError(f"with track, motion_gate_s is at most {_TRACKED_S:g}: tracks end when nobody looks")
        return self

    @property
    def bound_ms(self) -> int | None:
        """Age in ms beyond which a frame is skipped; 0: all but the newest are; None: none is."""
        match = _FRESHNESS.fullmatch(self.freshness)
        if match and match["ms"]:
            return int(match["ms"])
        return 0 if self.freshness == "latest" else None

    @property
    def transport_size(self) -> tuple[int, int] | None:
        """(width, height) that `transport` names, None for full and network."""
        match = _SIZE.fullmatch(self.transport)
        return (int(match["width"]), int(match["height"])) if match else None

    def to_json(self) -> bytes:
        """The record's value."""
        return self.model_dump_json(exclude_defaults=True).encode()


class PipelineDefinition(_Record):
    """The record on topic `pipelines`: what runs under a pipeline's name, written by its first worker.

    width, height: of the network's input in pixels; producers send `network` transport at this size.
    stretched: pictures are stretched to it, so what is sent covers this size instead of being fitted in.
    """

    name: Annotated[str, _name("pipeline")]
    model: str
    model_sha256: str
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    classes: tuple[str, ...]
    stretched: bool = False

    def to_json(self) -> bytes:
        """The record's value."""
        return self.model_dump_json(exclude_defaults=True).encode()


def parse_definition(kind: type[T], value: bytes | str | dict[str, object]) -> T:
    """A definition from JSON or from plain values, with every mistake named.

    Raises:
        UsageError: it is not valid; one line that lists all mistakes, without values.
    """
    try:
        return kind.model_validate(value) if isinstance(value, dict) else kind.model_validate_json(value)
    except ValidationError as error:
        raise UsageError("; ".join(describe(error))) from None


def describe(error: ValidationError) -> list[str]:
    """One entry per mistake, for the first few: where, and what is wrong."""
    mistakes = error.errors(include_input=False, include_url=False, include_context=False)
    lines = []
    for mistake in mistakes[:_SHOWN]:
        where = ".".join(map(shown_key, mistake["loc"]))
        what = mistake["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    more = len(mistakes) - len(lines)
    return [*lines, f"and {more} more"] if more else lines


def shown_key(key: int | str) -> str:
    """As it may be shown: one that should not be there can be any text, long or with line breaks."""
    text = str(key)
    return text if text.isprintable() and len(text) <= 64 else f"{text!r:.64}"
