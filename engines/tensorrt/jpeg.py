"""JPEGs to pixels in the GPU's memory: by nvImageCodec on the GPU, or by libjpeg-turbo on the CPU and copied in."""

import logging
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.jpeg import decode_scaled, jpeg_size
from engines.jpeg_detector import Damaged, Frame
from engines.tensorrt.device import Device
from engines.tensorrt.errors import device_error
from engines.tensorrt.pictures import Pixels

_END, _TAIL = b"\xff\xd9", 64  # a JPEG ends so; some cameras fill up with zeros
log = logging.getLogger(__name__)


class JpegDecoder(Protocol):
    """Of one slot: what it gives is valid until it is asked again, which is not before the slot has been waited for.

    by_cpu: how many frames of the last call the CPU was asked to decode.
    """

    by_cpu: int

    def decode(self, frames: Sequence[Frame], wanted: Sequence[tuple[int, int]]) -> list[Pixels | Damaged]:
        """Queues the decoding in the slot's stream.

        wanted: (width, height) each that the network needs at least, see Letterbox.wanted_size.
        """

    def close(self) -> None:
        """Lets its buffers and the slot's stream go; by a thread that has the device in use."""


class CpuJpegs:
    """Decodes on the CPU at the smallest scale that is enough, and copies the pixels in."""

    def __init__(self, device: Device, stream: Any) -> None:
        self._device, self._stream = device, stream
        self._host: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._memory: Any = None
        self.by_cpu = 0

    def decode(self, frames: Sequence[Frame], wanted: Sequence[tuple[int, int]]) -> list[Pixels | Damaged]:
        """See JpegDecoder."""
        self.by_cpu = len(frames)
        pictures = [_picture(frame, least) for frame, least in zip(frames, wanted, strict=True)]
        self._make_room(sum(picture.nbytes for picture in pictures if not isinstance(picture, Damaged)))
        used, pixels = 0, list[Pixels | Damaged]()
        for picture in pictures:
            if isinstance(picture, Damaged):
                pixels.append(picture)
                continue
            height, width, _ = picture.shape
            self._host[used : used + picture.nbytes] = picture.reshape(-1)
            pixels.append(Pixels(int(self._memory) + used, 3 * width, width, height))
            used += picture.nbytes
        if used:
            self._device.copy_in(int(self._memory), self._host[:used], self._stream)
        return pixels

    def close(self) -> None:
        """See JpegDecoder."""
        self._let_go()
        self._stream = None

    def _let_go(self) -> None:
        if self._memory is not None:
            self._memory.free()
        self._memory, self._host = None, np.empty(0, np.uint8)

    def _make_room(self, size: int) -> None:
        if size > len(self._host):
            self._let_go()
            self._memory, self._host = self._device.allocate(size), self._device.pinned(size, np.uint8)


def _picture(frame: Frame, wanted: tuple[int, int]) -> NDArray[np.uint8] | Damaged:
    try:
        width, height = jpeg_size(frame.jpeg)
        if (width, height) != (frame.width, frame.height):
            return Damaged(f"a JPEG of {width}x{height}, said to be of {frame.width}x{frame.height}")
        return decode_scaled(frame.jpeg, (width, height), wanted, "RGB")
    except ValueError as error:
        return Damaged(str(error))


class GpuJpegs:
    """Decodes on the GPU, at full size; what nvImageCodec can't read the CPU is asked for.

    Memory is taken while pictures grow in size or number, and kept.
    """

    def __init__(self, codec: Any, stream: Any, fallback: CpuJpegs) -> None:
        self._codec, self._stream, self._fallback = codec, stream, fallback
        # Colours as the CPU's decoder makes them, and no turning: a frame's header tells what is up.
        self._decoder = codec.Decoder(options=":fancy_upsampling=1")
        self._params = codec.DecodeParams(apply_exif_orientation=False, sample_format=codec.SampleFormat.I_RGB)
        self._images: list[Any] = []
        self._streams: list[Any] = []  # of the batch under way
        self.by_cpu = 0

    def decode(self, frames: Sequence[Frame], wanted: Sequence[tuple[int, int]]) -> list[Pixels | Damaged]:
        """See JpegDecoder."""
        images = self._decode(frames)
        refused = [number for number, image in enumerate(images) if image is None]
        self.by_cpu = len(refused)
        again = self._fallback.decode([frames[number] for number in refused], [wanted[number] for number in refused])
        following = iter(again)
        return [next(following) if image is None else _pixels(image) for image in images]

    def close(self) -> None:
        """See JpegDecoder."""
        self._images, self._streams = [], []
        self._decoder = self._stream = None
        self._fallback.close()

    def _decode(self, frames: Sequence[Frame]) -> list[Any]:
        self._streams = streams = [self._stream_of(frame) for frame in frames]
        readable = [stream for stream in streams if stream is not None]
        known = len(self._images)
        decoded = self._ask(readable[:known], images=self._images[: len(readable)]) + self._ask(readable[known:])
        self._images += [image for image in decoded[known:] if image is not None]
        if any(image is None for image in decoded):
            _say_once(
                "nvImageCodec can't decode some JPEGs, so the CPU does; if it decodes none, install nvidia-nvjpeg "
                "(streamer_detect_decoded_by_cpu_total counts them)"
            )
        following = iter(decoded)
        return [None if stream is None else next(following) for stream in streams]

    def _ask(self, streams: list[Any], **images: list[Any]) -> list[Any]:
        """An image each, None where it can't. images: those to be overwritten, one each; else there are new ones."""
        if not streams:
            return []
        return list(self._decoder.decode(streams, params=self._params, cuda_stream=self._stream.handle, **images))

    def _stream_of(self, frame: Frame) -> Any:
        """None if it is cut off, is no JPEG, or has another size than it is said to have: no memory is taken for it."""
        if _END not in frame.jpeg[-_TAIL:]:
            return None
        stream = self._codec.CodeStream(frame.jpeg)
        try:
            return stream if (stream.width, stream.height) == (frame.width, frame.height) else None
        except RuntimeError:  # it reads the header when it is asked
            return None


def _pixels(image: Any) -> Pixels:
    described = image.__cuda_array_interface__
    height, width, _ = described["shape"]
    pitch = described["strides"][0] if described.get("strides") else 3 * width
    return Pixels(described["data"][0], pitch, width, height)


@cache
def _say_once(words: str) -> None:
    """In the life of a process: each slot has a decoder."""
    log.warning(words)


def jpeg_decoder(device: Device, stream: Any) -> JpegDecoder:
    """The best there is for a slot.

    Raises:
        DeviceError: nvImageCodec is there and can't start.
    """
    on_cpu = CpuJpegs(device, stream)
    try:
        codec = import_module("nvidia.nvimgcodec")
    except ImportError:
        log.info("JPEGs are decoded on the CPU; pip install nvidia-nvimgcodec-cu13 nvidia-nvjpeg has the GPU do it")
        return on_cpu
    try:
        return GpuJpegs(codec, stream, on_cpu)
    except RuntimeError as error:  # all of its errors are that
        raise device_error("starting nvImageCodec", error) from None
