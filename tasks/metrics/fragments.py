"""Merged and split objects: instances of a mask model, or connected regions of a label map.

After Hoover et al., An experimental comparison of range image segmentation algorithms (PAMI 1996), with their tolerance
at one half, the lower end of what they allow:

- An object is merged when one prediction of its class covers at least half of it and at least half of another object
  of the class. Theirs must also consist of such objects by half; a mask that swells as the picture gets worse would
  then no longer count as merging what it swallows.
- An object is split when no prediction of its class covers half of it, but two or more that each lie inside it by at
  least half together do. With a prediction that covers half the object is found or merged, and further ones are
  duplicates, which TIDE's kinds count: so no object is both merged and split.

A model that finds nothing merges and splits nothing: read both beside recall. What is ignored or too small takes no
part. Of label maps an object is an 8-connected region of one class: touching objects of a class are one in truth too,
and one that is cut in two by what stands before it is two. That means little of sky or road: classes count at least
half of whose pixels lie in boxes of annotated objects, or all where no class does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks import tables
from tasks.metrics.instances import Bools, Detections, Floats, Ints, Truth, join, mask_areas, mask_iou
from tasks.metrics.resampling import Replicates, Resampler
from tasks.metrics.study import Values
from tasks.metrics.truth import GroundTruth

LEAST_AREA_PX: Final = 16
"""Regions of fewer pixels are left out: one cell of an output at a quarter of the frame's size, the finest that
segmentation networks usually give."""

MOST_RUNS: Final = 1 << 18
"""How many runs of pixels are held at once, some 50 MB with what is made of them."""

METRICS: Final = ("merged", "split")


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Objects, predictions, and which of one frame and class share how many pixels.

    Attributes:
        frame, kind: (T,) of each object.
        area_px2: (T,) of each object.
        predicted_px2: (P,) area of each prediction.
        row, column, shared_px2: (N,) pairs that overlap: prediction, object, and by how much.
    """

    frame: Ints
    kind: Ints
    area_px2: Floats
    predicted_px2: Floats
    row: Ints
    column: Ints
    shared_px2: Floats


@dataclass(frozen=True, eq=False)
class Counts:
    """Objects by frame and class, (n_frames, n_classes) each: all, those merged, those split."""

    objects: Ints
    merged: Ints
    split: Ints

    @property
    def parts(self) -> tuple[Ints, Ints, Ints]:
        """The three in that order."""
        return self.objects, self.merged, self.split


def judge(found: Overlaps, union_px2: Callable[[int, Ints], float] | None = None) -> tuple[Bools, Bools]:
    """(T,) whether each object is merged, and whether it is split.

    Args:
        found: what overlaps.
        union_px2: how much of an object some predictions cover together, for predictions that may overlap each other;
            without it their shares are added up.
    """
    n_objects, row, column, shared = len(found.area_px2), found.row, found.column, found.shared_px2
    covers = 2 * shared >= found.area_px2[column]
    inside = 2 * shared >= found.predicted_px2[row]
    swallowed = np.bincount(row[covers], minlength=len(found.predicted_px2))
    merged, covered = np.zeros(n_objects, dtype=bool), np.zeros(n_objects, dtype=bool)
    merged[column[covers & (swallowed[row] >= 2)]] = True
    covered[column[covers]] = True
    pieces = np.bincount(column[inside], minlength=n_objects)
    together = np.bincount(column[inside], shared[inside], minlength=n_objects)
    split: Bools = ~covered & (pieces >= 2) & (2 * together >= found.area_px2)
    if union_px2 is not None:
        for place in np.flatnonzero(split):
            rows = row[inside & (column == place)]
            split[place] = 2 * union_px2(int(place), rows) >= found.area_px2[place]
    return merged, split


def count(
    found: Overlaps, n_frames: int, n_classes: int, union_px2: Callable[[int, Ints], float] | None = None
) -> Counts:
    """`judge`, added up by frame and class."""
    merged, split = judge(found, union_px2)
    counts = [np.zeros((n_frames, n_classes), dtype=np.int64) for _ in range(3)]
    for total, chosen in zip(counts, (np.ones(len(merged), dtype=bool), merged, split), strict=True):
        np.add.at(total, (found.frame[chosen], found.kind[chosen]), 1)
    return Counts(*counts)


def of_masks(truth: Truth, detections: Detections, threshold: float, n_frames: int, n_classes: int) -> Counts:
    """Instances from a score on, by overlaps of masks.

    Args:
        truth: with masks; ignored objects take no part.
        detections: with masks, sized by them.
        threshold: the operating threshold.
        n_frames: scored.
        n_classes: of the data set.
    """
    if truth.masks is None or detections.masks is None:
        raise ValueError("expected masks on both sides")
    given = detections.take(detections.score >= threshold)
    own = given.masks or []
    # Overlap with a crowd is measured against the prediction alone (pycocotools' iou): that share, of all objects.
    alone = replace(truth, crowd=np.ones(len(truth), dtype=bool))
    row, column = join(given.kind * (1 << 40) + given.frame, truth.kind * (1 << 40) + truth.frame)
    counted = ~truth.ignored[column]
    row, column = row[counted], column[counted]
    shared = np.rint(mask_iou(given, alone, row, column) * given.area_px2[row])
    places = np.flatnonzero(~truth.ignored)
    back = np.zeros(len(truth), dtype=np.int64)
    back[places] = np.arange(len(places))
    masks = [truth.masks[int(place)] for place in places]
    some = shared > 0
    found = Overlaps(
        truth.frame[places],
        truth.kind[places],
        mask_areas(masks),
        given.area_px2,
        row[some],
        back[column[some]],
        shared[some],
    )

    def union_px2(place: int, rows: Ints) -> float:
        from pycocotools import mask as coco_mask

        whole = coco_mask.merge([own[int(other)] for other in rows])
        return float(np.rint(coco_mask.iou([whole], [masks[place]], [1])[0, 0] * coco_mask.area(whole)))

    return count(found, n_frames, n_classes, union_px2)


class Regions:
    """Gathers the regions of label maps frame by frame, as runs of pixels of one class along a row.

    There are few of those, and what touches what, in all classes and many frames at once, is a search in sorted
    numbers. Run positions count along rows standing end to end, each and each frame with a gap behind it.
    """

    def __init__(self, n_frames: int, n_classes: int, kinds: Sequence[int]) -> None:
        """For `n_frames` maps of `n_classes` classes; `kinds`: the positions of those that count."""
        self._counted = np.zeros(256, dtype=bool)
        self._counted[list(kinds)] = True
        self._counts = Counts(*(np.zeros((n_frames, n_classes), dtype=np.int64) for _ in range(3)))
        self._runs: tuple[list[Ints], list[Ints]] = ([], [])
        self._position = self._held = 0

    def put(self, frame: int, truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], ignored: int) -> None:
        """Enter a frame's maps, (H, W) positions of classes; what truth ignores is in no region."""
        height, width = truth.shape
        valid = truth != ignored
        if not valid.all():
            predicted = np.where(valid, predicted, np.uint8(ignored))
        for runs, places in zip(self._runs, (truth, predicted), strict=True):
            flat = places.reshape(-1)
            breaks = flat[1:] != flat[:-1]
            breaks[width - 1 :: width] = True
            start = np.r_[0, np.flatnonzero(breaks) + 1]
            kind = flat[start]
            chosen = np.flatnonzero(self._counted[kind] & (kind != ignored))
            length = np.diff(start, append=len(flat))[chosen]
            at = self._position + start[chosen] + start[chosen] // width
            same = np.ones(len(at), dtype=np.int64)
            runs.append(np.stack([at, at + length, kind[chosen], frame * same, (width + 1) * same]))
            self._held += len(at)
        self._position += (height + 1) * (width + 1)
        if self._held > MOST_RUNS:
            self._reduce()

    def counts(self) -> Counts:
        """What was entered."""
        self._reduce()
        return self._counts

    def _reduce(self) -> None:
        """Runs to counts, so that memory holds those of some frames alone."""
        true, read = (np.hstack([np.zeros((5, 0), dtype=np.int64), *runs]) for runs in self._runs)
        (column, area), (row, predicted_area) = _regions(true), _regions(read)
        n_frames, n_classes = self._counts.objects.shape
        i, j = _pairs(true[0] + 1, true[1] - 1, read[0], read[1])
        some = true[2, i] == read[2, j]
        i, j = i[some], j[some]
        lengths = np.minimum(true[1, i], read[1, j]) - np.maximum(true[0, i], read[0, j])
        keys, back = np.unique(column[i] * np.int64(len(predicted_area)) + row[j], return_inverse=True)
        shared: Floats = np.bincount(back, lengths, minlength=len(keys)).astype(np.float64)
        columns, rows = np.divmod(keys, max(len(predicted_area), 1))
        large = area >= LEAST_AREA_PX
        first = np.unique(column, return_index=True)[1]  # a run of each region
        some = large[columns] & (predicted_area[rows] >= LEAST_AREA_PX)
        found = Overlaps(
            true[3, first][large],
            true[2, first][large],
            area[large],
            predicted_area,
            rows[some],
            (np.cumsum(large) - 1)[columns[some]],
            shared[some],
        )
        counted = count(found, n_frames, n_classes)
        for total, part in zip(self._counts.parts, counted.parts, strict=True):
            total += part
        self._runs, self._held = ([], []), 0


def _regions(runs: Ints) -> tuple[Ints, Floats]:
    """The number of each run's region, and each region's area; runs (5, R) as `Regions` keeps them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    start, end, kind, _, stride = runs
    i, j = _pairs(start + stride, end + stride, start, end)  # runs a row below, corners included
    same = kind[i] == kind[j]
    size = len(start)
    touching = coo_array((np.ones(int(same.sum()), dtype=bool), (i[same], j[same])), shape=(size, size))
    n_regions, labels = connected_components(touching, directed=False) if size else (0, np.zeros(0))
    number: Ints = np.asarray(labels, dtype=np.int64)
    area: Floats = np.bincount(number, end - start, minlength=n_regions).astype(np.float64)
    return number, area


def _pairs(low: Ints, high: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Places (i, j) of every pair with start[j] <= high[i] and end[j] >= low[i]; all four rise."""
    first = np.searchsorted(end, low, side="left")
    counts = np.maximum(np.searchsorted(start, high, side="right") - first, 0)
    i = np.repeat(np.arange(len(low)), counts)
    j = first[i] + np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return i.astype(np.int64), j.astype(np.int64)


@lru_cache(maxsize=1)
def countable(truth: GroundTruth) -> tuple[int, ...]:
    """Positions of the semantic classes at least half of whose pixels lie in boxes of objects; all where none do."""
    ends = np.searchsorted(truth.objects.frame, np.arange(len(truth.frame_ids) + 1))
    boxes = np.round(truth.objects.boxes).astype(np.int64).clip(0)
    places = list(truth.positions("semantic"))
    inside = np.zeros(256, dtype=np.int64)
    for frame, data in truth.semantic.items():
        label_map = tables.decode_label_map(data)
        covered = np.zeros(label_map.shape, dtype=bool)
        for x0, y0, x1, y1 in boxes[ends[frame] : ends[frame + 1]]:
            covered[y0:y1, x0:x1] = True
        inside += np.bincount(label_map[covered], minlength=256)
    pixels = truth.semantic_pixels.sum(axis=0)
    found = np.flatnonzero((pixels > 0) & (2 * inside[places] >= pixels))
    return tuple(int(place) for place in (found if len(found) else range(len(places))))


def put(values: Values, counts: Counts, names: Sequence[str], resampler: Resampler, prefix: str = "") -> None:
    """Enter `merged` and `split`, of all classes together and of each: shares of its objects, where it has any."""
    again_by_name = resampled(counts, resampler)
    for kind, name in ((None, tables.ALL), *enumerate(names)):
        points = figures(counts, kind=kind)
        again = {metric: rows[:, 0 if kind is None else 1 + kind] for metric, rows in again_by_name.items()}
        values.put(
            tables.ALL,
            name,
            {prefix + metric: value for metric, value in points.items()},
            {prefix + metric: rows for metric, rows in again.items()},
        )


def figures(counts: Counts, *, kind: int | None = None) -> dict[str, float]:
    """The shares `merged` and `split` of the objects of all classes together, or of one class; NaN without any."""
    chosen = slice(None) if kind is None else slice(kind, kind + 1)
    objects, merged, split = (int(part[:, chosen].sum()) for part in counts.parts)
    return {
        name: part / objects if objects else float("nan") for name, part in zip(METRICS, (merged, split), strict=True)
    }


def resampled(counts: Counts, resampler: Resampler) -> dict[str, Replicates]:
    """`figures` in every resample, (resamples, 1 + n_classes): of all classes together, then of each."""
    by_unit = np.stack([resampler.by_unit(part) for part in counts.parts], axis=1)
    whole = by_unit.sum(axis=2, keepdims=True)
    objects, merged, split = np.moveaxis(resampler.sums(np.concatenate([whole, by_unit], axis=2)), 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: (part / objects).astype(np.float32) for name, part in zip(METRICS, (merged, split), strict=True)}
