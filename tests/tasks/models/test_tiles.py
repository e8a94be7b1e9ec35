import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.outputs import Output, whole_frame
from tasks.models.tiles import Tiled, spans
from tasks.params import Model


class Blobs:
    """Finds each blob of one grey level as an object of that class; scores grow with its area in the picture given."""

    tasks = frozenset({"detection", "instance", "semantic"})

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def predict(self, frames: Sequence[np.ndarray]) -> list[Output]:
        self.sizes.extend(frame.shape[:2] for frame in frames)
        return [self._one(frame[:, :, 0]) for frame in frames]

    def _one(self, grey: np.ndarray) -> Output:
        levels = [level for level in np.unique(grey) if level]
        masks = np.stack([grey == level for level in levels]) if levels else np.zeros((0, *grey.shape), bool)
        scores = masks.sum((1, 2)) / 10000
        order = np.argsort(-scores, kind="stable")
        return Output(
            boxes=run_length.boxes_around(masks)[order],
            scores=scores[order].astype(np.float32),
            class_ids=np.array(levels, np.int64)[order],
            masks=run_length.encode(masks[order]),
            label_map=grey,
        )


def tiled(inner: Any, **changes: Any) -> Tiled:
    declared = {"tile": [60, 80], "overlap": 0.5}
    return Tiled(inner, Model.model_validate({"adapter": "onnx", "input": declared, "nms_iou": 0.3} | changes))


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 5000), tile=st.integers(8, 900), overlap=st.floats(0, 0.95))
def test_tiles_cover_all_and_overlap_enough(length: int, tile: int, overlap: float) -> None:
    found = spans(length, tile, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(stop - start == min(tile, length) for start, stop in found)
    for (_, stop), (start, _) in itertools.pairwise(found):
        assert stop - start >= min(int(tile * overlap), tile - 1)
    least = max(tile - np.ceil(tile * overlap), 1)  # one tile fewer would not reach
    assert (len(found) - 2) * least < max(length - tile, 1)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(20, 170),
    width=st.integers(20, 170),
    x=st.integers(0, 140),
    y=st.integers(0, 140),
    data=st.data(),
)
def test_an_object_smaller_than_the_overlap_is_found_once_and_whole(
    height: int, width: int, x: int, y: int, data: st.DataObject
) -> None:
    """Whatever tiles it lies in: cut copies go, and what stays is in pixels of the frame, to the pixel."""
    x, y = min(x, width - 12), min(y, height - 12)
    right, bottom = x + data.draw(st.integers(8, 12)), y + data.draw(st.integers(8, 12))
    frame = np.zeros((height, width, 3), np.uint8)
    frame[y:bottom, x:right] = 7
    inner = Blobs()
    (output,) = tiled(inner).predict([frame])
    best = output.boxes[0]
    assert best.tolist() == [x, y, right, bottom]
    assert output.class_ids[0] == 7
    (mask, *_) = run_length.decode(output.masks, height_px=height, width_px=width)
    assert (mask == (frame[:, :, 0] > 0)).all()
    assert (output.label_map == frame[:, :, 0]).all()
    assert all(size == (min(60, height), min(80, width)) for size in inner.sizes)
    assert (np.diff(output.scores) <= 0).all()


def test_copies_go_by_overlap_within_their_class_or_in_all() -> None:
    frame = np.zeros((60, 120, 3), np.uint8)
    frame[10:30, 45:75] = 9  # whole in both tiles
    (output,) = tiled(Blobs()).predict([frame])
    assert output.boxes.tolist() == [[45, 10, 75, 30]]

    class Twice(Blobs):
        def _one(self, grey: np.ndarray) -> Output:
            found = super()._one(grey)
            n = len(found.scores)
            return Output(
                boxes=np.concatenate([found.boxes] * 2),
                scores=np.concatenate([found.scores] * 2),
                class_ids=np.arange(2).repeat(n).astype(np.int64),
            )

    (both,) = tiled(Twice()).predict([frame])
    assert both.class_ids.tolist() == [0, 1]
    assert both.masks is both.label_map is None
    (one,) = tiled(Twice(), nms="agnostic").predict([frame])
    assert len(one.boxes) == 1
    (soft,) = tiled(Twice(), nms="soft").predict([frame])
    assert soft.scores.tolist() == both.scores.tolist()


def test_a_frame_as_small_as_a_tile_is_left_to_the_model() -> None:
    inner = Blobs()
    tiled(inner).predict([np.zeros((60, 80, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)])
    assert inner.sizes == [(60, 80), (20, 30)]


def test_labels_of_frames_cannot_be_told_from_tiles() -> None:
    class Labels:
        tasks = frozenset({"classification"})

        def predict(self, frames: Sequence[np.ndarray]) -> list[Output]:
            return [whole_frame(probabilities=np.ones(1, np.float32)) for _ in frames]

    with pytest.raises(InputError, match="cannot be told from tiles"):
        tiled(Labels())
