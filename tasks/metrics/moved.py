"""The truth of a cell whose corruption displaces what is seen, displaced with it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tasks import displacement, tables
from tasks.displacement import Floats
from tasks.metrics.instances import Truth
from tasks.metrics.truth import GroundTruth


def moved(truth: GroundTruth, waves: Mapping[int, Floats]) -> GroundTruth:
    """The same frames with boxes, masks and label maps where the picture has them; areas and slices stay.

    Args:
        truth: of the clean frames; left as it is.
        waves: by frame_id, as `displacement.read` gives them; frames without stay as they are.
    """
    heights = truth.frames["height_px"].to_numpy(np.int64)
    widths = truth.frames["width_px"].to_numpy(np.int64)
    shifts = {
        place: displacement.shifts(waves[int(frame_id)], int(heights[place]))
        for place, frame_id in enumerate(truth.frame_ids)
        if int(frame_id) in waves
    }
    if not shifts:
        return truth
    semantic, pixels = dict(truth.semantic), truth.semantic_pixels.copy()
    for place in shifts.keys() & semantic.keys():
        label_map = displacement.move_map(tables.decode_label_map(semantic[place]), shifts[place])
        semantic[place] = tables.encode_label_map(label_map)
        pixels[place] = np.bincount(label_map.ravel(), minlength=256)[list(truth.classes["semantic"])]
    return replace(
        truth,
        objects=_objects(truth.objects, shifts, widths),
        masks=None if truth.masks is None else _objects(truth.masks, shifts, widths),
        semantic=semantic,
        semantic_pixels=pixels,
    )


def _objects(objects: Truth, shifts: Mapping[int, Floats], widths: Floats) -> Truth:
    boxes = objects.boxes.copy()
    masks = None if objects.masks is None else list(objects.masks)
    for place, shift in shifts.items():
        first, last = np.searchsorted(objects.frame, [place, place + 1])
        boxes[first:last] = displacement.move_boxes(boxes[first:last], shift, int(widths[place]))
        if masks is not None:
            masks[first:last] = [displacement.move_mask(mask, shift) for mask in masks[first:last]]
    return replace(objects, boxes=boxes, masks=masks)
