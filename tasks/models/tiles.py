"""Frames in overlapping tiles: any model that finds things, applied to each tile on its own, and the finds merged."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from tasks.errors import InputError
from tasks.models import masks
from tasks.models.nms import suppress
from tasks.models.outputs import Output, Predictor
from tasks.params import Model

Span = tuple[int, int]
"""First pixel and the one after the last, of one axis."""


class Tiled:
    """A model that sees each frame as tiles.

    Boxes and masks move to where their tile lies. What overlaps a better find by more than `nms_iou` (one of its class;
    with `nms: agnostic` any) goes, also where `nms` is soft within tiles: one object's copies are no crowd. So an
    object should fit into the overlap. Tiles are spread evenly and have one size; label maps meet in the middle of the
    overlap.
    """

    def __init__(self, inner: Predictor, model: Model) -> None:
        """Put `inner` behind tiles as `model.input` says.

        Raises:
            InputError: the model labels whole frames, which no tile shows.
        """
        if "classification" in inner.tasks:
            raise InputError("input.tile: a label of the whole frame cannot be told from tiles; remove it.")
        self.inner = inner
        self._tile = model.input.tile or (0, 0)
        self._overlap = model.input.overlap
        self._model = model if model.nms != "soft" else model.model_copy(update={"nms": "class_wise"})

    @property
    def tasks(self) -> frozenset[str]:
        """Those of the model."""
        return self.inner.tasks

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """One output for each frame, in its own pixels."""
        return [self._predict_one(frame) for frame in frames]

    def _predict_one(self, frame: npt.NDArray[np.uint8]) -> Output:
        height, width = frame.shape[:2]
        rows, columns = spans(height, self._tile[0], self._overlap), spans(width, self._tile[1], self._overlap)
        places = [(row, column) for row in rows for column in columns]
        found = self.inner.predict([frame[top:bottom, left:right] for (top, bottom), (left, right) in places])
        if len(places) == 1:
            return found[0]
        shifts = [np.array([left, top, left, top], np.float64) for (top, _), (left, _) in places]
        boxes = np.concatenate([output.boxes + shift for output, shift in zip(found, shifts, strict=True)])
        class_ids = np.concatenate([output.class_ids for output in found])
        scores = np.concatenate([output.scores for output in found]).astype(np.float32)
        survivors, _ = suppress(
            torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(class_ids), model=self._model
        )
        kept = survivors.numpy()
        return Output(
            boxes=boxes[kept].astype(np.float32),
            scores=scores[kept],
            class_ids=class_ids[kept],
            masks=_moved(found, places, kept, height, width),
            label_map=_joined(found, rows, columns, height, width),
        )


def spans(length_px: int, tile_px: int, overlap: float) -> list[Span]:
    """Where the tiles of one axis lie: as few as overlap by `overlap` of their side at least, evenly spread.

    Examples:
        >>> spans(100, 40, 0.25)
        [(0, 40), (30, 70), (60, 100)]
        >>> spans(30, 40, 0.25)
        [(0, 30)]
    """
    if length_px <= tile_px:
        return [(0, length_px)]
    step = max(tile_px - math.ceil(tile_px * overlap), 1)
    count = math.ceil((length_px - tile_px) / step) + 1
    starts = [round(place * (length_px - tile_px) / (count - 1)) for place in range(count)]
    return [(start, start + tile_px) for start in starts]


def _moved(
    found: Sequence[Output], places: Sequence[tuple[Span, Span]], kept: npt.NDArray[np.int64], height: int, width: int
) -> list[bytes] | None:
    """The masks that are kept, in the whole frame, one by one: many at full size would not fit into memory."""
    if found[0].masks is None:
        return None
    origins = [(place, runs) for place, output in zip(places, found, strict=True) for runs in output.masks or []]
    moved = []
    for index in kept:
        ((top, bottom), (left, right)), runs = origins[index]
        whole = np.zeros((1, height, width), dtype=bool)
        whole[:, top:bottom, left:right] = masks.decode([runs], height_px=bottom - top, width_px=right - left)
        moved.extend(masks.encode(whole))
    return moved


def _joined(
    found: Sequence[Output], rows: Sequence[Span], columns: Sequence[Span], height: int, width: int
) -> npt.NDArray[np.uint8] | None:
    if found[0].label_map is None:
        return None
    whole = np.zeros((height, width), np.uint8)
    outputs = iter(found)
    for (top, _), row in zip(rows, _shares(rows), strict=True):
        for (left, _), column in zip(columns, _shares(columns), strict=True):
            part = next(outputs).label_map
            assert part is not None
            whole[row[0] : row[1], column[0] : column[1]] = part[
                row[0] - top : row[1] - top, column[0] - left : column[1] - left
            ]
    return whole


def _shares(tiles: Sequence[Span]) -> list[Span]:
    """The part of the axis that each tile answers for: up to the middle of what it shares with its neighbours."""
    inner = [(before[1] + after[0]) // 2 for before, after in itertools.pairwise(tiles)]
    edges = [0, *inner, tiles[-1][1]]
    return list(itertools.pairwise(edges))
