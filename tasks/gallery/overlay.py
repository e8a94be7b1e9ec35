"""What is drawn over a picture: truth and predicted boxes in picture pixels, each with its match state."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from pycocotools import mask as coco_mask

from tasks import tables

MATCH_IOU: Final = 0.5
"""A prediction counts as matched from this overlap with truth of its class on (COCO's AP50)."""

_BOX: Final = ("x0_px", "y0_px", "x1_px", "y1_px")


def boxes(
    truth: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    names: Mapping[int, str],
    mapping: Mapping[int, int | None],
    scale: tuple[float, float],
    task: str,
    threshold: float | None,
) -> dict[str, Any]:
    """Truth and predictions of one frame as the page draws them.

    Args:
        truth: Rows of `objects` of the frame.
        predictions: Rows of `predictions` of the frame, the model's class ids.
        names: Data-set class id -> name.
        mapping: Model class id -> data-set class id; predictions of unmapped classes are not drawn.
        scale: Picture pixels per frame pixel, x and y.
        task: detection, instance (masks decide the match and are outlined) or tracking (predictions with an id alone).
        threshold: Predictions below it are not drawn; None: all.

    Returns:
        `{"truth": [...], "prediction": [...]}`; each item has box (4 floats), class, state (matched, missed,
        false positive or ignored), and where there are such: score, id, outline (rings of x, y pairs).
    """
    shown = predictions[predictions["score"].notna()]
    shown = shown.assign(target=pd.array([mapping.get(int(c)) for c in shown["class_id"]], dtype="Int64"))
    shown = shown[shown["target"].notna()]
    if threshold is not None:
        shown = shown[shown["score"].astype(float) >= threshold]
    if task == "tracking":
        shown = shown[shown["track_id"].notna()]
    shown = shown.sort_values("score", ascending=False, kind="stable")
    masks = task == "instance"
    overlap = overlaps(truth, shown, masks=masks)
    truth_states, states = match(
        overlap,
        [int(c) for c in truth["class_id"]],
        [int(c) for c in shown["target"]],
        [bool(c or i) for c, i in zip(truth["crowd"], truth["ignore"], strict=True)],
    )
    return {
        "truth": [
            _item(row, names.get(int(row["class_id"]), "?"), state, scale, masks=masks)
            for row, state in zip(truth.to_dict("records"), truth_states, strict=True)
        ],
        "prediction": [
            _item(row, names.get(int(row["target"]), "?"), state, scale, masks=masks)
            for row, state in zip(shown.to_dict("records"), states, strict=True)
        ],
    }


def overlaps(truth: pd.DataFrame, predictions: pd.DataFrame, *, masks: bool) -> npt.NDArray[np.float64]:
    """IoU of predictions (rows) with truth (columns); with crowd truth, the share of the prediction inside it."""
    crowd = [int(bool(c)) for c in truth["crowd"]]
    if not len(truth) or not len(predictions):
        return np.zeros((len(predictions), len(truth)))
    if masks and truth["mask"].notna().all() and predictions["mask"].notna().all():
        found = coco_mask.iou(_rle(predictions), _rle(truth), crowd)
    else:
        found = coco_mask.iou(_xywh(predictions), _xywh(truth), crowd)
    return np.asarray(found, dtype=np.float64)


def match(
    overlap: npt.NDArray[np.float64],
    truth_classes: Sequence[int],
    classes: Sequence[int],
    ignored: Sequence[bool],
) -> tuple[list[str], list[str]]:
    """Match states of truth and of predictions, predictions given by falling score.

    As COCO matches at one threshold: each prediction takes the free truth of its class that it overlaps most, truth
    that counts before truth that is ignored; ignored truth may be taken any number of times.
    """
    truth_states = ["ignored" if flag else "missed" for flag in ignored]
    states = []
    for row, own in enumerate(classes):
        best, best_overlap = None, MATCH_IOU
        for column, (theirs, state) in enumerate(zip(truth_classes, truth_states, strict=True)):
            if theirs == own and state == "missed" and overlap[row, column] >= best_overlap:
                best, best_overlap = column, overlap[row, column]
        if best is not None:
            truth_states[best] = "matched"
            states.append("matched")
            continue
        inside = any(
            theirs == own and flag and overlap[row, column] >= MATCH_IOU
            for column, (theirs, flag) in enumerate(zip(truth_classes, ignored, strict=True))
        )
        states.append("ignored" if inside else "false positive")
    return truth_states, states


def labels(
    label_id: int | None,
    probabilities: Sequence[float] | None,
    *,
    names: Mapping[int, str],
    model_labels: Mapping[int, str],
    mapping: Mapping[int, int | None],
) -> dict[str, Any]:
    """Truth and the three most probable labels of one frame; probabilities run over the model's ascending label ids."""
    top = []
    if probabilities is not None:
        ids = sorted(model_labels)
        for place in np.argsort(-np.asarray(probabilities, dtype=np.float64), kind="stable")[:3]:
            own = ids[int(place)]
            target = mapping.get(own)
            name = names.get(target, model_labels[own]) if target is not None else model_labels[own]
            top.append([name, round(float(probabilities[int(place)]), 4)])
    truth = None if label_id is None else names.get(label_id, str(label_id))
    return {"truth": truth, "top": top, "correct": bool(top) and top[0][0] == truth}


def mapped_labels(label_map: npt.NDArray[np.uint8], mapping: Mapping[int, int | None]) -> npt.NDArray[np.uint8]:
    """A model's label map in the data set's class ids; classes without a target become IGNORE."""
    table = np.full(256, tables.IGNORE, dtype=np.uint8)
    for own, target in mapping.items():
        if target is not None:
            table[own] = target
    return np.asarray(table[label_map], dtype=np.uint8)


def _item(row: Mapping[Any, Any], name: str, state: str, scale: tuple[float, float], *, masks: bool) -> dict[str, Any]:
    sx, sy = scale
    item: dict[str, Any] = {
        "box": [round(float(row[key]) * factor, 1) for key, factor in zip(_BOX, (sx, sy, sx, sy), strict=True)],
        "class": name,
        "state": state,
    }
    if "score" in row:
        item["score"] = round(float(row["score"]), 3)
    if not pd.isna(row["track_id"]):
        item["id"] = int(row["track_id"])
    if masks and isinstance(row["mask"], bytes):
        item["outline"] = _outline(row, scale)
    return item


def _outline(row: Mapping[Any, Any], scale: tuple[float, float]) -> list[list[float]]:
    """The rings of a mask, simplified to about a picture pixel: flat lists x, y, x, y ..."""
    # The mask's own height and width ride with the row (`_size`), as COCO's compressed counts do not hold them.
    decoded = coco_mask.decode({"size": list(row["_size"]), "counts": row["mask"]})
    rings, _ = cv2.findContours(np.ascontiguousarray(decoded), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = []
    for ring in rings:
        points = cv2.approxPolyDP(ring, 0.7 / max(scale), True)[:, 0, :]
        if len(points) >= 3:
            outline.append(
                [round(float(v), 1) for x, y in points for v in ((x + 0.5) * scale[0], (y + 0.5) * scale[1])]
            )
    return outline


def _rle(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"size": list(size), "counts": mask} for size, mask in zip(rows["_size"], rows["mask"], strict=True)]


def _xywh(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    found = rows[list(_BOX)].to_numpy(dtype=np.float64)
    return np.ascontiguousarray(np.hstack([found[:, :2], found[:, 2:] - found[:, :2]]))
