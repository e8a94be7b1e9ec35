"""What a network says of one frame before it means anything, and what a decoder makes of it."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tasks.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Raw:
    """What a network says of one frame.

    Attributes:
        tensors: By name, or by place where they have none; floats are float32. With a leading dimension of 1, but for
            networks that give one frame's finds as they are.
        height_px: Height of the network's input.
        width_px: Its width.
        classes: One more than the model's largest class id.
        score_threshold: Only higher scores are kept.
    """

    tensors: Mapping[str, torch.Tensor]
    height_px: int
    width_px: int
    classes: int
    score_threshold: float

    def above(self, scores: torch.Tensor) -> torch.Tensor:
        """Which of `scores`, of any shape, are higher than the threshold.

        Raises:
            InputError: there is NaN among them, which is higher than nothing, so that finds would be missing unnoticed.
        """
        if bool(scores.isnan().any()):
            raise broken("NaN in its scores")
        return scores > self.score_threshold

    def unfit(self, decoder: str, expected: str) -> InputError:
        """The error for tensors that are not what `decoder` reads."""
        return unfit(decoder, expected, self.tensors)


@dataclass(frozen=True, kw_only=True)
class MaskValues:
    """Masks as they come out of a network.

    Attributes:
        of: Indices (n,) of finds -> values (n, h, w) over the whole input, at its size or coarser.
        level: A pixel is of the object where its value is higher.
        inside_box: Of pixels outside the object's box the values say nothing.
    """

    of: Callable[[torch.Tensor], torch.Tensor]
    level: float
    inside_box: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a decoder finds in one frame: boxes (N, 4) xyxy in pixels of the input, scores (N,), class ids (N,)."""

    boxes: torch.Tensor
    scores: torch.Tensor
    class_ids: torch.Tensor
    masks: MaskValues | None = None


def unfit(decoder: str, expected: str, said: Any) -> InputError:
    """The error for an output that `decoder` does not read; whoever knows the file puts its name before."""
    return InputError(
        f"the output does not fit decoder '{decoder}': expected {expected}, the network gave {told(said)}"
    )


def broken(gave: str, *, who: str = "the network") -> InputError:
    """The error for an output that holds no numbers; whoever knows the file puts its name before, or gives it here."""
    return InputError(f"{who} gave {gave}: it is broken, or half precision overflowed in it")


def refuse_nan(tensors: Iterable[torch.Tensor], what: str, *, who: str) -> None:
    """Refuse NaN, which is higher than nothing and so would pass for no finds, or for class 0.

    A sum tells, for a fraction of a copy's time.

    Raises:
        InputError: there is NaN among `tensors`, floats of any shapes.
    """
    for tensor in tensors:
        if math.isnan(float(tensor.sum(dtype=torch.float32))) and bool(tensor.isnan().any()):
            raise InputError(f"{broken(f'NaN in its {what}', who=who)}.")


def told(said: Any) -> str:
    """What a network gave, in words: shapes, with names where there are any."""
    if isinstance(said, torch.Tensor):
        return f"a tensor {tuple(said.shape)}"
    if isinstance(said, Mapping):
        if len(said) == 1:
            return told(next(iter(said.values())))
        return "; ".join(f"'{name}', {told(one)}" for name, one in said.items()) or "nothing"
    if isinstance(said, tuple | list):
        return f"{len(said)} values: {'; '.join(told(one) for one in said[:4])}"
    return f"a {type(said).__name__}"


def tensors_of(said: Any) -> dict[str, torch.Tensor]:
    """The tensors of an output: one, a dict, a list of one dict, torchvision's (losses, [dict]), or several."""
    found = said
    while isinstance(found, tuple | list) and found and not isinstance(found[0], torch.Tensor):
        found = found[-1]
    if isinstance(found, torch.Tensor):
        found = [found]
    if isinstance(found, tuple | list):
        found = {str(place): one for place, one in enumerate(found)}
    if not isinstance(found, Mapping):
        return {}
    tensors = {str(name): one for name, one in found.items() if isinstance(one, torch.Tensor)}
    return {
        name: one.float() if one.dtype.is_floating_point and one.dtype != torch.float32 else one
        for name, one in tensors.items()
    }


def boxes_and(word: str, shapes: Mapping[str, tuple[Any, ...]]) -> tuple[str, str] | None:
    """The names of a detector's two outputs (B, N, 4) of boxes and (B, N, columns) of what `word` says, or None.

    By what they are called, or, of two alone, by which one has 4 columns.

    Examples:
        >>> boxes_and("scores", {"scores": (1, 9, 4), "boxes": (1, 9, 4)})
        ('boxes', 'scores')
        >>> boxes_and("scores", {"0": (1, 9, 21), "1": (1, 9, 4)})
        ('1', '0')
    """
    ready = [name for name, shape in shapes.items() if len(shape) == 3]
    boxes = [name for name in ready if "box" in name.lower()]
    others = [name for name in ready if word in name.lower()]
    if len(boxes) != 1 or len(others) != 1:
        boxes = [name for name in ready if shapes[name][2] == 4]
        others = [name for name in ready if name not in boxes]
        if len(ready) != 2:
            return None
    return (boxes[0], others[0]) if len(boxes) == len(others) == 1 and boxes != others else None
