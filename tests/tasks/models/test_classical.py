import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.outputs import Output
from tasks.params import Model
from tests.photographs import photographs

FOLDER = Path()  # nothing is read
METHODS = ["otsu", "watershed", "grabcut", "kmeans"]


def model(variant: str | None, /, **changes: Any) -> Model:
    return Model.model_validate({"adapter": "classical", "variant": variant} | changes)


def predict(frame: np.ndarray, variant: str, /, **options: Any) -> Output:
    loaded = models.load(model(variant, options=options), folder=FOLDER, device="cpu")
    (output,) = loaded.predict([frame])
    return output


def mask_of(output: Output, frame: np.ndarray) -> np.ndarray:
    return run_length.decode(output.masks, height_px=frame.shape[0], width_px=frame.shape[1])


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def discs(*centres: tuple[int, int, int], size: tuple[int, int] = (120, 200)) -> tuple[np.ndarray, list[np.ndarray]]:
    """A light frame with dark discs (x, y, radius) and some noise, and the mask of each."""
    ys, xs = np.mgrid[: size[0], : size[1]]
    masks = [(xs - x) ** 2 + (ys - y) ** 2 <= r**2 for x, y, r in centres]
    frame = np.full((*size, 3), 200.0)
    for mask in masks:
        frame[mask] = (60, 70, 50)
    noisy = frame + np.random.default_rng(0).normal(0, 6, frame.shape)
    return noisy.clip(0, 255).astype(np.uint8), masks


def test_otsu_finds_each_disc_and_fills_holes() -> None:
    frame, masks = discs((40, 50, 20), (140, 70, 30))
    frame[45:55, 35:45] = 200  # a hole
    output = predict(frame, "otsu")
    found = mask_of(output, frame)
    assert sorted(round(max(iou(mask, one) for one in found), 1) for mask in masks) == [1.0, 1.0]
    assert len(found) == 2
    np.testing.assert_allclose(sorted(output.boxes.tolist()), [[20, 30, 61, 71], [110, 40, 171, 101]], atol=1.5)
    assert ((output.scores > 0.4) & (output.scores < 0.7)).all()  # about 140 grey levels of 255
    # Which side is meant follows from the frame's edge, or is told.
    assert len(predict(255 - frame, "otsu").boxes) == 2
    assert len(predict(255 - frame, "otsu", foreground="bright").boxes) == 2
    # All of the frame, holes filled: it stands out from nothing, and scores 0.
    assert len(predict(frame, "otsu", foreground="bright").boxes) == 0


def test_small_components_are_dropped_and_thresholds_apply() -> None:
    frame, _ = discs((40, 50, 20), (140, 70, 6))
    assert len(predict(frame, "otsu").boxes) == 2
    assert len(predict(frame, "otsu", min_area=0.02).boxes) == 1
    loaded = models.load(model("otsu", score_threshold=0.9), folder=FOLDER, device="cpu")
    assert loaded.predict([frame])[0].masks == []


def test_watershed_parts_what_touches() -> None:
    frame, masks = discs((70, 60, 30), (120, 60, 30))
    assert len(predict(frame, "otsu").boxes) == 1
    output = predict(frame, "watershed", core=0.7)
    found = mask_of(output, frame)
    assert len(found) == 2
    left, right = (masks[0] & ~masks[1]), (masks[1] & ~masks[0])
    assert {max(range(2), key=lambda i: (found[i] & half).sum()) for half in (left, right)} == {0, 1}
    assert not (found[0] & found[1]).any()


def test_grabcut_cuts_the_object_in_the_box() -> None:
    frame, masks = discs((60, 60, 25), (160, 60, 20))
    output = predict(frame, "grabcut", box=(0.1, 0.1, 0.5, 0.9))
    (found,) = mask_of(output, frame)
    assert iou(found, masks[0]) > 0.9
    assert predict(np.full((40, 60, 3), 90, np.uint8), "grabcut").masks is not None  # nothing to tell apart


def test_kmeans_numbers_regions_from_dark_to_light() -> None:
    frame = np.zeros((60, 90, 3), np.uint8)
    frame[:, :30], frame[:, 30:60], frame[:, 60:] = (230, 230, 220), (20, 20, 60), (180, 40, 40)
    output = predict(frame, "kmeans", clusters=3, smooth_px=0.0)
    assert (output.label_map == np.repeat([2, 0, 1], 30)[None].repeat(60, 0)).all()
    described = models.describe(model("kmeans", options={"clusters": 2}, classes=["dark", "light"]), folder=FOLDER)
    assert described["semantic"] == {0: "dark", 1: "light"}
    assert described["tasks"] == ["semantic"]


def test_hundreds_of_objects_equal_their_masks_stacked() -> None:
    """To the byte; stacked at this size they would take half a gigabyte."""
    frame = np.full((540, 960, 3), 220, np.uint8)
    for y, x in np.ndindex(25, 45):
        frame[4 + y * 21 : 16 + y * 21, 4 + x * 21 : 17 + x * 21] = 20 + (y * 45 + x) % 97
    adapter = models.load(model("otsu", options={"min_area": 0.0}), folder=FOLDER, device="cpu")
    labels = adapter._instances(frame, adapter._model.options)
    tracemalloc.start()
    (output,) = adapter.predict([frame])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(output.scores) == 25 * 45
    assert peak_bytes < 60e6
    assert len(np.unique(output.scores)) > 50
    for place in range(0, len(output.scores), 100):
        left, top = output.boxes[place, :2].astype(int)
        number = labels[top:, left:][labels[top:, left:] > 0][0]
        stacked = (labels == number)[None]
        assert output.masks[place : place + 1] == run_length.encode(stacked)
        np.testing.assert_array_equal(output.boxes[place : place + 1], run_length.boxes_around(stacked))


@pytest.mark.parametrize("variant", METHODS)
def test_the_same_frame_gives_the_same_whatever_came_before(variant: str) -> None:
    frame, _ = discs((40, 50, 20), (140, 70, 30))
    loaded = models.load(model(variant), folder=FOLDER, device="cpu")
    (first,) = loaded.predict([frame])
    cv2.setRNGSeed(99)
    other = np.random.default_rng(1).integers(0, 255, (50, 80, 3), dtype=np.uint8)
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        _, again = loaded.predict([other, frame])
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert first.masks == again.masks
    if first.label_map is not None:
        np.testing.assert_array_equal(first.label_map, again.label_map)


@pytest.mark.parametrize("variant", ["otsu", "watershed", "grabcut"])
def test_objects_or_a_map_of_them(variant: str) -> None:
    frame, masks = discs((100, 60, 40))
    described = models.describe(model(variant, classes=["disc"]), folder=FOLDER)
    assert described == {"object": {0: "disc"}, "semantic": {}, "label": {}, "tasks": ["detection", "instance"]}
    output = predict(frame, variant, output="semantic")
    assert output.label_map is not None
    assert iou(output.label_map > 0, masks[0]) > 0.9
    asked = model(variant, options={"output": "semantic"})
    assert models.describe(asked, folder=FOLDER)["semantic"] == {0: "background", 1: "foreground"}


@pytest.mark.parametrize("variant", METHODS)
@pytest.mark.parametrize("level", [0, 255])
def test_a_frame_without_anything(variant: str, level: int) -> None:
    loaded = models.load(model(variant), folder=FOLDER, device="cpu")
    (output,) = loaded.predict([np.full((48, 64, 3), level, np.uint8)])
    assert np.isfinite(output.scores).all()
    assert output.boxes.shape == (len(output.scores), 4)


def test_what_decides_is_in_the_fingerprint() -> None:
    base = models.fingerprint(model("otsu"), folder=FOLDER)
    assert base == models.fingerprint(model("otsu", options={"kernel_px": 5}), folder=FOLDER)
    assert base != models.fingerprint(model("otsu", options={"kernel_px": 7}), folder=FOLDER)
    assert base["weights_sha256"] == f"opencv {cv2.__version__}"


@pytest.mark.parametrize(
    ("variant", "changes", "words"),
    [
        (None, {}, "needs a variant, got none"),
        ("otzu", {}, "did you mean 'otsu'"),
        ("otsu", {"weights": "w.pth"}, "takes no weights"),
        ("otsu", {"input": {"channels": "bgr"}}, "looks at frames as they are"),
        ("otsu", {"options": {"kernel": 3}}, "did you mean 'kernel_px'"),
        ("otsu", {"options": {"kernel_px": 0}}, "kernel_px: expected a whole number from 1 to 199, got 0"),
        ("otsu", {"options": {"foreground": "light"}}, "expected auto or dark or bright, got 'light'"),
        ("grabcut", {"options": {"box": [0.5, 0.1, 0.2, 0.9]}}, "box: expected"),
        ("grabcut", {"options": {"box": [0, 0, 1, 1]}}, "and not all of it"),
        ("kmeans", {"options": {"clusters": 1}}, "from 2 to 64"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(variant: str | None, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        models.describe(model(variant, **changes), folder=FOLDER)


@pytest.mark.real
@pytest.mark.parametrize("variant", METHODS)
def test_photographs(variant: str) -> None:
    options = {"iterations": 1} if variant == "grabcut" else {}  # which takes seconds
    loaded = models.load(model(variant, options=options), folder=FOLDER, device="cpu")
    for frame in (photograph[::2, ::2] for photograph in photographs(2)):
        (output,) = loaded.predict([frame])
        if output.label_map is not None:
            assert set(np.unique(output.label_map)) == {0, 1, 2, 3}
            continue
        found = mask_of(output, frame)
        assert len(found) >= 1
        assert found.any(axis=(1, 2)).all()
        np.testing.assert_array_equal(output.boxes, run_length.boxes_around(found))
