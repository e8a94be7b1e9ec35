"""Generated input for measurements: detections of the size of COCO's validation set, and tracked video."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tasks.metrics import tracking
from tasks.metrics.instances import Bools, Detections, Floats, Ints, Truth

WIDTH_PX: Final = 640
HEIGHT_PX: Final = 480

OBJECTS_PER_IMAGE: Final = 7
"""COCO 2017's validation set has 36,781 objects in 5,000 images."""

CROWD_SHARE: Final = 0.012
"""The share of crowds there (446 of 36,781)."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What one model finds under one condition, and what is there."""

    truth: Truth
    detections: Detections
    n_images: int
    n_classes: int

    def part(self, n_images: int) -> "Cell":
        """The first images alone."""
        rows = self.truth.frame < n_images
        truth = Truth(
            self.truth.frame[rows],
            self.truth.kind[rows],
            self.truth.boxes[rows],
            self.truth.area_px2[rows],
            self.truth.crowd[rows],
            self.truth.ignored[rows],
        )
        return Cell(truth, self.detections.take(self.detections.frame < n_images), n_images, self.n_classes)


def cell(n_images: int, *, n_detections: int = 100, n_classes: int = 80, seed: int = 0) -> Cell:
    """Images of about seven objects, of few classes each, with the output of a detector that keeps its best 100.

    Most objects are found by a box close by with a high score, and by looser duplicates of which some have a wrong
    class; false alarms of low score fill the rest. Classes are as unequal as COCO's, coordinates have two decimals and
    scores four, so that scores tie.
    """
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_classes + 1) ** 0.8
    popularity /= popularity.sum()
    frame = np.repeat(np.arange(n_images), rng.poisson(OBJECTS_PER_IMAGE, n_images))
    main = rng.choice(n_classes, n_images, p=popularity)  # the class that half of an image's objects have
    kind = np.where(rng.random(len(frame)) < 0.5, main[frame], rng.choice(n_classes, len(frame), p=popularity))
    boxes = _boxes(rng, len(frame))
    crowd = rng.random(len(frame)) < CROWD_SHARE
    size = boxes[:, 2:] - boxes[:, :2]
    area = size.prod(axis=1) * rng.uniform(0.4, 0.9, len(frame))  # of the object's outline
    truth = Truth(frame, kind, boxes, area, crowd, crowd.copy())

    parts = []  # (frame, class, boxes, score)
    for found, spread, high, low, wrong in ((0.85, 0.04, 4, 2, 0.05), (0.7, 0.12, 2, 5, 0.15), (0.6, 0.2, 1, 8, 0.3)):
        which = np.flatnonzero(rng.random(len(frame)) < found)
        near = boxes[which] + rng.normal(0, spread, (len(which), 4)) * np.tile(size[which], 2)
        guess = rng.choice(n_classes, len(which), p=popularity)
        named = np.where(rng.random(len(which)) < wrong, guess, kind[which])
        parts.append((frame[which], named, near, rng.beta(high, low, len(which))))
    n_near = np.bincount(np.concatenate([part[0] for part in parts]), minlength=n_images)
    alarm = np.repeat(np.arange(n_images), np.maximum(n_detections - n_near, 0))
    guess = rng.choice(n_classes, len(alarm), p=popularity)
    named = np.where(rng.random(len(alarm)) < 0.3, main[alarm], guess)
    parts.append((alarm, named, _boxes(rng, len(alarm)), rng.beta(1, 12, len(alarm))))

    frames, kinds, found_boxes, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-scores, frames))
    first = np.searchsorted(frames[order], np.arange(n_images))
    order = order[np.arange(len(order)) - first[frames[order]] < n_detections]
    found_boxes = found_boxes.round(2)
    found_boxes[:, 2:] = np.maximum(found_boxes[:, 2:], found_boxes[:, :2] + 1)
    areas = (found_boxes[:, 2:] - found_boxes[:, :2]).prod(axis=1)
    detections = Detections(frames, kinds, found_boxes, scores.round(4), areas).take(order)
    return Cell(truth, detections, n_images, n_classes)


def _boxes(rng: np.random.Generator, n: int) -> Floats:
    """(n, 4) boxes inside the image, their sides log-normal about 60 px."""
    most = np.array([WIDTH_PX, HEIGHT_PX]) * 0.9
    side = np.exp(rng.normal(np.log(60), 0.9, (n, 1)) + rng.normal(0, 0.3, (n, 2))).clip(4, most)
    corner = rng.random((n, 2)) * (np.array([WIDTH_PX, HEIGHT_PX]) - side)
    return np.hstack([corner, corner + side]).round(2)


def slices(n_frames: int, *, n_attributes: int = 10, n_values: int = 3, seed: int = 0) -> list[Bools]:
    """Masks of frames, one for each value of each attribute; masks of different attributes overlap."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, n_values, (n_attributes, n_frames))
    return [attribute == value for attribute in values for value in range(n_values)]


def clip(n_frames: int, *, n_objects: int = 40, seed: int = 0) -> list[tracking.Moment]:
    """A video in which so many objects move at once, and a tracker's output on it.

    An object is replaced by a new one after 200 frames. Of its boxes one in ten is missed, and its track gets a new id
    about once in 500 frames or swaps ids with another; four false tracks at a time last 20 frames.
    """
    rng = np.random.default_rng(seed)
    side = np.exp(rng.normal(np.log(70), 0.4, (n_objects, 2)))
    centre = rng.random((n_objects, 2)) * [2 * WIDTH_PX, 2 * HEIGHT_PX]
    speed = rng.normal(0, 3, (n_objects, 2))
    born = rng.integers(0, 200, n_objects)
    object_id = np.arange(n_objects)
    track_id = np.arange(n_objects)
    next_object, next_track = n_objects, n_objects
    false_boxes, false_id = _boxes(rng, 4) * 2, np.zeros(4, dtype=np.int64)
    moments = []
    for t in range(n_frames):
        centre = (centre + speed + rng.normal(0, 0.5, centre.shape)) % [2 * WIDTH_PX, 2 * HEIGHT_PX]
        for place in np.flatnonzero((t + born) % 200 == 199):
            object_id[place], track_id[place] = next_object, next_track
            next_object, next_track = next_object + 1, next_track + 1
        for place in np.flatnonzero(rng.random(n_objects) < 0.002):
            other = int(rng.integers(0, n_objects))
            if rng.random() < 0.5:
                track_id[place], track_id[other] = track_id[other], track_id[place]
            else:
                track_id[place], next_track = next_track, next_track + 1
        if t % 20 == 0:
            false_boxes = _boxes(rng, 4) * 2
            false_id, next_track = next_track + np.arange(4), next_track + 4
        truth = np.hstack([centre - side / 2, centre + side / 2])
        seen = np.flatnonzero(rng.random(n_objects) < 0.9)
        drawn = truth[seen] + rng.normal(0, 0.05, (len(seen), 4)) * np.tile(side[seen], 2)
        drawn[:, 2:] = np.maximum(drawn[:, 2:], drawn[:, :2] + 1)
        tracks = np.vstack([drawn, false_boxes])
        ids = np.concatenate([track_id[seen], false_id])
        moments.append(
            tracking.Moment(object_id.copy(), ids, _none(n_objects), _none(len(ids)), tracking.overlaps(truth, tracks))
        )
    return moments


def _none(n: int) -> Ints:
    """One class for all."""
    return np.zeros(n, dtype=np.int64)
