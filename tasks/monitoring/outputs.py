"""What a model says of frames, as figures that need no truth, over windows of clips.

The same function describes the clean frames of the validated run and new footage, so that the two compare. None of the
figures is an accuracy: a model may be sure and wrong, and a street may be empty.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.metrics.instances import Floats, Ints, mask_areas
from tasks.monitoring import continuity, windows
from tasks.monitoring.continuity import Boxes, Timeline, ratio

SHOWN_SCORE: Final = 0.1
"""Boxes that score less are no output that anything acts on: trackers are given none of them (ByteTrack's own floor).
Detectors keep them for the precision-recall curve alone."""


class Wording(NamedTuple):
    """How a feature is called, its unit, and what it is in a sentence."""

    label: str
    unit: str
    text: str


FEATURES: Final[Mapping[str, Wording]] = {
    "boxes_per_frame": Wording("Boxes a frame", "boxes", "Mean number of boxes in a frame."),
    "empty_share": Wording("Empty frames", "share", "Share of frames without a box."),
    "confidence_mean": Wording("Mean confidence", "score", "Mean score of boxes."),
    "confidence_p10": Wording("Low confidences", "score", "The score that a tenth of the boxes stay below."),
    "confidence_p50": Wording("Median confidence", "score", "The median score of boxes."),
    "confidence_p90": Wording("High confidences", "score", "The score that a tenth of the boxes exceed."),
    "below_act_share": Wording("Below act", "share", "Share of boxes that the policy does not let anybody act on."),
    "class_share": Wording("Share of boxes", "share", "Share of boxes that are of the class."),
    "box_area_share": Wording("Box area", "share of frame", "Mean area of a box."),
    "mask_area_share": Wording("Mask area", "share of frame", "Mean area of an instance's mask."),
    "tracks_per_frame": Wording("Tracks a frame", "tracks", "Mean number of tracks in a frame."),
    "track_end_rate": Wording(
        "Track ends", "1/s", "How often a second a track that is there ends for good; its inverse is the mean life."
    ),
    "track_gap_rate": Wording(
        "Track gaps", "1/s", "Fragmentation: how often a second a track that is there breaks off, to come back later."
    ),
    "class_switch_rate": Wording("Class switches", "1/s", "How often a second a track changes its class."),
    "flicker_share": Wording(
        "Flicker", "share", "Share of boxes, there in the frames before and after, that the frame in between lacks."
    ),
    "pixel_share": Wording("Share of pixels", "share", "Share of pixels that are of the class."),
    "pixel_change_share": Wording("Pixel changes", "share", "Share of pixels whose class the next frame changes."),
    "label_share": Wording("Share of frames", "share", "Share of frames whose most probable label it is."),
    "entropy": Wording("Entropy", "share", "Mean entropy of the labels' probabilities, of the greatest possible."),
    "top_probability": Wording("Top probability", "share", "Mean probability of the most probable label."),
    "label_switch_rate": Wording("Label switches", "1/s", "How often a second the most probable label changes."),
}
"""By name; those that end in `_share:` and a class's name are explained by what comes before the colon."""

SHARES: Final = ("class_share", "pixel_share", "label_share")
"""Features that there is one of for each class: `class_share:car`."""


def explain(feature: str) -> Wording:
    """A feature's name for people, its unit and its meaning; of an unknown one the name alone.

    Examples:
        >>> explain("class_share:car").label
        'Share of boxes: car'
    """
    name, _, of = feature.partition(":")
    found = FEATURES.get(name, Wording(name.replace("_", " ").capitalize(), "", ""))
    return found._replace(label=f"{found.label}: {of}") if of else found


def describe(
    predictions: pd.DataFrame,
    frames: pd.DataFrame,
    *,
    window_s: float,
    names: Mapping[str, Any],
    act: Mapping[int, float | None] | None = None,
    shown: float = SHOWN_SCORE,
    tracked: bool | None = None,
) -> pd.DataFrame:
    """FEATURES of a model's output by window, those that the model has output for.

    Args:
        predictions: table `predictions`; rows of frames that are not among `frames` are left out.
        frames: table `frames`, every frame that the model saw, in order within each clip; the attribute `camera` is
            optional.
        window_s: as in `windows.cut`; with 0, a frame by itself, nothing is said of what happens between frames.
        names: the model's own classes by id, of `object`, `semantic` and `label`: its entry of models.json.
        act: by the model's object class id the least score that may be acted on; a class without one is never acted on.
            None or empty: no `below_act_share`.
        shown: boxes from this score on count; tracks count whatever their boxes score.
        tracked: whether a tracker ran; None: it did when a box has a track.

    Returns:
        `windows.COLUMNS`. A class that never comes has no share here: it is 0 where another class of its kind has one.

    Raises:
        InputError: probabilities or label maps that do not fit the model's classes.
    """
    frames = frames.reset_index(drop=True)
    found = windows.cut(frames, window_s)
    time = Timeline.of(found, windows.times(frames))
    place = pd.Index(frames["frame_id"]).get_indexer(pd.Index(predictions["frame_id"]))
    predictions, place = predictions[place >= 0], place[place >= 0].astype(np.int64)
    own = {kind: {int(key): str(name) for key, name in names.get(kind, {}).items()} for kind in _KINDS}
    values: dict[str, Floats] = {}
    if own["object"]:
        boxes = Boxes.of(predictions, place)
        area_px2 = (frames["width_px"].to_numpy(np.float64) * frames["height_px"].to_numpy(np.float64))[boxes.frame]
        seen = boxes.score >= shown
        values |= _of_boxes(boxes.select(seen), area_px2[seen], time, own["object"], act or {})
        instance = predictions["class_id"].notna().to_numpy(bool)
        values |= _of_masks(predictions["mask"].to_numpy()[instance][seen], boxes.frame[seen], frames, time)
        with_tracks = predictions["track_id"].notna().to_numpy(bool)[instance]
        if with_tracks.any() if tracked is None else tracked:
            tracks = predictions["track_id"].to_numpy(np.int64, na_value=0)[instance][with_tracks]
            values |= continuity.of_tracks(boxes.select(with_tracks), tracks, time)
        if window_s:
            values["flicker_share"] = continuity.flicker(boxes.select(seen), time)
    if own["semantic"]:
        values |= _of_label_maps(predictions["label_map"], place, time, own["semantic"])
    if own["label"]:
        values |= _of_probabilities(predictions["probabilities"], place, time, own["label"])
    if not window_s:
        values = {name: column for name, column in values.items() if not name.endswith(("_rate", "_change_share"))}
    return windows.table(found, windows.cameras(frames, found), values)


_KINDS: Final = ("object", "semantic", "label")


def act_scores(policy: Mapping[str, Any], model: str, classes: Mapping[int, str | None]) -> dict[int, float | None]:
    """By the model's own object class the least score that policy.json lets anybody act on.

    Args:
        policy: the document.
        model: its name there.
        classes: own class id -> the data set's name of the class; None for one that counts for nothing.

    Returns:
        None for classes that are never acted on; empty where the policy has no thresholds for the model.
    """
    entry = policy.get("models", {}).get(model, {})
    if entry.get("status") != "ok":
        return {}
    scores = {name: levels["act"]["score"] for name, levels in entry["thresholds"].items()}
    return {key: None if name is None else scores.get(name) for key, name in classes.items()}


def _of_boxes(
    boxes: Boxes, frame_px2: Floats, time: Timeline, names: Mapping[int, str], act: Mapping[int, float | None]
) -> dict[str, Floats]:
    """How many, how sure, of which classes and how large; `frame_px2` (N,) is the area of each box's frame."""
    window, n_windows = time.window[boxes.frame], time.n_windows
    per_window = np.bincount(time.window, minlength=n_windows)
    per_frame = np.bincount(boxes.frame, minlength=len(time.window))

    def mean(values: npt.NDArray[Any]) -> Floats:
        return ratio(np.bincount(window, values, minlength=n_windows), np.bincount(window, minlength=n_windows))

    sides = (boxes.box[:, 2:] - boxes.box[:, :2]).clip(0)
    found: dict[str, Floats] = {
        "boxes_per_frame": ratio(np.bincount(window, minlength=n_windows), per_window),
        "empty_share": ratio(np.bincount(time.window, per_frame == 0, minlength=n_windows), per_window),
        "confidence_mean": mean(boxes.score),
        "box_area_share": mean(sides[:, 0] * sides[:, 1] / frame_px2),
    }
    by_window = pd.Series(boxes.score).groupby(window)
    for percent in (10, 50, 90):
        column = by_window.quantile(percent / 100).reindex(range(n_windows))
        found[f"confidence_p{percent}"] = np.asarray(column, dtype=np.float64)
    if act:
        limits = {key: np.inf if (score := act.get(key)) is None else score for key in np.unique(boxes.kind).tolist()}
        found["below_act_share"] = mean(boxes.score < np.array([limits[key] for key in boxes.kind.tolist()], float))
    names_of = np.array([names.get(key, str(key)) for key in boxes.kind.tolist()], dtype=object)
    return found | {f"class_share:{name}": mean(names_of == name) for name in sorted(set(names_of.tolist()))}


def _of_masks(masks: npt.NDArray[np.object_], frame: Ints, frames: pd.DataFrame, time: Timeline) -> dict[str, Floats]:
    there = np.flatnonzero(pd.notna(masks))
    if not len(there):
        return {}
    sizes = frames[["height_px", "width_px"]].to_numpy(np.int64)[frame[there]]
    areas = mask_areas([{"size": size, "counts": masks[row]} for size, row in zip(sizes.tolist(), there, strict=True)])
    window = time.window[frame[there]]
    share = np.bincount(window, areas / sizes.prod(axis=1), minlength=time.n_windows)
    return {"mask_area_share": ratio(share, np.bincount(window, minlength=time.n_windows))}


def _of_label_maps(maps: pd.Series, place: Ints, time: Timeline, names: Mapping[int, str]) -> dict[str, Floats]:
    shares, seen = np.zeros((time.n_windows, 256)), np.zeros(time.n_windows)
    changed, compared = np.zeros(time.n_windows), np.zeros(time.n_windows)
    before: tuple[int, npt.NDArray[np.uint8]] | None = None
    rows = np.flatnonzero(maps.notna())
    for row in rows[np.argsort(place[rows], kind="stable")]:
        frame, label_map = int(place[row]), tables.decode_label_map(maps.iloc[int(row)])
        window = time.window[frame]
        shares[window] += np.bincount(label_map.ravel(), minlength=256) / label_map.size
        seen[window] += 1
        if before is not None and time.follows[frame] and before[0] == frame - 1 and before[1].shape == label_map.shape:
            changed[window] += (before[1] != label_map).mean()
            compared[window] += 1
        before = frame, label_map
    unknown = sorted(set(np.flatnonzero(shares.any(axis=0)).tolist()) - set(names) - {tables.IGNORE})
    if unknown:
        raise InputError(f"Label maps hold the class id(s) {unknown[:5]}, which the model does not declare.")
    found = {f"pixel_share:{name}": ratio(shares[:, key], seen) for key, name in names.items() if shares[:, key].any()}
    return found | {"pixel_change_share": ratio(changed, compared)}


def _of_probabilities(column: pd.Series, place: Ints, time: Timeline, names: Mapping[int, str]) -> dict[str, Floats]:
    rows = np.flatnonzero(column.notna())
    rows = rows[np.argsort(place[rows], kind="stable")]
    given = [np.asarray(column.iloc[int(row)], dtype=np.float64) for row in rows]
    if any(len(one) != len(names) for one in given):
        raise InputError(f"Expected {len(names)} probabilities a frame, as many as the model has labels.")
    share, frame = np.stack(given) if given else np.zeros((0, len(names))), place[rows]
    window, n_windows = time.window[frame], time.n_windows
    seen = np.bincount(window, minlength=n_windows)
    top, texts = share.argmax(axis=1), [names[key] for key in sorted(names)]
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    spread = -(share * logs).sum(axis=1) / max(np.log(len(names)), np.finfo(float).tiny)
    found = {
        f"label_share:{name}": ratio(np.bincount(window, top == at, minlength=n_windows), seen)
        for at, name in enumerate(texts)
        if (top == at).any()
    }
    found["entropy"] = ratio(np.bincount(window, spread, minlength=n_windows), seen)
    found["top_probability"] = ratio(np.bincount(window, share.max(axis=1), minlength=n_windows), seen)
    after = np.flatnonzero((np.diff(frame) == 1) & time.follows[frame[1:]]) + 1 if len(frame) else np.zeros(0, np.int64)
    switched = np.bincount(window[after], top[after] != top[after - 1], minlength=n_windows)
    spent = np.bincount(window[after], time.step_s[frame[after] - 1], minlength=n_windows)
    return found | {"label_switch_rate": ratio(switched, spent)}
