"""The network: plain 3x3 convolutions with ReLU, a path-aggregating neck, one decoupled head per stride, no anchors.

What was taken from whom:
- anchor-free boxes and a head with separate branches for class and box: FCOS (Tian et al. 2019, arXiv:1904.01355),
  YOLOX (Ge et al. 2021, arXiv:2107.08430);
- blocks that concatenate what each of their steps found: CSPNet (Wang et al. 2019, arXiv:1911.11929), ELAN (Wang et
  al. 2022, arXiv:2211.04800), as in YOLOv8;
- a neck with one width on all levels: NanoDet-Plus, PP-PicoDet (Yu et al. 2021, arXiv:2111.00902);
- the same number of channels in backbone, neck and head, and an exponential on the distances of a small network:
  RTMDet (Lyu et al. 2022, arXiv:2212.07784);
- distances as one number each, not as a distribution: YOLO26 (Ultralytics 2025);
- ReLU and nothing depth-wise, as both survive eight bits: QARepVGG (Chu et al. 2022, arXiv:2212.01593).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
COLOURS = 3  # channels of a picture
LARGEST_DISTANCE = 5.0  # of its logarithm: e^5 cells are more than any picture has
# Of its logarithm; below, distances go on along a straight line, through 0. What was trained without that rarely says
# less, so nearly all of its boxes stay as they were.
SMALLEST_DISTANCE = -2.5
DEEPEST = 64  # steps of a block
PRIOR = 0.01  # a fresh network's probability of any class: most anchors are background (RetinaNet, arXiv:1708.02002)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of a network.

    classes: how many.
    stem: channels at stride 2.
    widths: channels of the backbone at strides 4, 8, 16 and 32.
    depths: steps in the blocks there; 0: no block.
    neck: channels of the neck on all levels.
    head: channels of each of the head's branches.
    """

    classes: int
    stem: int = 16
    widths: tuple[int, int, int, int] = (24, 48, 96, 192)
    depths: tuple[int, int, int, int] = (0, 2, 2, 1)
    neck: int = 48
    head: int = 48

    def __post_init__(self) -> None:
        if max(self.depths) > DEEPEST:
            raise ValueError(f"a block has {DEEPEST} steps at most")


class Convolution(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Step(nn.Module):
    """Two 3x3 convolutions, whose result is added to what came in."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.first = Convolution(channels, channels)
        self.second = Convolution(channels, channels)
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        found = self.second(self.first(features))
        return features + found if self.shortcut else found


class Block(nn.Module):
    """Half of the channels go through steps; all that any step found is mixed at the end (ELAN)."""

    def __init__(self, inputs: int, outputs: int, steps: int, shortcut: bool) -> None:
        super().__init__()
        half = outputs // 2
        # Two convolutions, not one that is split: a slice costs runtimes a copy in another memory layout.
        self.past = Convolution(inputs, half, 1)
        self.enter = Convolution(inputs, half, 1)
        self.steps = nn.ModuleList(Step(half, shortcut) for _ in range(steps))
        self.leave = Convolution((2 + steps) * half, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        found = [self.past(features), self.enter(features)]
        for step in self.steps:
            found.append(step(found[-1]))
        return self.leave(torch.cat(found, 1))


class Surroundings(nn.Module):
    """Lets each place see the largest activations around it, near and far (SPPF of YOLOv5)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Convolution(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = Convolution(channels // 2 * 4, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        found = [self.enter(features)]
        for _ in range(3):
            found.append(self.pool(found[-1]))
        return self.leave(torch.cat(found, 1))


class Backbone(nn.Module):
    """A picture to features at strides 8, 16 and 32."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.stem = Convolution(COLOURS, config.stem, 3, 2)
        stages, inputs = [], config.stem
        for width, depth in zip(config.widths, config.depths, strict=True):
            stage = nn.Sequential(Convolution(inputs, width, 3, 2))
            if depth:
                stage.append(Block(width, width, depth, shortcut=True))
            stages.append(stage)
            inputs = width
        stages[-1].append(Surroundings(inputs))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to one (B, C, H / stride, W / stride) per stride."""
        features, levels = self.stem(images), []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        return levels[1:]


class Neck(nn.Module):
    """What is seen at a stride becomes known at all: down from the coarse levels, then up from the fine ones.

    PANet (Liu et al. 2018, arXiv:1803.01534).
    """

    def __init__(self, inputs: Sequence[int], width: int) -> None:
        super().__init__()
        self.enter = nn.ModuleList(Convolution(channels, width, 1) for channels in inputs)
        self.larger = nn.Upsample(scale_factor=2, mode="nearest")
        self.down = nn.ModuleList(Block(2 * width, width, 1, shortcut=False) for _ in inputs[1:])
        self.smaller = nn.ModuleList(Convolution(width, width, 3, 2) for _ in inputs[1:])
        self.up = nn.ModuleList(Block(2 * width, width, 1, shortcut=False) for _ in inputs[1:])

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Fine to coarse, each of its own width, to the same of one width."""
        entered = [enter(level) for enter, level in zip(self.enter, levels, strict=True)]
        merged = [entered[-1]]
        for level, block in zip(entered[-2::-1], self.down, strict=True):
            merged.insert(0, block(torch.cat([self.larger(merged[0]), level], 1)))
        found = [merged[0]]
        for level, smaller, block in zip(merged[1:], self.smaller, self.up, strict=True):
            found.append(block(torch.cat([smaller(found[-1]), level], 1)))
        return found


class Branch(nn.Sequential):
    """One 3x3 convolution and the answer."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__(Convolution(inputs, width), nn.Conv2d(width, outputs, 1))


class Network(nn.Module):
    """Pictures to boxes with class probabilities."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.neck = Neck(config.widths[1:], config.neck)
        self.classes = nn.ModuleList(Branch(config.neck, config.head, config.classes) for _ in STRIDES)
        self.boxes = nn.ModuleList(Branch(config.neck, config.head, 4) for _ in STRIDES)
        self._start()

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) RGB, 0 to 1, to one (B, 4 + classes, S / stride, S / stride) per stride, fine to coarse.

        Channels: the logarithms of the distances from the cell's centre to the box's left, top, right and bottom, in
        cells; then one logit per class.
        """
        return self.answer(self.features(images))

    def features(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What the last layers see: per stride, (B, head, H, W) of the branch for boxes and of that for classes."""
        levels = self.neck(self.backbone(images))
        return [
            (boxes[0](level), classes[0](level))
            for level, boxes, classes in zip(levels, self.boxes, self.classes, strict=True)
        ]

    def answer(self, features: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """The rest of `forward`."""
        return [
            torch.cat([boxes[1](of_boxes), classes[1](of_classes)], 1)
            for (of_boxes, of_classes), boxes, classes in zip(features, self.boxes, self.classes, strict=True)
        ]

    def eval_outputs(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to YOLOv8's layout (B, 4 + classes, anchors): centre, width, height in pixels, probabilities."""
        return finished(self(images))

    def _start(self) -> None:
        for branch in self.classes:
            nn.init.constant_(branch[-1].bias, -math.log((1 - PRIOR) / PRIOR))
        for branch in self.boxes:
            nn.init.zeros_(branch[-1].weight)
            nn.init.constant_(branch[-1].bias, math.log(2.5))


def build_network(config: NetworkConfig) -> Network:
    """A fresh network; its weights come from torch's random numbers.

    Kaiming-uniform weights (He et al. 2015, arXiv:1502.01852) are what torch gives; the heads' biases say "nothing
    here", and boxes of five cells.
    """
    return Network(config)


def flattened(levels: Sequence[Tensor]) -> Tensor:
    """The network's answer, one (B, channels, H, W) per stride, as (B, channels, anchors)."""
    return torch.cat([level.flatten(2) for level in levels], 2)


def anchors(levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Centres (anchors, 2) of all cells, x and y in pixels, and their strides (anchors,), ordered as `flattened`."""
    centres, strides = [], []
    for level, stride in zip(levels, STRIDES, strict=True):
        height, width = level.shape[-2:]
        y, x = torch.meshgrid(
            torch.arange(height, device=level.device, dtype=torch.float32),
            torch.arange(width, device=level.device, dtype=torch.float32),
            indexing="ij",
        )
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((height * width,), float(stride), device=level.device))
    return torch.cat(centres), torch.cat(strides)


def distances(logarithms: Tensor) -> Tensor:
    """Distances in cells, from the network's logarithms; never infinite.

    Below e^SMALLEST_DISTANCE the tangent takes the exponential's place, so that a distance may be negative: no cell's
    centre need lie in a person 3 pixels wide, and a box that had to reach to one would be twice too wide.
    """
    least = math.exp(SMALLEST_DISTANCE)
    inside = logarithms.clamp(SMALLEST_DISTANCE, LARGEST_DISTANCE).exp()
    return inside + least * (logarithms - SMALLEST_DISTANCE).clamp(max=0)


def corners(logarithms: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes (B, anchors, 4) left, top, right, bottom in pixels, of logarithms (B, 4, anchors) from `forward`."""
    found = distances(logarithms.transpose(1, 2).float()) * strides[:, None]
    return torch.cat([centres - found[..., :2], centres + found[..., 2:]], -1)


def finished(levels: Sequence[Tensor]) -> Tensor:
    """See Network.eval_outputs."""
    answer = flattened(levels)
    centres, strides = anchors(levels)
    before, after = (distances(answer[:, :4]) * strides).chunk(2, 1)
    middle = centres.T + (after - before) / 2
    return torch.cat([middle, before + after, answer[:, 4:].sigmoid()], 1)
