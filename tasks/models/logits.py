"""Networks whose output is logits: a class for each pixel, or a label for the frame."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from tasks.errors import InputError
from tasks.models.outputs import Output, mark, whole_frame
from tasks.models.preprocess import Placement, prepare_inputs
from tasks.models.raw import broken
from tasks.models.steering import to_device
from tasks.params import ModelInput

Frame = npt.NDArray[np.uint8]
Forward = Callable[[torch.Tensor], torch.Tensor]

WHOLE_BYTES: Final = 2**27
"""What the logits of a frame, brought to its size, may take at once: 12 classes at 1080p do, 150 go one by one."""

LEAST: Final = -1e30
"""In the place of minus infinity, by which a network may rule a class out: resizing weighs it with 0, which is NaN."""


def alike(frames: Sequence[Frame], device: torch.device) -> Iterator[list[Frame]]:
    """Runs of frames of one size, which a GPU takes at once.

    On the CPU one by one: kernels are chosen by batch size and differ in the last digit, and what is said of a frame
    shall not depend on its batch.
    """
    if device.type == "cpu":
        yield from ([frame] for frame in frames)
    else:
        yield from (list(group) for _, group in groupby(frames, key=lambda frame: frame.shape))


class Mapper:
    """Names each pixel's class."""

    tasks = frozenset({"semantic"})

    def __init__(self, network: Forward, settings: ModelInput, device: str, *, who: str = "The network") -> None:
        """`network`: input (B, 3, h, w) -> logits (B, K, h', w') of the classes 0 to K - 1; `who`: its file's name."""
        self.network = network
        self._who = who
        self._settings = settings
        self._device = torch.device(device)

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Label maps: logits brought to the frame's size, padding left out, then the largest.

        Raises:
            InputError: logits are NaN or infinite.
        """
        outputs: list[Output] = []
        for group in alike(frames, self._device):
            mark("preprocess")
            height, width = group[0].shape[:2]
            pixels, placement = prepare_inputs(group, self._settings)
            pixels = to_device(pixels, self._device)
            mark("infer")
            logits = self.network(pixels)
            mark("postprocess")
            for one in _sound(logits, self._who):
                best = largest(one, placement, height_px=height, width_px=width)
                outputs.append(whole_frame(label_map=best.cpu().numpy()))
        return outputs


def _sound(logits: torch.Tensor, who: str) -> torch.Tensor:
    """Logits (B, K, h, w) that can be resized. A sum tells what is no number, for a fraction of a copy's time."""
    if math.isfinite(float(logits.sum(dtype=torch.float32))):
        return logits
    if bool(logits.isnan().any() | logits.isposinf().any()):
        raise InputError(f"{broken('NaN or infinity in its logits', who=who)}.")
    return logits.float().clamp(min=LEAST)


def largest(logits: torch.Tensor, placement: Placement, *, height_px: int, width_px: int) -> torch.Tensor:
    """Which class is the largest at each pixel of the frame, of equals the first: uint8 (height_px, width_px).

    Args:
        logits: (K, h, w) of the whole input, at its size or coarser; K is at most 255.
        placement: Where the frame lies in the input.
        height_px: Of the frame.
        width_px: Of the frame.
    """
    pixels = height_px * width_px + placement.input_height_px * placement.input_width_px
    if 4 * pixels * len(logits) <= WHOLE_BYTES:
        whole = placement.values_to_frame(logits, height_px=height_px, width_px=width_px)
        return whole.max(dim=0).indices.to(torch.uint8)  # argmax says the same and takes some times as long
    best = placement.values_to_frame(logits[:1], height_px=height_px, width_px=width_px)[0].clone()
    classes, higher = torch.zeros_like(best, dtype=torch.uint8), torch.zeros_like(best, dtype=torch.bool)
    for class_id in range(1, len(logits)):
        one = placement.values_to_frame(logits[class_id : class_id + 1], height_px=height_px, width_px=width_px)[0]
        torch.gt(one, best, out=higher)
        classes.masked_fill_(higher, class_id)
        torch.maximum(best, one, out=best)
    return classes


class Classifier:
    """Labels whole frames."""

    tasks = frozenset({"classification"})

    def __init__(self, network: Forward, settings: ModelInput, device: str, *, who: str = "The network") -> None:
        """`network`: input (B, 3, h, w) -> logits (B, K) of the labels 0 to K - 1; `who`: its file's name."""
        self.network = network
        self._who = who
        self._settings = settings
        self._device = torch.device(device)

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Probabilities: the softmax of the logits.

        Raises:
            InputError: logits are NaN or infinite.
        """
        outputs: list[Output] = []
        for group in alike(frames, self._device):
            mark("preprocess")
            pixels = to_device(prepare_inputs(group, self._settings)[0], self._device)
            mark("infer")
            logits = self.network(pixels)
            mark("postprocess")
            probabilities = logits.float().softmax(dim=1).cpu().numpy()
            if np.isnan(probabilities).any():  # of infinity, too
                raise InputError(f"{broken('NaN or infinity in its logits', who=self._who)}.")
            outputs.extend(whole_frame(probabilities=row) for row in probabilities)
        return outputs
