"""The pixels of a batch: every input pixel is fetched from where `augment` put its picture.

The same code on the CPU and on CUDA. A CPU does one input at a time, which stays in its cache (2 to 4 times as fast
as a whole batch); a GPU does all at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample

from engines.detections import Floats
from engines.letterbox import PAD_VALUE
from engines.training.augment import Placed
from engines.training.pixels import Pixels

TILES = 4  # of a mosaic
_OUTSIDE = 9.0  # a coordinate far out of the picture, where grid_sample finds zeros
_EDGE = 0.05  # of a pasted object's sides: how wide its edge is blended in
_KERNEL = 5  # pixels: side of the blur's kernel
_NOISE = 0.03  # standard deviation, of 0 to 1


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How a batch of B inputs is drawn.

    tiles: B * T of them, input after input. pastes: any number, in rising order of inputs.
    matrices (B, 3, 3), offsets (B, 3): see `colour`. blurs: float32 (B,), sigma in pixels, 0 for none.
    noisy: bool (B,). seed: of the noise.
    """

    size: int
    tiles: Placed
    pastes: Placed
    matrices: Floats
    offsets: Floats
    blurs: Floats
    noisy: NDArray[np.bool_]
    seed: int


def render(plan: Plan, pixels: Pixels) -> Tensor:
    """The inputs, float32 (B, 3, size, size), RGB 0 to 1, on the device of the pixels."""
    device = pixels.values.device
    inputs = len(plan.offsets)
    images = torch.empty((inputs, 3, plan.size, plan.size), device=device)
    noise = torch.Generator(device).manual_seed(plan.seed)
    maps = _sent(plan.matrices / 255, device), _sent(_offsets(plan), device)
    step = inputs if device.type == "cuda" else torch.get_num_threads()
    for first, last, count in _groups(plan):
        for start in range(first, last, step):
            part = slice(start, min(start + step, last))
            drawn = _tiles(_tiles_of(plan, part, count), count, pixels, plan.size)
            _paste(plan, pixels, part, drawn)
            _blur(plan.blurs[part], drawn)
            _finish(drawn, maps[0][part], maps[1][part], images[part])
            _add_noise(plan.noisy[part], images[part], noise)
    return images


def _groups(plan: Plan) -> list[tuple[int, int, int]]:
    """First input, last + 1, and tiles of each: those with a mosaic come first, the others need no four pictures."""
    inputs = len(plan.offsets)
    rect = plan.tiles.rect.reshape(inputs, -1, 4)
    mosaics = int(np.count_nonzero(rect[:, 0, 2] < plan.size)) if rect.shape[1] > 1 else 0
    groups = [(0, mosaics, TILES), (mosaics, inputs, 1)]
    return [group for group in groups if group[0] < group[1]]


def _tiles_of(plan: Plan, part: slice, count: int) -> Placed:
    """The first `count` tiles of each of the inputs `part`."""
    every = len(plan.tiles.index) // len(plan.offsets)
    tiles = plan.tiles[part.start * every : part.stop * every]
    return tiles if count == every else tiles[::every]


def _sent(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """An array on the device, without waiting for what the device is busy with."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _offsets(plan: Plan) -> Floats:
    """Pixels are fetched as their difference from grey, so that zeros outside of pictures are grey: added here."""
    offsets: Floats = plan.offsets + plan.matrices.sum(axis=2) * np.float32(PAD_VALUE / 255)
    return offsets[..., None]


def _tiles(tiles: Placed, count: int, pixels: Pixels, size: int) -> Tensor:
    """Inputs of `count` tiles each, (n, 3, size, size), 0 to 255 less the grey."""
    device = pixels.values.device
    columns, rows, right, low = (_sent(part, device) for part in _coordinates(tiles, count, pixels, size))
    # Its tiles one below the other are one picture, so that one call fetches all of an input.
    source = _fetched(pixels, tiles).view(3, -1, count * pixels.size, pixels.size).transpose(0, 1)
    if count == 1:
        x, y = torch.broadcast_tensors(columns[:, 0, None, :], rows[:, 0, :, None])
    else:
        x = torch.where(low[:, :, None], columns[:, 1, None, :], columns[:, 0, None, :])
        y = torch.where(right[:, None, :], rows[:, 1, :, None], rows[:, 0, :, None])
    return grid_sample(source, torch.stack([x, y], -1), align_corners=False)


def _fetched(pixels: Pixels, placed: Placed) -> Tensor:
    """Pictures, float32 (3, K, size, size), less the grey."""
    device = pixels.values.device
    picked = pixels.values.index_select(1, _sent(placed.index, device))
    if placed.turned.any():
        turned = _sent(np.flatnonzero(placed.turned), device)
        picked.index_copy_(1, turned, picked.index_select(1, turned).transpose(2, 3))
    return picked.float().sub_(PAD_VALUE)


def _coordinates(tiles: Placed, count: int, pixels: Pixels, size: int) -> list[NDArray[np.generic]]:
    """Where the pixels of n inputs come from, as grid_sample wants it, -1 to 1.

    Tiles are upright, so x depends on the column and whether the tile is an upper or a lower one: (n, 2, size); y
    on the row and whether it is a left or a right one: (n, 2, size). Then whether a column is of the right tiles,
    and whether a row is of the lower ones: bool (n, size) each. A single tile has (n, 1, size) of both.
    """
    x, y = (_source(tiles, pixels, size, axis).reshape(-1, count, size) for axis in (0, 1))
    middle = tiles.rect.reshape(-1, count, 4)[:, 0, 2:]
    places = np.arange(size)
    right, low = places >= middle[:, :1], places >= middle[:, 1:]
    if count > 1:
        y = (y + np.arange(count, dtype=np.float32)[:, None] * 2 + 1) / np.float32(count) - 1
        x = np.where(right[:, None], x[:, 1::2], x[:, ::2])
        y = np.where(low[:, None], y[:, 2:], y[:, :2])
    return [x, y, right, low]


def _source(placed: Placed, pixels: Pixels, size: int, axis: int) -> Floats:
    """(K, size): for each column (axis 0) or row (1) of the input, the place in the picture, -1 to 1."""
    scale, shift = placed.scale[:, axis, None], placed.shift[:, axis, None]
    length = placed.sizes(pixels.sizes)[:, axis, None]
    place = (np.arange(size, dtype=np.float32) + 0.5 - shift) / scale
    inside = (place > 0) & (place < length)
    # Half a pixel from the edge on there is nothing to interpolate with but the next picture.
    place = np.clip(place, 0.5, np.maximum(length - 0.5, 0.5)) * np.float32(2 / pixels.size) - 1
    found: Floats = np.where(inside, place, np.float32(_OUTSIDE * 4))
    return found


def _paste(plan: Plan, pixels: Pixels, part: slice, drawn: Tensor) -> None:
    """Blends the objects pasted into inputs `part` over them, in place."""
    pastes = plan.pastes
    first, last = np.searchsorted(pastes.owner, [part.start, part.start + len(drawn)])
    if first == last:
        return
    chosen = pastes[int(first) : int(last)]
    device, size = drawn.device, plan.size
    x, y = (_sent(_source(chosen, pixels, size, axis), device) for axis in (0, 1))
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    sources = _fetched(pixels, chosen).transpose(0, 1).split(1)
    shown = zip(sources, chosen.scale[:, 1].tolist(), grid.split(1), strict=True)
    objects = torch.cat(
        [grid_sample(_shrunk(source, scale), where, align_corners=False) for source, scale, where in shown]
    )
    across, down = (_sent(_weights(chosen.rect, size, axis), device) for axis in (0, 1))
    owner = _sent(chosen.owner - part.start, device)
    below = drawn.index_select(0, owner)
    drawn.index_copy_(0, owner, below.lerp_(objects, across[:, None, None, :] * down[:, None, :, None]))


def _shrunk(picture: Tensor, scale: float) -> Tensor:
    """A picture (1, 3, size, size) about as small as it will be shown, of its pixels' means: none is skipped then.

    scale: it is shown at, 0 to 1; sides are halved while it is half or less, as far as they can be.
    """
    size, factor = picture.shape[-1], 1
    while scale * factor <= 0.5 and size % (2 * factor) == 0:
        factor *= 2
    return avg_pool2d(picture, factor) if factor > 1 else picture


def _weights(rect: Floats, size: int, axis: int) -> Floats:
    """(K, size): how much of each column (axis 0) or row (1) is the pasted object's, 0 to 1."""
    begin, end = rect[:, axis, None], rect[:, axis + 2, None]
    edge = np.maximum((end - begin) * _EDGE, 1)
    middle = np.arange(size, dtype=np.float32) + 0.5
    weights: Floats = np.clip(np.minimum(middle - begin, end - middle) / edge, 0, 1).astype(np.float32)
    return weights


def _blur(sigmas: Floats, drawn: Tensor) -> None:
    """Blurs the inputs whose sigma is above 0, in place."""
    blurred = np.flatnonzero(sigmas > 0)
    if not len(blurred):
        return
    distance = np.arange(_KERNEL) - _KERNEL // 2
    line = np.exp(-(distance**2) / (2 * sigmas[blurred, None] ** 2))
    line /= line.sum(axis=1, keepdims=True)
    kernels = np.repeat(line[:, None, :, None] * line[:, None, None, :], 3, axis=0).astype(np.float32)
    which = _sent(blurred, drawn.device)
    size = drawn.shape[-1]
    sharp = drawn.index_select(0, which).view(1, -1, size, size)
    soft = conv2d(sharp, _sent(kernels, drawn.device), padding=_KERNEL // 2, groups=sharp.shape[1])
    drawn.index_copy_(0, which, soft.view(-1, 3, size, size))


def _finish(drawn: Tensor, matrices: Tensor, offsets: Tensor, into: Tensor) -> None:
    """Colours, brought to 0 to 1."""
    flat = into.view(len(drawn), 3, -1)
    torch.baddbmm(offsets, matrices, drawn.reshape(len(drawn), 3, -1), out=flat)
    into.clamp_(0, 1)


def _add_noise(noisy: NDArray[np.bool_], images: Tensor, generator: torch.Generator) -> None:
    for number in np.flatnonzero(noisy).tolist():
        image = images[number]
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        image.add_(noise, alpha=_NOISE).clamp_(0, 1)
