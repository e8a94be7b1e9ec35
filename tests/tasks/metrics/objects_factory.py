"""Scenes of objects and detections for tests of metrics, and slow references that are written from the definitions."""

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tasks.metrics.instances import Detections, Truth, mask_areas

N_CLASSES = 3
NONE, HIT, IGNORED = None, "right", "uncounted"


# The reference: plain loops over dictionaries.


def overlap(a, b, crowd=False):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared, own, other = width * height, (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return shared / own if crowd else shared / (own + other - shared)


def listed(truth: Truth, found: Detections, frames):
    """Truth and detections by frame as dictionaries, detections by falling score, 100 at most of a class."""
    things = {frame: [] for frame in frames}
    reports = {frame: [] for frame in frames}
    for i in range(len(truth)):
        if truth.frame[i] in things:
            thing = {"id": i, "class": int(truth.kind[i]), "box": truth.boxes[i].tolist(), "by": None}
            thing |= {"crowd": bool(truth.crowd[i]), "ignored": bool(truth.ignored[i])}
            things[truth.frame[i]].append(thing)
    for i in sorted(range(len(found)), key=lambda i: -found.score[i]):
        if found.frame[i] not in reports:
            continue
        here = reports[found.frame[i]]
        if sum(other["class"] == found.kind[i] for other in here) < 100:
            report = {
                "id": i,
                "frame": int(found.frame[i]),
                "class": int(found.kind[i]),
                "score": float(found.score[i]),
            }
            here.append(report | {"box": found.boxes[i].tolist(), "kind": NONE, "of": None})
    return things, reports


def match(reports, things, *, agnostic=False):
    """COCO's matching at IoU 0.5 within one frame."""
    for report in reports:
        for ignored in (False, True):
            free = [
                (overlap(report["box"], thing["box"], thing["crowd"]), place, thing)
                for place, thing in enumerate(things)
                if (agnostic or thing["class"] == report["class"])
                and thing["ignored"] == ignored
                and (thing["by"] is None or thing["crowd"])
            ]
            free = [entry for entry in free if entry[0] >= 0.5]
            if free:
                thing = max(free, key=lambda entry: entry[:2])[2]
                thing["by"], report["of"] = report, thing
                report["kind"] = IGNORED if ignored else HIT
                break


# What both are given.


def boxes_of(rng, n, *, whole):
    corner = rng.uniform(0, 60, (n, 2))
    boxes = np.hstack([corner, corner + rng.uniform(8, 60, (n, 2))])
    return boxes.round() if whole else boxes


def scene(seed, n_frames, n_truth, n_far, copies, *, regions=True, digits=2, whole=False):
    """Crowded frames: detections of truth shaken little and much, of the right class and not, several of one object."""
    rng = np.random.default_rng(seed)
    boxes = boxes_of(rng, n_truth, whole=whole)
    crowd = (rng.random(n_truth) < 0.1) & regions
    classes = rng.permutation(N_CLASSES)[: rng.integers(1, N_CLASSES + 1)]
    truth = Truth(
        frame=np.sort(rng.integers(0, n_frames, n_truth)).astype(np.int64),
        kind=rng.choice(classes, n_truth).astype(np.int64),
        boxes=boxes,
        area_px2=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        crowd=crowd,
        ignored=crowd | ((rng.random(n_truth) < 0.1) & regions),
    )
    chosen = rng.integers(0, n_truth, copies * n_truth) if n_truth else np.zeros(0, dtype=np.int64)
    shake = rng.normal(0, 1, (len(chosen), 4)) * rng.choice([0.5, 4, 12], (len(chosen), 1))
    near = np.vstack([boxes[chosen] + shake, boxes_of(rng, n_far, whole=whole)])
    near = near.round() if whole else near
    near[:, :2] = np.maximum(near[:, :2], 0)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 2)
    kind = np.where(rng.random(len(chosen)) < 0.7, truth.kind[chosen], rng.integers(0, N_CLASSES, len(chosen)))
    found = Detections(
        frame=np.concatenate([truth.frame[chosen], rng.integers(0, n_frames, n_far)]).astype(np.int64),
        kind=np.concatenate([kind, rng.integers(0, N_CLASSES, n_far)]).astype(np.int64),
        boxes=near,
        score=rng.random(len(near)).round(digits),
        area_px2=np.prod(near[:, 2:] - near[:, :2], axis=1),
    )
    return truth, found


scenes = st.builds(
    lambda n_frames, **more: (*scene(n_frames=n_frames, **more), n_frames),
    n_frames=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    n_truth=st.integers(0, 16),
    n_far=st.integers(0, 12),
    copies=st.integers(0, 4),
    regions=st.booleans(),
    digits=st.integers(1, 6),  # few distinct scores: ties
)


def one(boxes, kinds, scores=None, frames=None):
    """Truth, or detections when there are scores."""
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    n = len(boxes)
    frame = np.zeros(n, dtype=np.int64) if frames is None else np.array(frames)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kind = np.array(kinds, dtype=np.int64)
    if scores is None:
        return Truth(frame, kind, boxes, area, np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))
    return Detections(frame, kind, boxes, np.array(scores, dtype=float), area)


def region(box):
    """An ignored region of class 0, drawn as a crowd."""
    zero, crowd = np.zeros(1, dtype=np.int64), np.array([True])
    boxes = np.array([box], dtype=float)
    return Truth(zero, zero, boxes, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), crowd, crowd)


def as_masks(truth, found):
    """The same with masks that fill the boxes; the boxes of the detections lie elsewhere, to see which are used."""

    def drawn(boxes):
        encoded = []
        for x0, y0, x1, y1 in boxes.astype(int):
            mask = np.zeros((140, 140), dtype=np.uint8, order="F")
            mask[y0:y1, x0:x1] = 1
            encoded.append(coco_mask.encode(mask))
        return encoded

    things = Truth(truth.frame, truth.kind, truth.boxes, truth.area_px2, truth.crowd, truth.ignored, drawn(truth.boxes))
    masks = drawn(found.boxes)
    return things, Detections(found.frame, found.kind, found.boxes + 1000, found.score, mask_areas(masks), masks)
