"""From a frame to a network's input and back: resizing, channel order, scaling, padding, as params declare them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tasks.errors import InputError
from tasks.params import ModelInput


@dataclass(frozen=True)
class Placement:
    """Where the frame lies inside the network's input: `input = frame * scale + offset`, axis by axis, in pixels.

    Attributes:
        height_px: Height of the resized frame, padding not counted.
        width_px: Its width.
        scale_x: Its width over the frame's. Letterboxes round sizes to whole pixels, so that the two scales may differ
            by a hair from the nominal ratio; these are the exact ones.
        scale_y: Its height over the frame's.
        offset_x: Pixels of padding to its left.
        offset_y: Pixels of padding above it.
    """

    height_px: int
    width_px: int
    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int

    def to_input(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes (N, 4) xyxy of the frame, in pixels of the input."""
        scale, offset = self._vectors()
        return boxes * scale + offset

    def to_frame(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes (N, 4) xyxy of the input, in pixels of the frame; the inverse of `to_input`."""
        scale, offset = self._vectors()
        return (boxes - offset) / scale

    def _vectors(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        scale = np.array([self.scale_x, self.scale_y] * 2, dtype=np.float64)
        offset = np.array([self.offset_x, self.offset_y] * 2, dtype=np.float64)
        return scale, offset


def place(height_px: int, width_px: int, settings: ModelInput) -> Placement:
    """Where a frame of this size comes to lie under `settings`.

    Raises:
        InputError: `settings.size` is missing for a resize that needs it, or differs from the frame under `none`.
    """
    if settings.resize == "none":
        if settings.size is not None and tuple(settings.size) != (height_px, width_px):
            height, width = settings.size
            raise InputError(
                f"The model takes {width}x{height} px and input.resize is 'none', got {width_px}x{height_px}: "
                "set input.resize to stretch, letterbox or letterbox_top_left."
            )
        return Placement(height_px, width_px, 1.0, 1.0, 0, 0)
    if settings.size is None:
        raise InputError(f"input.resize '{settings.resize}' needs input.size: [height, width].")
    height, width = settings.size
    if settings.resize == "stretch":
        return Placement(height, width, width / width_px, height / height_px, 0, 0)
    ratio = min(height / height_px, width / width_px)
    inner_height, inner_width = max(int(height_px * ratio), 1), max(int(width_px * ratio), 1)
    centred = settings.resize == "letterbox"
    return Placement(
        inner_height,
        inner_width,
        inner_width / width_px,
        inner_height / height_px,
        (width - inner_width) // 2 if centred else 0,
        (height - inner_height) // 2 if centred else 0,
    )


def prepare_input(frame: npt.NDArray[np.uint8], settings: ModelInput) -> tuple[torch.Tensor, Placement]:
    """A frame, uint8 RGB (H, W, 3), as the network's input, float32 (3, height, width), and where it lies in there.

    Bilinear resizing without smoothing, rounded to whole values, as OpenCV's default, on which detectors of this kind
    are trained; padding; the declared channel order; then `(value * scale - mean) / std`, mean and std in that order.
    """
    placement = place(frame.shape[0], frame.shape[1], settings)
    pixels = torch.tensor(frame).permute(2, 0, 1).unsqueeze(0).float()  # a copy: frames may be read-only
    inner = (placement.height_px, placement.width_px)
    if tuple(pixels.shape[2:]) != inner:
        pixels = functional.interpolate(
            pixels, size=inner, mode="bilinear", align_corners=False, antialias=False
        ).round()
    if settings.resize in ("letterbox", "letterbox_top_left") and settings.size is not None:
        height, width = settings.size
        left, top = placement.offset_x, placement.offset_y
        margins = (left, width - inner[1] - left, top, height - inner[0] - top)
        pixels = functional.pad(pixels, margins, value=float(settings.pad))
    pixels = pixels[0]
    if settings.channels == "bgr":
        pixels = pixels.flip(0)
    mean = torch.tensor(settings.mean).reshape(3, 1, 1)
    std = torch.tensor(settings.std).reshape(3, 1, 1)
    return ((pixels * settings.scale - mean) / std).contiguous(), placement
