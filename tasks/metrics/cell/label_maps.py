"""Semantic segmentation of one cell."""

import cv2
import numpy as np

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import boundaries, examples, fragments, segmentation
from tasks.metrics.cell.measured import Measured, confusion_rows
from tasks.metrics.plan import slices_of
from tasks.metrics.predictions import CellPredictions, ModelFacts, label_maps
from tasks.metrics.study import Study, Values


def measure(found: CellPredictions, model: ModelFacts, study: Study) -> Measured:
    """Semantic segmentation, at the frames' own size.

    Raises:
        InputError: a frame that has truth has no label map, or one of another size.
    """
    truth = study.truth
    names, places = truth.names("semantic"), truth.positions("semantic")
    n_classes, mapping = len(names), model.maps["semantic"].mapping
    own = {source: places[target] for source, target in mapping.items() if target is not None}
    truth_positions = segmentation.lookup(places, n_classes)
    predicted_positions = segmentation.lookup(own, n_classes)
    true_table, read_table = truth_positions.astype(np.uint8), predicted_positions.astype(np.uint8)
    counts = segmentation.Counts.empty(len(truth.frame_ids), n_classes)
    edges = boundaries.Counts.empty(len(truth.frame_ids), n_classes)
    regions = fragments.Regions(len(truth.frame_ids), n_classes, fragments.countable(truth))
    confusions = examples.Confusions(names)
    total = np.zeros((n_classes, n_classes + 1), dtype=np.int64)
    seen = set()
    for file in found.files:
        for frame, predicted in label_maps(file, truth):
            if frame not in truth.semantic:
                continue
            true = tables.decode_label_map(truth.semantic[frame])
            if true.shape != predicted.shape:
                raise InputError(
                    f"{file}: the label map of frame {truth.frame_ids[frame]} is {predicted.shape}, its truth "
                    f"{true.shape} (height, width): a model's maps come at the frame's size."
                )
            pixels = segmentation.confusion(
                true,
                predicted,
                truth_positions=truth_positions,
                predicted_positions=predicted_positions,
                n_classes=n_classes,
            )
            counts.put(frame, pixels)
            true_places, read_places = cv2.LUT(true, true_table), cv2.LUT(predicted, read_table)
            radius_px = boundaries.tolerance_px(*true.shape)
            edges.put(frame, boundaries.count(true_places, read_places, n_classes, radius_px))
            regions.put(frame, true_places, read_places, n_classes)
            confusions.put(frame, pixels)
            total += pixels
            seen.add(frame)
    missing = truth.semantic.keys() - seen
    if missing:
        raise InputError(
            f"{found.files[0].parent}: no label map for frame {truth.frame_ids[min(missing)]}: "
            "run `stormglass infer` again."
        )
    values = Values()
    for item in slices_of("semantic", truth, once=True):
        together, by_class = segmentation.resampled(counts, study.resampler, item.frames)
        for kind in (None, *range(n_classes)):
            points = segmentation.figures(counts, item.frames, kind=kind)
            name, resampled = (tables.ALL, together) if kind is None else (names[kind], by_class[kind])
            values.put(item.name, name, points, resampled)
    values.share(truth.twins)
    outlines, by_class = boundaries.resampled(edges, study.resampler)
    for kind, name in ((None, tables.ALL), *enumerate(names)):
        points = boundaries.figures(edges, kind=kind)
        values.put(tables.ALL, name, points, outlines if kind is None else by_class[kind])
    fragments.put(values, regions.counts(), names, study.resampler)
    rows = {"confusion": confusion_rows(total, [*names, tables.NO_CLASS])}
    return Measured(values, examples.of_semantic(counts, confusions), rows)
