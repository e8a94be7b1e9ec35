"""Networks whose output is logits: a class for each pixel, or a label for the frame."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch

from tasks.models.outputs import Output, mark, whole_frame
from tasks.models.preprocess import prepare_inputs
from tasks.models.steering import to_device
from tasks.params import ModelInput

Frame = npt.NDArray[np.uint8]
Forward = Callable[[torch.Tensor], torch.Tensor]


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

    def __init__(self, network: Forward, settings: ModelInput, device: str) -> None:
        """`network`: input (B, 3, h, w) -> logits (B, K, h', w') of the classes 0 to K - 1."""
        self.network = network
        self._settings = settings
        self._device = torch.device(device)

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Label maps: logits brought to the frame's size, padding left out, then the largest."""
        outputs: list[Output] = []
        for group in alike(frames, self._device):
            mark("preprocess")
            height, width = group[0].shape[:2]
            pixels, placement = prepare_inputs(group, self._settings)
            pixels = to_device(pixels, self._device)
            mark("infer")
            logits = self.network(pixels)
            mark("postprocess")
            for one in logits:
                best = placement.values_to_frame(one, height_px=height, width_px=width).argmax(dim=0)
                outputs.append(whole_frame(label_map=best.to(torch.uint8).cpu().numpy()))
        return outputs


class Classifier:
    """Labels whole frames."""

    tasks = frozenset({"classification"})

    def __init__(self, network: Forward, settings: ModelInput, device: str) -> None:
        """`network`: input (B, 3, h, w) -> logits (B, K) of the labels 0 to K - 1."""
        self.network = network
        self._settings = settings
        self._device = torch.device(device)

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Probabilities: the softmax of the logits."""
        outputs: list[Output] = []
        for group in alike(frames, self._device):
            mark("preprocess")
            pixels = to_device(prepare_inputs(group, self._settings)[0], self._device)
            mark("infer")
            logits = self.network(pixels)
            mark("postprocess")
            outputs.extend(whole_frame(probabilities=row) for row in logits.float().softmax(dim=1).cpu().numpy())
        return outputs
