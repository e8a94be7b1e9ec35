"""Average precision and recall against pycocotools and torchmetrics on generated and published input."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks.metrics import detection, matching
from tasks.metrics.instances import Detections, Truth, mask_areas
from tasks.slices import SIZES

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def reference(truth: Truth, found: Detections, n_frames: int, n_classes: int, *, frames=None, kind="bbox", ignore=None):
    """Pycocotools on the same objects; `ignore` overrides what it makes of iscrowd."""
    images = list(range(n_frames)) if frames is None else [int(i) for i in np.flatnonzero(frames)]
    dataset = {
        "info": {},
        "images": [{"id": i} for i in images],
        "categories": [{"id": k, "name": str(k)} for k in range(n_classes)],
        "annotations": [],
    }
    for i in range(len(truth)):
        if truth.frame[i] not in images:
            continue
        x0, y0, x1, y1 = truth.boxes[i]
        dataset["annotations"].append(
            {
                "id": i + 1,
                "image_id": int(truth.frame[i]),
                "category_id": int(truth.kind[i]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(truth.area_px2[i]),
                "iscrowd": int(truth.crowd[i]),
                **({"segmentation": truth.masks[i]} if truth.masks is not None else {}),
            }
        )
    results = []
    for i in range(len(found)):
        if found.frame[i] not in images:
            continue
        x0, y0, x1, y1 = found.boxes[i]
        row = {"image_id": int(found.frame[i]), "category_id": int(found.kind[i]), "score": float(found.score[i])}
        shape = {"segmentation": found.masks[i]} if kind == "segm" else {"bbox": [x0, y0, x1 - x0, y1 - y0]}
        results.append(row | shape)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        other = COCO()
        if results:
            other = coco.loadRes(results)
        else:  # loadRes([]) raises
            other.dataset = dataset | {"annotations": []}
            other.createIndex()
        evaluation = COCOeval(coco, other, kind)
        if ignore is not None:
            prepare = evaluation._prepare

            def marked():
                prepare()
                for objects in evaluation._gts.values():
                    for item in objects:
                        item["ignore"] = bool(ignore[item["id"] - 1])

            evaluation._prepare = marked
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = np.array(evaluation.stats)
    return dict(zip(NAMES, np.where(stats == -1, np.nan, stats), strict=True)), evaluation


def ours(truth, found, n_classes, *, masks=False, frames=None):
    pairs = matching.candidates(truth, found, n_classes, masks=masks)
    matches = {"all": matching.match(pairs)}
    matches |= {size: matching.match(pairs, area_px2=area) for size, area in SIZES.items()}
    return pairs, matches


@st.composite
def scenes(draw, n_classes=3):
    """Frames with truth of all kinds (none, crowd, ignored) and detections near it, beside it and none."""
    seed = draw(st.integers(0, 2**32 - 1))
    n_frames = draw(st.integers(1, 6))
    rng = np.random.default_rng(seed)
    n_truth = draw(st.integers(0, 25))
    with_crowd = draw(st.booleans())
    corner = rng.uniform(0, 200, (n_truth, 2))
    boxes = np.hstack([corner, corner + rng.uniform(5, 150, (n_truth, 2))]).round(draw(st.integers(0, 3)))
    crowd = (rng.random(n_truth) < 0.2) & with_crowd
    frame = np.sort(rng.integers(0, n_frames, n_truth))
    truth = Truth(
        frame=frame,
        kind=rng.integers(0, n_classes - draw(st.integers(0, 1)), n_truth),
        boxes=boxes,
        area_px2=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * rng.uniform(0.5, 1, n_truth),
        crowd=crowd,
        ignored=crowd | ((rng.random(n_truth) < 0.2) & with_crowd),
    )
    copies = draw(st.integers(0, 4))
    chosen = rng.integers(0, n_truth, copies * n_truth) if n_truth else np.zeros(0, dtype=int)
    near = boxes[chosen] + rng.normal(0, 6, (len(chosen), 4))
    n_far = draw(st.integers(0, 30))
    far = rng.uniform(0, 200, (n_far, 2))
    far = np.hstack([far, far + rng.uniform(5, 150, (n_far, 2))])
    found_boxes = np.vstack([near, far])
    found_boxes[:, 2:] = np.maximum(found_boxes[:, 2:], found_boxes[:, :2] + 1)
    kinds = np.where(rng.random(len(chosen)) < 0.8, truth.kind[chosen], rng.integers(0, n_classes, len(chosen)))
    n_found = len(found_boxes)
    found = Detections(
        frame=np.concatenate([frame[chosen], rng.integers(0, n_frames, n_far)]).astype(np.int64),
        kind=np.concatenate([kinds, rng.integers(0, n_classes, n_far)]).astype(np.int64),
        boxes=found_boxes,
        # Few distinct scores: ties must be broken as the reference breaks them.
        score=rng.random(n_found).round(draw(st.integers(1, 6))),
        area_px2=np.prod(found_boxes[:, 2:] - found_boxes[:, :2], axis=1),
    )
    return truth, found.take(np.lexsort((-found.score, found.frame))), n_frames, n_classes


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_the_twelve_numbers_equal_pycocotools(scene):
    truth, found, n_frames, n_classes = scene
    expected, _ = reference(truth, found, n_frames, n_classes, ignore=truth.ignored)
    _, matches = ours(truth, found, n_classes)
    assert detection.summary(matches) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_a_slice_equals_pycocotools_on_these_frames_alone(scene, seed):
    truth, found, n_frames, n_classes = scene
    frames = np.random.default_rng(seed).random(n_frames) < 0.5
    _, matches = ours(truth, found, n_classes)
    whole = detection.figures(matches["all"], frames)
    if not frames.any():
        assert np.isnan(whole.precision).all()
        return
    expected, evaluation = reference(truth, found, n_frames, n_classes, frames=frames, ignore=truth.ignored)
    found_here = whole.metrics()
    assert found_here["map"] == pytest.approx(expected["AP"], abs=1e-9, nan_ok=True)
    assert found_here["ar100"] == pytest.approx(expected["AR100"], abs=1e-9, nan_ok=True)
    small = detection.figures(matches["small"], frames).metrics()
    assert small["map"] == pytest.approx(expected["APs"], abs=1e-9, nan_ok=True)
    for kind in range(n_classes):  # a class absent from the slice is NaN in its own row
        precision = evaluation.eval["precision"][:, :, kind, 0, 2]
        by_class = np.nan if (precision == -1).all() else precision.mean()
        assert whole.metrics(kind)["map"] == pytest.approx(by_class, abs=1e-9, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_a_tag_of_objects_equals_pycocotools_with_the_rest_ignored(scene, seed):
    truth, found, n_frames, n_classes = scene
    inside = np.random.default_rng(seed).random(len(truth)) < 0.5
    pairs, _ = ours(truth, found, n_classes)
    recall = detection.figures(matching.match(pairs, inside=inside)).metrics()["ar100"]
    expected, _ = reference(truth, found, n_frames, n_classes, ignore=truth.ignored | ~inside)
    assert recall == pytest.approx(expected["AR100"], abs=1e-9, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(scenes())
def test_map_equals_torchmetrics(scene):
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    truth, found, n_frames, n_classes = scene
    # Its default levels and thresholds are float32, a hair above or below COCO's: a recall of 3 in 5 misses level 0.6.
    exact = {"rec_thresholds": np.linspace(0, 1, 101).tolist(), "iou_thresholds": np.linspace(0.5, 0.95, 10).tolist()}
    metric = MeanAveragePrecision(backend="faster_coco_eval", **exact)
    plain = Truth(truth.frame, truth.kind, truth.boxes, truth.area_px2, truth.crowd, truth.crowd)
    # Of equal scores it takes another first; it also rounds boxes to float32, so whole pixels.
    boxes = found.boxes.round()
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    found = Detections(found.frame, found.kind, boxes, np.linspace(1, 0.01, len(found)), area)
    for i in range(n_frames):
        t, d = plain.frame == i, found.frame == i
        metric.update(
            [
                {
                    "boxes": torch.tensor(found.boxes[d]).reshape(-1, 4),
                    "scores": torch.tensor(found.score[d]),
                    "labels": torch.tensor(found.kind[d]),
                }
            ],
            [
                {
                    "boxes": torch.tensor(plain.boxes[t]).reshape(-1, 4),
                    "labels": torch.tensor(plain.kind[t]),
                    "iscrowd": torch.tensor(plain.crowd[t].astype(int)),
                    "area": torch.tensor(plain.area_px2[t]),
                }
            ],
        )
    expected = {name: float(value) for name, value in metric.compute().items() if value.ndim == 0}
    whole = detection.figures(matching.match(matching.candidates(plain, found, n_classes))).metrics()
    for name, theirs in (("map", "map"), ("ap50", "map_50"), ("ap75", "map_75"), ("ar100", "mar_100")):
        value = np.nan if expected[theirs] == -1 else expected[theirs]
        assert whole[name] == pytest.approx(value, abs=1e-6, nan_ok=True)


def empty_detections() -> Detections:
    return Detections(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros((0, 4)), np.zeros(0), np.zeros(0))


def test_no_detections_at_all_is_zero_and_no_truth_is_not_a_number():
    boxes = np.array([[0.0, 0, 10, 10]])
    none = np.zeros(1, dtype=bool)
    truth = Truth(np.array([0]), np.array([0]), boxes, np.array([100.0]), none, none)
    nothing = matching.match(matching.candidates(truth, empty_detections(), 2))
    assert detection.figures(nothing).metrics() == {"map": 0, "ap50": 0, "ap75": 0, "ar100": 0}
    assert np.isnan(detection.operating_threshold(nothing))
    found = Detections(np.array([0]), np.array([1]), boxes, np.array([0.9]), np.array([100.0]))
    without = Truth(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros((0, 4)), np.zeros(0), none[:0], none[:0])
    assert np.isnan(detection.figures(matching.match(matching.candidates(without, found, 2))).metrics()["map"])


def test_only_the_hundred_best_of_a_frame_and_class_count():
    box = np.array([[0.0, 0, 10, 10]])
    none = np.zeros(1, dtype=bool)
    truth = Truth(np.array([0]), np.array([0]), box, np.array([100.0]), none, none)
    far = np.repeat(box + 50, 100, axis=0)
    found = Detections(
        np.zeros(101, dtype=np.int64),
        np.zeros(101, dtype=np.int64),
        np.vstack([far, box]),
        np.linspace(1, 0.1, 101),
        np.full(101, 100.0),
    )
    assert detection.figures(matching.match(matching.candidates(truth, found, 1))).metrics()["ar100"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_operating_threshold_is_the_best_of_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    hit = rng.random(40) < 0.5
    score = rng.random(40).round(1)
    order = np.argsort(-score, kind="stable")
    matches = matching.Matches(
        frame=np.zeros(40, dtype=np.int64),
        rank=np.arange(40),
        score=score[order],
        ends=np.array([0, 40]),
        hit=np.tile(hit[order], (10, 1)),
        counted=np.ones((10, 40), dtype=bool),
        wanted=np.zeros((30, 2), dtype=np.int64),
    )

    def f1(threshold):
        kept = score >= threshold
        return 2 * (hit & kept).sum() / (kept.sum() + 30)

    assert f1(detection.operating_threshold(matches)) == pytest.approx(max(f1(s) for s in score))


@pytest.mark.real
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_published_results_score_as_pycocotools_prints(kind):
    root = os.environ.get("STORMGLASS_REAL_DATA")
    if not root:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    folder = Path(root) / "conformance"
    expected = json.loads((folder / "expected_pycocotools.json").read_text())[kind]
    annotations = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    frames = {image["id"]: i for i, image in enumerate(sorted(annotations["images"], key=lambda image: image["id"]))}
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations["images"]}
    kinds = {category["id"]: i for i, category in enumerate(annotations["categories"])}
    objects = sorted(annotations["annotations"], key=lambda item: frames[item["image_id"]])

    def corners(boxes):
        boxes = np.array(boxes, dtype=float).reshape(-1, 4)
        return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])

    def rle(item):
        shape, size = item["segmentation"], sizes[item["image_id"]]
        if isinstance(shape, list):
            return coco_mask.merge(coco_mask.frPyObjects(shape, *size))
        return coco_mask.frPyObjects(shape, *size) if isinstance(shape["counts"], list) else shape

    crowd = np.array([bool(item["iscrowd"]) for item in objects])
    truth = Truth(
        frame=np.array([frames[item["image_id"]] for item in objects]),
        kind=np.array([kinds[item["category_id"]] for item in objects]),
        boxes=corners([item["bbox"] for item in objects]),
        area_px2=np.array([item["area"] for item in objects], dtype=float),
        crowd=crowd,
        ignored=crowd,
        masks=[rle(item) for item in objects] if kind == "segm" else None,
    )
    masks = [rle(item) for item in results] if kind == "segm" else None
    boxes = corners([item["bbox"] for item in results] if masks is None else coco_mask.toBbox(masks))
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) if masks is None else mask_areas(masks)
    found = Detections(
        frame=np.array([frames[item["image_id"]] for item in results]),
        kind=np.array([kinds[item["category_id"]] for item in results]),
        boxes=boxes,
        score=np.array([item["score"] for item in results]),
        area_px2=area,
        masks=masks,
    )
    _, matches = ours(truth, found, len(kinds), masks=kind == "segm")
    assert detection.summary(matches) == pytest.approx(expected, abs=1e-9)
