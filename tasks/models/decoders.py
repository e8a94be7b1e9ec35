"""The decoders by name: what the outputs of a network that knows nothing of our tables may mean.

They serve every adapter whose file does not say that itself: `onnx` and `torchscript`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch

from tasks.class_map import nearest
from tasks.errors import InputError
from tasks.models import detr, ssd, yolo, yolox
from tasks.models.naming import without_background
from tasks.models.outputs import Description
from tasks.models.preprocess import check_input
from tasks.models.raw import Found, MaskValues, Raw, boxes_and
from tasks.params import Model

Shapes = Mapping[str, tuple[Any, ...]]
"""Of outputs by name, as a file declares them: lengths, or names and None for those that are free."""

MASK_THRESHOLD: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """How an output is read.

    Attributes:
        outputs: Their shapes in words: B frames, K classes, N finds.
        kind: Of its classes: object, semantic or label.
        read: What is found in one frame; None where the whole frame gets a map or a label.
        suppressed: Boxes are final; otherwise suppression follows, as params say.
        masks: Each find has one.
        clips: As the library that the network comes from does by itself: boxes end with the frame, and what has a mask
            without a pixel is no find.
        background: Its column, where there is one, is no class: names may begin with it.
        count: Shapes of the outputs -> how many classes they have room for; None: they do not tell.
    """

    outputs: str
    kind: str = "object"
    read: Callable[[Raw], Found] | None = None
    suppressed: bool = False
    masks: bool = False
    clips: bool = False
    background: bool = False
    count: Callable[[Shapes], Any] = lambda shapes: None


def _yolox(raw: Raw) -> Found:
    tensors = list(raw.tensors.values())
    if len(tensors) != 1 or tensors[0].ndim != 3 or len(tensors[0]) != 1 or tensors[0].shape[2] != 5 + raw.classes:
        raise raw.unfit("yolox", f"one output of shape (1, rows, {5 + raw.classes}) for {raw.classes} classes")
    boxes, scores, class_ids = yolox.decode(
        tensors[0].cpu().numpy()[0],
        height_px=raw.height_px,
        width_px=raw.width_px,
        score_threshold=raw.score_threshold,
    )
    return Found(boxes=torch.from_numpy(boxes), scores=torch.from_numpy(scores), class_ids=torch.from_numpy(class_ids))


def _detections(raw: Raw, *, masks: bool = False, decoder: str) -> Found:
    wanted = {"boxes": (2,), "labels": (1,), "scores": (1,)} | ({"masks": (3, 4)} if masks else {})
    found = raw.tensors if wanted.keys() <= raw.tensors.keys() else _by_shape(raw.tensors.values())
    if not all(name in found and found[name].ndim in ndims for name, ndims in wanted.items()):
        raise raw.unfit(decoder, f"{', '.join(wanted)} of shapes (N, 4), (N,), (N,)" + ", (N, 1, h, w)" * masks)
    above = raw.above(found["scores"])
    return Found(
        boxes=found["boxes"][above],
        scores=found["scores"][above],
        class_ids=found["labels"][above],
        masks=_probabilities(found["masks"][above]) if masks else None,
    )


def _probabilities(masks: torch.Tensor) -> MaskValues:
    values = masks.reshape(-1, *masks.shape[-2:])
    return MaskValues(of=lambda kept: values[kept], level=MASK_THRESHOLD, inside_box=False)


def _by_shape(tensors: Any) -> dict[str, torch.Tensor]:
    """What each of a traced network's tensors is: floats (N, 4), whole numbers (N,), floats (N,), floats of 3 or 4."""
    named: dict[str, torch.Tensor] = {}
    for tensor in tensors:
        if tensor.ndim == 1:
            named["scores" if tensor.is_floating_point() else "labels"] = tensor
        elif tensor.ndim == 2 and tensor.shape[1] == 4:
            named["boxes"] = tensor
        elif tensor.ndim in (3, 4):
            named["masks"] = tensor
    return named


def _axis(ndim: int, axis: int, others: int) -> Callable[[Shapes], Any]:
    """Of the first output of `ndim` dimensions: the length of `axis`, less `others` that are no classes."""

    def count(shapes: Shapes) -> Any:
        lengths = [shape[axis] for shape in shapes.values() if len(shape) == ndim]
        return lengths[0] - others if lengths and isinstance(lengths[0], int) else None

    return count


def _beside_boxes(word: str) -> Callable[[Shapes], Any]:
    def count(shapes: Shapes) -> Any:
        names = boxes_and(word, shapes)
        length = shapes[names[1]][2] if names else None
        return length - 1 if isinstance(length, int) else None

    return count


_FINDS: Final = "boxes (N, 4), labels (N), scores (N)"

DECODERS: Final[Mapping[str, Decoder]] = {
    "yolox": Decoder(outputs="(B, rows, 5 + K)", read=_yolox, count=_axis(3, 2, 5)),
    "yolo11": Decoder(outputs="(B, 4 + K, cells)", read=yolo.yolo11, clips=True, count=_axis(3, 1, 4)),
    "yolo11_masks": Decoder(
        outputs="(B, 4 + K + 32, cells), (B, 32, h / 4, w / 4)",
        read=partial(yolo.yolo11, masks=True),
        masks=True,
        clips=True,
        count=_axis(3, 1, 4 + yolo.COEFFICIENTS),
    ),
    "yolo_end_to_end": Decoder(outputs="(B, N, 6)", read=yolo.end_to_end, suppressed=True, clips=True),
    "ssd": Decoder(
        outputs="boxes (B, N, 4), scores (B, N, 1 + K)", read=ssd.ssd, background=True, count=_beside_boxes("scores")
    ),
    "tf_detections": Decoder(
        outputs="detection_boxes (B, N, 4), detection_classes (B, N), detection_scores (B, N), num_detections (B)",
        read=ssd.tf_detections,
        suppressed=True,
    ),
    "detr": Decoder(
        outputs="logits (B, N, K + 1), pred_boxes (B, N, 4)",
        read=detr.detr,
        suppressed=True,
        count=_beside_boxes("logits"),
    ),
    "detections": Decoder(outputs=_FINDS, read=partial(_detections, decoder="detections"), suppressed=True),
    "instances": Decoder(
        outputs=f"{_FINDS}, masks (N, 1, h, w)",
        read=partial(_detections, decoder="instances", masks=True),
        suppressed=True,
        masks=True,
    ),
    "boxes": Decoder(outputs=_FINDS, read=partial(_detections, decoder="boxes")),
    "semantic_logits": Decoder(outputs="(B, K, h, w)", kind="semantic", count=_axis(4, 1, 0)),
    "semantic_map": Decoder(outputs="(B, h, w)", kind="semantic"),
    "label_logits": Decoder(outputs="(B, K)", kind="label", count=_axis(2, 1, 0)),
}
"""By params' `decoder`; docs/models.md has a line for each.

- `detections`: boxes xyxy in pixels of the input, labels and scores, by name or by shape, as torchvision's detectors
  give them: taken as they are. `instances`: with masks of the input, 0..1. `boxes`: `detections` before suppression.
- `semantic_logits`: (1, K, h, w), or what is called `out`; `semantic_map`: (1, h, w) of class ids, whole numbers, at
  the size of the input; `label_logits`: (1, K).
"""


def check(model: Model) -> None:
    """Refuse settings that an adapter with decoders cannot follow.

    Raises:
        InputError: no such decoder, settings of other adapters, or frames prepared as it cannot.
    """
    decoder = DECODERS.get(model.decoder or "")
    if decoder is None:
        given = "none" if model.decoder is None else f"'{model.decoder}'"
        near = nearest(model.decoder or "", DECODERS)
        known = "" if near.startswith("; known") else f" Known: {', '.join(DECODERS)}."
        raise InputError(f"Adapter '{model.adapter}' needs a decoder, got {given}{near}{known}")
    if model.variant is not None or model.options:
        raise InputError(f"Adapter '{model.adapter}' has no variants and no options: remove these lines.")
    check_input(model.input)
    if model.input.crop is not None and (decoder.masks or decoder.kind == "semantic"):
        raise InputError(
            f"input.crop leaves parts of the frame unseen: decoder '{model.decoder}' cannot tell what is there."
        )


def by_names(decoder: Decoder, names: Sequence[str]) -> dict[int, str]:
    """Classes by id. Of objects a leading background is left out; the others count from 1 then, but for a decoder that
    leaves it out itself: from 0.
    """
    if decoder.kind != "object" or len(names) < 2:
        return dict(enumerate(names))
    kept = without_background(names)
    first = 0 if decoder.background else len(names) - len(kept)
    return {first + place: name for place, name in enumerate(kept)}


def described(decoder: Decoder, classes: Mapping[int, str]) -> Description:
    """The description of a model of these classes."""
    tasks = {"object": ["detection"], "semantic": ["semantic"], "label": ["classification"]}[decoder.kind]
    kinds = {kind: dict(classes) if kind == decoder.kind else {} for kind in ("object", "semantic", "label")}
    return {**kinds, "tasks": [*tasks, "instance"] if decoder.masks else tasks}
