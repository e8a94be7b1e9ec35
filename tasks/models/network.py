"""A compact fully convolutional network with a box head, a semantic head and a frame-label head.

The boxes follow TTFNet (Liu et al. 2020, "Training-Time-Friendly Network for Real-Time Object Detection"): a heat map a
class at stride 4 whose peaks are objects, and at each cell the distances to the four sides; it learns in few passes.
The frame label is read by attention pooling (Ilse et al. 2018), so that a small lamp can decide it.
"""

from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional

STRIDE: Final = 4
"""Pixels per cell of the heads."""

MULTIPLE: Final = 32
"""Frame sides are padded to a multiple of this, the stride of the deepest stage."""

PRIOR: Final = 0.01
"""Heat that an untrained network gives each cell (Lin et al. 2017, section 4.1)."""

LONGEST_SIDE: Final = 8.0
"""Bound on the logarithm of a distance in cells, against overflow: e^8 cells are 11,900 px."""


class Heads(NamedTuple):
    """Raw outputs for a batch of B frames padded to (H, W), with h, w = H / 4, W / 4.

    Attributes:
        heat: (B, object classes, h, w), logits.
        sides: (B, 4, h, w), distances from the cell's centre to left, top, right and bottom, in pixels, positive.
        semantic: (B, semantic classes, h, w), logits.
        label: (B, frame labels), logits.
    """

    heat: torch.Tensor
    sides: torch.Tensor
    semantic: torch.Tensor
    label: torch.Tensor


class _Conv(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    """Two convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x + self.second(self.first(x)))


class SmallNetwork(nn.Module):
    """Stages at strides 4 to 32, a top-down path back to stride 4, three heads; under 0.5 M parameters."""

    def __init__(self, *, n_objects: int, n_semantic: int, n_labels: int) -> None:
        """A network for this many classes of each kind; a kind without classes has no head and empty outputs."""
        super().__init__()
        self.counts = (n_objects, n_semantic, n_labels)
        self.stem = nn.Sequential(_Conv(3, 16, stride=2), _Conv(16, 32, stride=2))
        self.stage8 = nn.Sequential(_Conv(32, 48, stride=2), _Residual(48))
        self.stage16 = nn.Sequential(_Conv(48, 80, stride=2), _Residual(80))
        self.stage32 = nn.Sequential(_Conv(80, 96, stride=2), _Conv(96, 96))
        self.lateral32 = nn.Conv2d(96, 48, 1)
        self.lateral16 = nn.Conv2d(80, 48, 1)
        self.lateral8 = nn.Conv2d(48, 48, 1)
        self.lateral4 = nn.Conv2d(32, 32, 1)
        self.down8 = nn.Conv2d(48, 32, 1)
        self.smooth8 = _Conv(48, 48)
        self.smooth4 = _Conv(32, 32)
        self.boxes = _Conv(32, 32)
        self.heat = nn.Conv2d(32, max(n_objects, 1), 1)
        self.sides = nn.Conv2d(32, 4, 1)
        self.semantic = nn.Conv2d(32, max(n_semantic, 1), 1)
        self.signs = _Conv(48, 32)
        self.label = nn.Conv2d(32, max(n_labels, 1) + 1, 1)  # the last channel is the attention
        nn.init.constant_(self.heat.bias, -torch.log(torch.tensor((1 - PRIOR) / PRIOR)).item())  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> Heads:
        """Heads for frames, float32 (B, 3, H, W), RGB 0..255, H and W multiples of 32."""
        c4 = self.stem((x - 114.0) / 64.0)
        c8 = self.stage8(c4)
        c16 = self.stage16(c8)
        c32 = self.stage32(c16)
        p16 = self.lateral16(c16) + functional.interpolate(self.lateral32(c32), scale_factor=2.0, mode="nearest")
        p8 = self.smooth8(self.lateral8(c8) + functional.interpolate(p16, scale_factor=2.0, mode="nearest"))
        p4 = self.smooth4(self.lateral4(c4) + functional.interpolate(self.down8(p8), scale_factor=2.0, mode="nearest"))
        trunk, signs = self.boxes(p4), self.signs(p8)
        with torch.autocast(x.device.type, enabled=False):  # sides need more than bfloat16's eight bits
            return self._heads(trunk.float(), p4.float(), signs.float())

    def _heads(self, trunk: torch.Tensor, p4: torch.Tensor, signs: torch.Tensor) -> Heads:
        n_objects, n_semantic, n_labels = self.counts
        votes = self.label(signs).flatten(2)
        attention = votes[:, -1:].softmax(dim=2)
        return Heads(
            heat=self.heat(trunk)[:, :n_objects],
            sides=self.sides(trunk).clamp(max=LONGEST_SIDE).exp() * STRIDE,
            semantic=self.semantic(p4)[:, :n_semantic],
            label=(votes[:, :-1] * attention).sum(dim=2)[:, :n_labels],
        )
