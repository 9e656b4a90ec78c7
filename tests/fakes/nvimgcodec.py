"""An nvImageCodec for tests without a GPU: libjpeg-turbo decodes into memory of this machine."""

from collections.abc import Sequence
from enum import Enum
from types import ModuleType
from typing import Any

import numpy as np
import simplejpeg

from tests.fakes.gpu import Gpu


class SampleFormat(Enum):
    """Of what is decoded."""

    I_RGB = 1


class CodeStream:
    """A JPEG, which is looked at when it is asked."""

    def __init__(self, bytes: bytes) -> None:
        self.data = bytes

    @property
    def width(self) -> int:
        return self._size()[0]

    @property
    def height(self) -> int:
        return self._size()[1]

    def _size(self) -> tuple[int, int]:
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(self.data)
        except ValueError:
            raise RuntimeError("Failed to get image info") from None
        return width, height


class DecodeParams:
    """How to decode."""

    def __init__(self, apply_exif_orientation: bool = True, sample_format: SampleFormat | None = None) -> None:
        assert not apply_exif_orientation
        assert sample_format is SampleFormat.I_RGB


class Image:
    """A picture; its rows end in some bytes that belong to nobody. Its memory is another one only if it must grow."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self.pixels = self._memory.reshape(0, 0, 3)

    def resize(self, width: int, height: int) -> None:
        size = height * (width + 5) * 3
        if size > len(self._memory):
            self._memory = np.empty(size, np.uint8)
        self._memory[:] = 0xCD
        self.pixels = self._memory[:size].reshape(height, width + 5, 3)[:, :width]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.pixels.shape, "strides": self.pixels.strides, "data": (self.pixels.ctypes.data, False)}


def nvimgcodec(gpu: Gpu) -> ModuleType:
    """The module `nvidia.nvimgcodec`, as far as it is used. Pictures of an odd width it can't read."""

    class Decoder:
        def __init__(self, device_id: int = -1, options: str = "") -> None:
            assert gpu.stack

        def decode(
            self,
            srcs: Sequence[CodeStream],
            *,
            images: Sequence[Image] | None = None,
            params: DecodeParams | None = None,
            cuda_stream: int = 0,
        ) -> list[Image | None]:
            gpu.calls["decode"] += 1
            gpu.calls["new images"] += 0 if images else len(srcs)
            targets = images or [Image() for _ in srcs]
            assert len(targets) == len(srcs)
            return [self._one(one, image, cuda_stream) for one, image in zip(srcs, targets, strict=True)]

        def _one(self, source: CodeStream, image: Image, stream: int) -> Image | None:
            if source.width % 2:
                return None
            image.resize(source.width, source.height)
            pixels = image.pixels
            gpu.streams[stream].put(lambda: np.copyto(pixels, simplejpeg.decode_jpeg(source.data, "RGB", True, False)))
            return image

    module = ModuleType("nvidia.nvimgcodec")
    module.__dict__.update(
        CodeStream=CodeStream, DecodeParams=DecodeParams, Decoder=Decoder, Image=Image, SampleFormat=SampleFormat
    )
    return module
