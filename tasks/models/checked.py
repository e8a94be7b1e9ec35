"""What code from outside says of a frame, checked and turned into an `Output`: one sentence for each mistake."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.class_map import nearest
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.outputs import Description, Output

FIELDS: Final = ("boxes", "scores", "class_ids", "masks", "label_map", "probabilities")

OFF_ONE: Final = 1e-3
"""How far probabilities may stray from summing to 1: those of half precision do."""

_HALVES: Final = ("torch.bfloat16", "torch.float16")
"""By name, for torch takes a second to load and need not be here. NumPy has no bfloat16."""


def checked(said: object, shape: Sequence[int], described: Description, *, who: str) -> Output:
    """The output for a frame of `shape` (height, width, ...); instances are sorted by descending score.

    Args:
        said: A mapping with some of `boxes` (N, 4), `scores` (N,), `class_ids` (N,), `masks`
            (N, height, width), `label_map` (height, width), `probabilities` (K,).
        shape: Of the frame.
        described: The model's classes and tasks; what they promise must be there.
        who: The model's name, with which every sentence begins.

    Raises:
        InputError: the first thing that is wrong.
    """
    try:
        if not isinstance(said, Mapping):
            raise InputError(f"expected a dict for each frame, got {type(said).__name__}")
        unknown = [str(key) for key in said if key not in FIELDS]
        if unknown:
            raise InputError(f"unknown key '{unknown[0]}'{nearest(unknown[0], FIELDS)}".removesuffix("."))
        height, width = int(shape[0]), int(shape[1])
        tasks = described["tasks"]
        boxes, scores, class_ids, masks = _instances(said, height, width, described)
        order = np.argsort(-scores, kind="stable")
        return Output(
            boxes=boxes[order],
            scores=scores[order],
            class_ids=class_ids[order],
            masks=None if masks is None else [masks[place] for place in order],
            label_map=_label_map(said, height, width, described) if "semantic" in tasks else None,
            probabilities=_probabilities(said, described) if "classification" in tasks else None,
        )
    except InputError as error:
        raise InputError(f"{who}: {error}.") from None


def array(value: object, name: str) -> npt.NDArray[Any]:
    """`value` (a NumPy array, a torch tensor of any device, lists of numbers) as a NumPy array.

    Raises:
        InputError: it is not numbers in a box.
    """
    if str(getattr(value, "dtype", "")) in _HALVES:
        value = value.float()  # type: ignore[attr-defined]
    for step in ("detach", "cpu"):
        value = getattr(value, step)() if hasattr(value, step) else value
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} should be an array of numbers, got {type(value).__name__}") from None
    if found.dtype.kind not in "biuf":
        raise InputError(f"{name} should be an array of numbers, got values of type {found.dtype}")
    return found


def _instances(
    said: Mapping[str, Any], height: int, width: int, described: Description
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64], list[bytes] | None]:
    with_masks = "instance" in described["tasks"]
    if not with_masks and "detection" not in described["tasks"]:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), None
    masks = None
    if with_masks:
        masks = array(_got(said, "masks"), "masks")
        if masks.shape == (0,):  # a list of none
            masks = masks.reshape(0, height, width)
        if masks.ndim != 3 or (len(masks) and masks.shape[1:] != (height, width)):
            raise InputError(f"masks should have the shape (N, {height}, {width}) of the frame, got {masks.shape}")
        if masks.dtype != bool and not np.isin(masks, (0, 1)).all():
            raise InputError("masks should be bool, or 0 and 1 alone: apply your threshold")
        masks = masks.astype(bool)
    if masks is not None and said.get("boxes") is None:
        boxes = run_length.boxes_around(masks)
    else:
        boxes = _boxes(array(_got(said, "boxes"), "boxes"))
    scores = array(_got(said, "scores"), "scores")
    class_ids = array(_got(said, "class_ids"), "class_ids")
    for name, values in (("scores", scores), ("class_ids", class_ids), ("masks", masks)):
        if values is not None and (len(values) != len(boxes) or (values.ndim != 1 and name != "masks")):
            shape = f"({len(boxes)},)" if name != "masks" else f"({len(boxes)}, {height}, {width})"
            raise InputError(f"{name} should have the shape {shape} for {len(boxes)} boxes, got {values.shape}")
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):  # NaN is neither
        wrong = scores[~((scores >= 0) & (scores <= 1))][0]
        raise InputError(f"scores should lie between 0 and 1, got {wrong:g}: logits want a sigmoid or softmax")
    _known(class_ids, described["object"], "class_ids")
    runs = None if masks is None else run_length.encode(masks)
    return boxes, scores.astype(np.float32), class_ids.astype(np.int64), runs


def _boxes(boxes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if boxes.size == 0:
        return np.zeros((0, 4), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes should have the shape (N, 4), got {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise InputError("boxes should be finite numbers of pixels, got NaN or infinity")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        wrong = boxes[(boxes[:, 2:] < boxes[:, :2]).any(axis=1)][0]
        raise InputError(
            f"boxes should be x0, y0, x1, y1 with x1 >= x0 and y1 >= y0, got ({', '.join(f'{v:g}' for v in wrong)}), "
            "which looks like x, y, width, height: add x and y to the latter"
        )
    return boxes.astype(np.float32)


def _label_map(said: Mapping[str, Any], height: int, width: int, described: Description) -> npt.NDArray[np.uint8]:
    label_map = array(_got(said, "label_map"), "label_map")
    if label_map.shape != (height, width):
        raise InputError(f"label_map should have the frame's shape ({height}, {width}), got {label_map.shape}")
    _known(np.unique(label_map), described["semantic"], "label_map")
    return label_map.astype(np.uint8)


def _probabilities(said: Mapping[str, Any], described: Description) -> npt.NDArray[np.float32]:
    probabilities = array(_got(said, "probabilities"), "probabilities")
    count = len(described["label"])
    if probabilities.shape != (count,):
        raise InputError(f"probabilities should have the shape ({count},), one a class, got {probabilities.shape}")
    total = float(probabilities.sum(dtype=np.float64))
    if not (probabilities >= 0).all() or not abs(total - 1) <= OFF_ONE:
        raise InputError(
            f"probabilities should be at least 0 and sum to 1, got a sum of {total:g}: logits want a softmax"
        )
    return (probabilities.astype(np.float64) / total).astype(np.float32)


def _known(ids: npt.NDArray[Any], classes: Mapping[int, str], name: str) -> None:
    strange = [value for value in ids.tolist() if value not in classes]
    if strange:
        raise InputError(f"{name} holds {strange[0]}, which is no class of the model; its ids: {_some(list(classes))}")


def _some(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:8]))
    return f"{shown} ... {ids[-1]}" if len(ids) > 8 else shown or "none"


def _got(said: Mapping[str, Any], name: str) -> object:
    if said.get(name) is None:
        raise InputError(f"{name} is missing; got {', '.join(map(str, said)) or 'nothing'}")
    return said[name]
