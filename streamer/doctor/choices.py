"""Checks of what the settings choose for workers and producers: model, engine, head, hardware decoder."""

from collections.abc import Iterator

from streamer.doctor.finding import Finding, bad, note, ok
from streamer.errors import UsageError
from streamer.models import check_model
from streamer.settings import DetectSettings, Settings


def check_choices(settings: Settings, roles: set[str]) -> Iterator[Finding]:
    """What is wrong is only noted where this machine's roles have nothing to do with it.

    roles: those that this machine must be able to take; none: it may take any.
    """
    for role, findings in (("worker", _model(settings)), ("producer", _hwaccel(settings.produce.hwaccel))):
        for finding in findings:
            concerned = not roles or role in roles
            yield finding if finding.level == "ok" or concerned else note(f"{finding.text} (for a {role})")


def _model(settings: Settings) -> Iterator[Finding]:
    detect = settings.detect
    if not detect.model:
        yield bad("no model: set detect.model to an ONNX file, or to street-wide, which is shipped")
        return
    try:
        check_model(settings)
    except ImportError:
        return  # said already
    except UsageError as error:
        yield bad(f"[detect] {_chosen(detect)}: {error}")
    else:
        yield ok(f"a worker can use {_chosen(detect)}")


def _chosen(detect: DetectSettings) -> str:
    return f"model {detect.model}, engine {detect.engine}, head {detect.head}"


def _hwaccel(name: str) -> Iterator[Finding]:
    if not name:
        return
    try:
        import av
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError:
        return  # said already
    known = hwdevices_available()
    if name not in known:
        yield bad(
            f"produce.hwaccel = {name!r}: this FFmpeg knows {', '.join(known) or 'none'}; leave it empty for none"
        )
        return
    try:
        # Any codec does: this opens the device.
        av.CodecContext.create("h264", "r", hwaccel=HWAccel(device_type=name, allow_software_fallback=False))
    except (av.error.FFmpegError, RuntimeError) as error:
        yield bad(f"produce.hwaccel = {name!r} can't be opened here ({error}): install its driver, or leave it empty")
    else:
        yield ok(f"hardware decoder {name}")
