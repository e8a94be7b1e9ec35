"""Loaded models whose network gives tensors that a decoder reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.checked import OFF_ONE, checked
from tasks.models.decoders import DECODERS
from tasks.models.logits import Classifier, Mapper
from tasks.models.nms import suppress
from tasks.models.outputs import Description, Output, Predictor, mark
from tasks.models.preprocess import Placement, place, prepare_inputs
from tasks.models.raw import MaskValues, Raw, broken, tensors_of, unfit
from tasks.models.steering import to_device
from tasks.params import Model

Network = Callable[[torch.Tensor], Any]
"""Input (B, 3, h, w) to tensors: one, several, or a dict of them."""

Frame = npt.NDArray[np.uint8]

_AT_ONCE: Final = 16
"""Masks that are brought to the frame's size together: 16 of a 1080p frame take 130 MB."""


def predictor(
    network: Network, model: Model, described: Description, *, who: str, device: str, batched: bool = False
) -> Predictor:
    """The model of `network`, as `model.decoder` reads it.

    Args:
        network: Takes its input on `device`.
        model: Its params.
        described: Its classes and tasks.
        who: The file's name, with which every error begins.
        device: 'cpu' or 'cuda[:N]'.
        batched: A detector's network takes any number of frames at once; otherwise one.
    """
    kind = DECODERS[str(model.decoder)].kind
    if kind == "object":
        return Detector(network, model, described, who=who, device=device, batched=batched)
    if model.decoder == "semantic_map":
        return ClassMaps(network, model, described, who=who, device=device)
    logits = Logits(network, kind, len(described[kind]), who=who)
    return (Mapper if kind == "semantic" else Classifier)(logits, model.input, device, who=who)


class Detector:
    """Finds objects."""

    def __init__(
        self, network: Network, model: Model, described: Description, *, who: str, device: str, batched: bool
    ) -> None:
        """Take over `network`; see `predictor`."""
        self.network = network
        self.tasks = frozenset(described["tasks"])
        self._decoder = DECODERS[str(model.decoder)]
        self._model = model
        self._described: Description = {**described, "tasks": ["detection"]}
        self._who = who
        self._device = torch.device(device)
        self._batched = batched

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Boxes above `score_threshold` in pixels of each frame, clipped where the decoder says so, and its masks.

        Raises:
            InputError: the network's output is not what the decoder reads, or no number.
        """
        outputs: list[Output] = []
        for group in self._groups(frames):
            mark("preprocess")
            pixels, placement = prepare_inputs(group, self._model.input)
            pixels = to_device(pixels, self._device)
            mark("infer")
            said = self.network(pixels)
            mark("postprocess")
            tensors = tensors_of(said)
            for index, frame in enumerate(group):
                own = {name: one[index : index + 1] for name, one in tensors.items()} if self._batched else tensors
                outputs.append(self._finish(own, placement, frame.shape))
        return outputs

    def _groups(self, frames: Sequence[Frame]) -> Iterator[list[Frame]]:
        if not self._batched:
            yield from ([frame] for frame in frames)
            return
        placed = groupby(frames, key=lambda frame: place(frame.shape[0], frame.shape[1], self._model.input))
        yield from (list(group) for _, group in placed)

    def _finish(self, tensors: dict[str, torch.Tensor], placement: Placement, shape: tuple[int, ...]) -> Output:
        model = self._model
        assert self._decoder.read is not None
        raw = Raw(
            tensors=tensors,
            height_px=placement.input_height_px,
            width_px=placement.input_width_px,
            classes=max(self._described["object"]) + 1,
            score_threshold=model.score_threshold,
        )
        try:
            found = self._decoder.read(raw)
        except InputError as error:
            raise InputError(f"{self._who}: {error}.") from None
        if self._decoder.suppressed:
            kept = found.scores.argsort(descending=True, stable=True)
            scores = found.scores[kept]
        else:
            kept, scores = suppress(found.boxes, found.scores, found.class_ids, model=model)
        places, sure = kept.cpu().numpy(), scores.cpu().numpy()
        boxes = placement.to_frame(found.boxes.cpu().numpy()[places].astype(np.float64))
        if self._decoder.clips:
            boxes = boxes.clip(0, [shape[1], shape[0]] * 2)
            boxes[:, 2:] = boxes[:, 2:].clip(boxes[:, :2])  # of heads that may say sides below 0: no area, not less
        said = {
            "boxes": boxes,
            # A sigmoid or a product that was rounded up is 1; logits are left for `checked` to refuse.
            "scores": np.where(sure <= 1 + OFF_ONE, np.minimum(sure, 1), sure),
            "class_ids": found.class_ids.cpu().numpy()[places],
        }
        output = checked(said, shape, self._described, who=self._who)
        if found.masks is None:
            return output
        try:
            masks = _masks(found.masks, kept, output.boxes, placement, shape)
        except InputError as error:
            raise InputError(f"{self._who}: {error}.") from None
        output = replace(output, masks=masks)
        return _seen(output, shape) if self._decoder.clips else output


def _masks(
    values: MaskValues, kept: torch.Tensor, boxes: npt.NDArray[Any], placement: Placement, shape: tuple[int, ...]
) -> list[bytes]:
    """The masks of what is kept, in the frame; a pixel is in a box where its upper left corner is, as in Ultralytics.

    Raises:
        InputError: their values are NaN.
    """
    height, width = shape[:2]
    x0, y0, x1, y1 = torch.from_numpy(boxes).to(kept.device).T[:, :, None]
    across, down = torch.arange(width, device=kept.device), torch.arange(height, device=kept.device)
    columns, rows = (across >= x0) & (across < x1), (down >= y0) & (down < y1)
    runs: list[bytes] = []
    for start in range(0, len(kept), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        there = values.of(kept[part])
        if bool(there.isnan().any()):
            raise broken("NaN in its masks")
        seen = placement.values_to_frame(there, height_px=height, width_px=width) > values.level
        if values.inside_box:
            seen &= rows[part, :, None] & columns[part, None, :]
        runs.extend(run_length.encode(seen.cpu().numpy()))
    return runs


def _seen(output: Output, shape: tuple[int, ...]) -> Output:
    """What has a mask with a pixel in it."""
    assert output.masks is not None
    (empty,) = run_length.encode(np.zeros((1, *shape[:2]), bool))
    kept = [place for place, run in enumerate(output.masks) if run != empty]
    return replace(
        output,
        boxes=output.boxes[kept],
        scores=output.scores[kept],
        class_ids=output.class_ids[kept],
        masks=[output.masks[place] for place in kept],
    )


class ClassMaps:
    """Names each pixel's class by itself, one frame at a time."""

    tasks = frozenset({"semantic"})

    def __init__(self, network: Network, model: Model, described: Description, *, who: str, device: str) -> None:
        """Take over `network`; see `predictor`."""
        self.network = network
        self._settings = model.input
        self._described = described
        self._who = who
        self._device = torch.device(device)

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Label maps: each pixel of the frame is what lies under its centre in the input.

        Raises:
            InputError: the network's output is no such map.
        """
        outputs = []
        for frame in frames:
            mark("preprocess")
            pixels, placement = prepare_inputs([frame], self._settings)
            size = (1, placement.input_height_px, placement.input_width_px)
            mark("infer")
            said = self.network(to_device(pixels, self._device))
            mark("postprocess")
            maps = list(tensors_of(said).values())
            if len(maps) != 1 or maps[0].is_floating_point() or tuple(maps[0].shape) != size:
                error = unfit("semantic_map", f"class ids of shape {size}, whole numbers", said)
                raise InputError(f"{self._who}: {error}.")
            there = maps[0][0].cpu().numpy()
            found = {"label_map": placement.classes_to_frame(there, height_px=frame.shape[0], width_px=frame.shape[1])}
            outputs.append(checked(found, frame.shape, self._described, who=self._who))
        return outputs


class Logits:
    """A network as `tasks.models.logits` wants it: input (B, 3, h, w) to logits (B, K, ...), its shape checked."""

    def __init__(self, network: Network, kind: str, classes: int, *, who: str) -> None:
        """Take over `network`, whose output is of this kind and number of classes; see `predictor`."""
        self.network = network
        self._kind = kind
        self._classes = classes
        self._who = who

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits of frames.

        Raises:
            InputError: the network's output is none.
        """
        # One by one: an exported network may take no other batch.
        return torch.cat([self._checked(self.network(one[None])) for one in pixels])

    def _checked(self, said: Any) -> torch.Tensor:
        tensors = tensors_of(said)
        found = tensors.get("out", next(iter(tensors.values()), None))
        semantic = self._kind == "semantic"
        if found is None or found.ndim != (4 if semantic else 2) or found.shape[1] != self._classes:
            shape = f"(1, {self._classes}, h, w)" if semantic else f"(1, {self._classes})"
            expected = f"logits of shape {shape} for the {self._classes} classes of the model"
            error = unfit("semantic_logits" if semantic else "label_logits", expected, said)
            raise InputError(f"{self._who}: {error}.")
        return found
