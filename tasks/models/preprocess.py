"""From a frame to a network's input and back: resizing, cropping, channels, scaling, padding, as params declare."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
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
        offset_x: Pixels of padding to its left; below 0: of the resized frame that are cropped away there.
        offset_y: Likewise above it.
        input_height_px: Height of the input, padding counted and what is cropped away not.
        input_width_px: Its width.
    """

    height_px: int
    width_px: int
    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int
    input_height_px: int
    input_width_px: int

    def to_input(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes (N, 4) xyxy of the frame, in pixels of the input."""
        scale, offset = self._vectors()
        return boxes * scale + offset

    def to_frame(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes (N, 4) xyxy of the input, in pixels of the frame; the inverse of `to_input`."""
        scale, offset = self._vectors()
        return (boxes - offset) / scale

    def classes_to_frame(self, classes: npt.NDArray[Any], *, height_px: int, width_px: int) -> npt.NDArray[Any]:
        """A map (h, w) of the whole input at the frame's size: each pixel says what lies under its centre there.

        Of a frame whose edges are cropped away, these repeat the nearest that is known.
        """
        rows = _under(height_px, self.scale_y, self.offset_y, self.height_px, self.input_height_px)
        columns = _under(width_px, self.scale_x, self.offset_x, self.width_px, self.input_width_px)
        return classes[np.ix_(rows, columns)]

    def values_to_frame(self, values: torch.Tensor, *, height_px: int, width_px: int) -> torch.Tensor:
        """Values (K, h, w) of the whole input, at its size or coarser, at the frame's size: (K, height_px, width_px).

        Bilinear to the size of the input, without its padding, then bilinear to the frame's.

        Raises:
            InputError: parts of the frame are cropped away.
        """
        if self.offset_x < 0 or self.offset_y < 0:
            raise InputError("input.crop cuts parts of the frame away: masks and label maps cannot tell what is there.")
        size = (self.input_height_px, self.input_width_px)
        whole = _resized(values[None].float(), size)
        bottom, right = self.offset_y + self.height_px, self.offset_x + self.width_px
        return _resized(whole[:, :, self.offset_y : bottom, self.offset_x : right], (height_px, width_px))[0]

    def _vectors(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        scale = np.array([self.scale_x, self.scale_y] * 2, dtype=np.float64)
        offset = np.array([self.offset_x, self.offset_y] * 2, dtype=np.float64)
        return scale, offset


def _under(length_px: int, scale: float, offset: int, inner_px: int, input_px: int) -> npt.NDArray[np.int64]:
    """Which row (or column) of the input lies under the centre of each of the frame's; never one of the padding."""
    centres = (np.arange(length_px) + 0.5) * scale + offset
    first, last = max(offset, 0), min(offset + inner_px, input_px) - 1
    rows: npt.NDArray[np.int64] = np.floor(centres).astype(np.int64).clip(first, last)
    return rows


def _resized(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(values.shape[-2:]) == size:
        return values
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False)


def check_input(settings: ModelInput) -> None:
    """Refuse settings that lack something or contradict each other.

    Raises:
        InputError: as the sentence says.
    """
    if settings.resize == "shorter_side":
        if settings.shorter_side is None:
            raise InputError("input.resize 'shorter_side' needs input.shorter_side: a number of pixels.")
        if settings.size is not None:
            raise InputError("input.resize 'shorter_side' takes input.shorter_side and input.crop, not size.")
        if settings.crop is not None and max(settings.crop) > settings.shorter_side:
            raise InputError(
                f"input.crop {list(settings.crop)} is larger than the shorter side of {settings.shorter_side} px."
            )
        return
    given = [name for name in ("shorter_side", "longer_side_at_most", "crop") if getattr(settings, name) is not None]
    if given:
        raise InputError(f"input.{given[0]} goes with input.resize: shorter_side, got '{settings.resize}'.")
    if settings.resize != "none" and settings.size is None:
        raise InputError(f"input.resize '{settings.resize}' needs input.size: [height, width].")


@lru_cache(maxsize=64)
def place(height_px: int, width_px: int, settings: ModelInput) -> Placement:
    """Where a frame of this size comes to lie under `settings`.

    Raises:
        InputError: settings lack something, or the frame differs from `settings.size` under `none`.
    """
    check_input(settings)
    if settings.resize == "none":
        if settings.size is not None and tuple(settings.size) != (height_px, width_px):
            height, width = settings.size
            raise InputError(
                f"The model takes {width}x{height} px and input.resize is 'none', got {width_px}x{height_px}: "
                "set input.resize to stretch, letterbox or letterbox_top_left."
            )
        return Placement(height_px, width_px, 1.0, 1.0, 0, 0, height_px, width_px)
    if settings.resize == "shorter_side":
        return _place_by_shorter_side(height_px, width_px, settings)
    assert settings.size is not None  # check_input
    height, width = settings.size
    if settings.resize == "stretch":
        return Placement(height, width, width / width_px, height / height_px, 0, 0, height, width)
    return _place_in_letterbox(height_px, width_px, height, width, centred=settings.resize == "letterbox")


def _place_in_letterbox(height_px: int, width_px: int, height: int, width: int, *, centred: bool) -> Placement:
    """Centred to the pixel as Ultralytics' `LetterBox`, which rounds sides; at the top left as YOLOX, which cuts."""
    ratio = min(height / height_px, width / width_px)
    whole = round if centred else int
    inner_height, inner_width = max(whole(height_px * ratio), 1), max(whole(width_px * ratio), 1)
    return Placement(
        inner_height,
        inner_width,
        inner_width / width_px,
        inner_height / height_px,
        round((width - inner_width) / 2 - 0.1) if centred else 0,
        round((height - inner_height) / 2 - 0.1) if centred else 0,
        height,
        width,
    )


def _place_by_shorter_side(height_px: int, width_px: int, settings: ModelInput) -> Placement:
    """The longer side follows, its fraction of a pixel cut off; both as torchvision's `resize` and `center_crop`."""
    assert settings.shorter_side is not None
    short, long = (
        settings.shorter_side,
        int(settings.shorter_side * max(height_px, width_px) / min(height_px, width_px)),
    )
    bound = settings.longer_side_at_most
    if bound is not None and long > bound:
        short, long = max(int(bound * short / long), 1), bound
    height, width = (short, long) if height_px <= width_px else (long, short)
    crop_height, crop_width = settings.crop or (height, width)
    if crop_height > height or crop_width > width:
        raise InputError(
            f"input.crop [{crop_height}, {crop_width}] does not fit into a frame resized to {width}x{height} px: "
            "raise input.shorter_side or input.longer_side_at_most."
        )
    return Placement(
        height,
        width,
        width / width_px,
        height / height_px,
        -round((width - crop_width) / 2),
        -round((height - crop_height) / 2),
        crop_height,
        crop_width,
    )


def prepare_inputs(frames: Sequence[npt.NDArray[np.uint8]], settings: ModelInput) -> tuple[torch.Tensor, Placement]:
    """Frames of one size as the network's input, and where they lie in there.

    Bilinear resizing to whole values, without smoothing as OpenCV's default, on which many detectors are trained, or
    with it (`antialias`, as Pillow's and torchvision's); padding or cropping; the declared channel order;
    then `(value * scale - mean) / std`, mean and std in that order.

    Args:
        frames: uint8 RGB (H, W, 3), one or more; left as they are.
        settings: As declared.

    Returns:
        float32 (N, 3, height, width), and the placement of every frame.
    """
    placement = place(frames[0].shape[0], frames[0].shape[1], settings)
    height, width = placement.input_height_px, placement.input_width_px
    top, left = max(placement.offset_y, 0), max(placement.offset_x, 0)
    bottom, right = placement.offset_y + placement.height_px, placement.offset_x + placement.width_px
    pixels = torch.empty((len(frames), 3, height, width), dtype=torch.float32)
    values: npt.NDArray[np.float32] = pixels.numpy()  # the same memory
    for margin in (values[:, :, :top], values[:, :, bottom:], values[..., :left], values[..., right:]):
        margin[...] = settings.pad
    inner = values[:, :: -1 if settings.channels == "bgr" else 1, top:bottom, left:right]
    seen = (
        slice(top - placement.offset_y, height - placement.offset_y),
        slice(left - placement.offset_x, width - placement.offset_x),
    )  # the rest is cropped away
    for frame, planes in zip(frames, inner, strict=True):
        planes[...] = _resize(frame, placement, settings)[seen].transpose(2, 0, 1)
    if settings.scale != 1:
        values /= 1 / settings.scale  # divided: 1/255 is then, to the digit, the division by 255 of the libraries
    if any(settings.mean):
        values -= np.array(settings.mean, np.float32)[:, None, None]
    if any(one != 1 for one in settings.std):
        values /= np.array(settings.std, np.float32)[:, None, None]
    return pixels, placement


def _resize(frame: npt.NDArray[np.uint8], placement: Placement, settings: ModelInput) -> npt.NDArray[Any]:
    """A frame at the size (h, w, 3) that it has in the input, in whole values: by the library that its kind of resizing
    comes from, whose arithmetic decides how they are rounded.
    """
    height, width = placement.height_px, placement.width_px
    if frame.shape[:2] == (height, width):
        return frame
    if settings.resize in ("letterbox", "letterbox_top_left") and not settings.antialias:
        # YOLOX and Ultralytics resize bytes, for which OpenCV has weights of 11 bits: up to one grey level from the
        # nearest value, and a detector's scores move by up to a tenth where they differ.
        return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR))
    pixels = torch.tensor(frame).permute(2, 0, 1).unsqueeze(0).float()  # a copy: frames may be read-only
    resized = functional.interpolate(
        pixels, size=(height, width), mode="bilinear", align_corners=False, antialias=settings.antialias
    ).round_()
    return resized[0].permute(1, 2, 0).numpy()
