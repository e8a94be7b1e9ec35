"""The adapter of methods that were never trained, by OpenCV: baselines that every data set can be run against.

- `otsu`: a threshold that parts grey levels best (Otsu 1979), opening and closing, filled contours, one object for each
  connected component.
- `watershed`: the same foreground, cut where it is narrow: the cores of its distance transform are the markers.
- `grabcut`: the object in a box that params give as shares of the frame (Rother et al. 2004).
- `kmeans`: regions of like colour: k means in L*a*b*, from dark to light.

Fixed seeds: the same frame gives the same output, whatever came before it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.class_map import nearest
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Output, whole_frame
from tasks.params import Model, ModelInput

VERSION: Final = 1

FIT_ON: Final = 20_000
"""About how many pixels, on a regular grid, the means are fitted to; each pixel then goes to the nearest mean."""

Frame = npt.NDArray[np.uint8]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """An option that takes one of some words."""

    default: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """An option between two bounds, whole where its default is."""

    default: float
    low: float
    high: float


_OUTPUT: Final = Choice("instances", ("instances", "semantic"))
_FOREGROUND: Final[dict[str, Choice | Number]] = {
    "foreground": Choice("auto", ("auto", "dark", "bright")),
    "smooth_px": Number(1.5, 0.0, 50.0),
    "kernel_px": Number(5, 1, 199),
    "min_area": Number(0.0005, 0.0, 1.0),
}
_BOX: Final = (0.1, 0.1, 0.9, 0.9)

OPTIONS: Final[Mapping[str, Mapping[str, Choice | Number | tuple[float, ...]]]] = {
    "otsu": {**_FOREGROUND, "output": _OUTPUT},
    "watershed": {**_FOREGROUND, "core": Number(0.5, 0.05, 0.95), "output": _OUTPUT},
    "grabcut": {"box": _BOX, "iterations": Number(5, 1, 50), "output": _OUTPUT},
    "kmeans": {"clusters": Number(4, 2, 64), "smooth_px": Number(1.5, 0.0, 50.0)},
}
"""What each method can be told under params' `options`. `foreground`: which side of the threshold (auto: the one that
touches the frame's edge less); `smooth_px`: sigma of the blur before; `kernel_px`: diameter of opening and closing;
`min_area`: smaller components are dropped, as a share of the frame; `core`: how much of a component's greatest distance
to its edge a marker starts at; `box`: x0, y0, x1, y1 as shares of width and height."""


def check(model: Model) -> None:
    """Refuse a method or option that there is not.

    Raises:
        InputError: with the nearest that there is.
    """
    if model.variant is None or model.variant not in OPTIONS:
        given = "none" if model.variant is None else f"'{model.variant}'"
        raise InputError(f"Adapter 'classical' needs a variant, got {given}{nearest(model.variant or '', OPTIONS)}")
    if model.weights is not None:
        raise InputError(f"Adapter 'classical' takes no weights, got {model.weights}: remove the line.")
    tiles = {"tile": model.input.tile, "overlap": model.input.overlap}
    if model.decoder is not None or model.input != ModelInput().model_copy(update=tiles):
        raise InputError("Adapter 'classical' looks at frames as they are: remove decoder and input (but for tiles).")
    known = OPTIONS[model.variant]
    for name, value in model.options.items():
        if name not in known:
            raise InputError(f"options: '{model.variant}' has no '{name}'{nearest(name, known)}")
        _check_value(name, value, known[name])


def settle(model: Model) -> Model:
    """With the defaults of the options that are not given."""
    known = OPTIONS.get(model.variant or "", {})
    defaults = {name: option if isinstance(option, tuple) else option.default for name, option in known.items()}
    return model.model_copy(update={"options": {**defaults, **model.options}})


def describe(model: Model, weights: Path) -> Description:
    """One class of objects; foreground and background; or one class a cluster."""
    if model.variant == "kmeans":
        clusters = {place: f"cluster {place}" for place in range(int(_number(model, "clusters")))}
        return {"object": {}, "semantic": clusters, "label": {}, "tasks": ["semantic"]}
    if model.options["output"] == "semantic":
        return {"object": {}, "semantic": {0: "background", 1: "foreground"}, "label": {}, "tasks": ["semantic"]}
    return {"object": {0: "object"}, "semantic": {}, "label": {}, "tasks": ["detection", "instance"]}


def digest(model: Model, folder: Path) -> str:
    """There are no weights; OpenCV's version decides in their place."""
    return f"opencv {cv2.__version__}"


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> "ClassicalModel":
    """The method; it runs on the CPU, whatever the device."""
    return ClassicalModel(model)


class ClassicalModel:
    """A method and its options."""

    def __init__(self, model: Model) -> None:
        """`model`: settled."""
        self._model = model
        self._instances = _METHODS.get(str(model.variant))
        self.tasks = frozenset(describe(model, Path())["tasks"])

    def predict(self, frames: Sequence[Frame]) -> list[Output]:
        """Objects with masks and the boxes around them, the most contrasting first; or a label map."""
        return [self._predict_one(frame) for frame in frames]

    def _predict_one(self, frame: Frame) -> Output:
        options = self._model.options
        if self._instances is None:
            return whole_frame(label_map=_clusters(frame, options))
        labels = self._instances(frame, options)
        if options["output"] == "semantic":
            return whole_frame(label_map=(labels > 0).astype(np.uint8))
        count = int(labels.max(initial=0))
        scores = _contrasts(frame, labels, count)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] > self._model.score_threshold]
        return Output(
            boxes=run_length.boxes_around_regions(labels, count)[order],
            scores=scores[order],
            class_ids=np.zeros(len(order), np.int64),
            masks=run_length.encode_regions(labels, (order + 1).tolist()),
        )


def _otsu(frame: Frame, options: Options) -> npt.NDArray[np.int32]:
    return _components(_foreground(frame, options), frame.shape[:2], options)


def _watershed(frame: Frame, options: Options) -> npt.NDArray[np.int32]:
    mask = _foreground(frame, options)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    count, component = cv2.connectedComponents(mask)
    greatest = np.zeros(count, np.float32)
    np.maximum.at(greatest, component.ravel(), distance.ravel())
    core = (distance > float(options["core"]) * greatest[component]) & (mask > 0)
    n_cores, markers = cv2.connectedComponents(core.astype(np.uint8))
    # OpenCV's numbers: 0 is what is to be decided, 1 the background here, the objects follow.
    markers = np.where(mask == 0, 1, np.where(core, markers + 1, 0)).astype(np.int32)
    cut = cv2.watershed(np.ascontiguousarray(frame[:, :, ::-1]), markers)
    return _dropped_small(np.where(cut > 1, cut - 1, 0).astype(np.int32), n_cores - 1, options)


def _grabcut(frame: Frame, options: Options) -> npt.NDArray[np.int32]:
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = options["box"]
    left, top = round(x0 * width), round(y0 * height)
    inside = (left, top, max(round(x1 * width) - left, 1), max(round(y1 * height) - top, 1))
    labels = np.zeros((height, width), np.uint8)
    cv2.setRNGSeed(0)
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = np.ascontiguousarray(frame[:, :, ::-1])
        cv2.grabCut(bgr, labels, inside, *models, int(options["iterations"]), cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # without two colours to tell apart there is nothing to cut out
        return np.zeros((height, width), np.int32)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.int32)


_METHODS: Final[Mapping[str, Callable[[Frame, Options], npt.NDArray[np.int32]]]] = {
    "otsu": _otsu,
    "watershed": _watershed,
    "grabcut": _grabcut,
}
"""Those that find objects: a frame to a map (H, W) of them, 1 to N, 0 where none is."""


def _foreground(frame: Frame, options: Options) -> npt.NDArray[np.uint8]:
    """Otsu's threshold after a blur, opened, closed and with holes filled: 1 in the foreground, else 0."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if options["smooth_px"] > 0:
        grey = cv2.GaussianBlur(grey, (0, 0), float(options["smooth_px"]))
    _, mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    dark = {"dark": True, "bright": False}.get(str(options["foreground"]), float(edge.mean()) > 0.5)
    if dark:
        mask = 1 - mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(options["kernel_px"]),) * 2)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled: npt.NDArray[np.uint8] = np.zeros_like(mask)
    cv2.drawContours(filled, contours, -1, 1, thickness=cv2.FILLED)
    return filled


def _components(mask: npt.NDArray[np.uint8], shape: tuple[int, ...], options: Options) -> npt.NDArray[np.int32]:
    count, labels = cv2.connectedComponents(mask)
    return _dropped_small(labels.astype(np.int32), count - 1, options)


def _dropped_small(labels: npt.NDArray[np.int32], count: int, options: Options) -> npt.NDArray[np.int32]:
    """Without what is smaller than `min_area`, numbered without gaps."""
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    kept = areas >= max(float(options["min_area"]) * labels.size, 1)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    found: npt.NDArray[np.int32] = numbers[labels]
    return found


def _contrasts(frame: Frame, labels: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.float32]:
    """A score for each object: how far its mean grey level lies from that of what is no object, over 255."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).ravel()
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    means = np.bincount(labels.ravel(), weights=grey, minlength=count + 1) / np.maximum(areas, 1)
    if not areas[0]:
        return np.zeros(count, np.float32)
    scores: npt.NDArray[np.float32] = (np.abs(means[1:] - means[0]) / 255).astype(np.float32)
    return scores


def _clusters(frame: Frame, options: Options) -> npt.NDArray[np.uint8]:
    if options["smooth_px"] > 0:
        frame = cv2.GaussianBlur(frame, (0, 0), float(options["smooth_px"]))
    lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    count = int(options["clusters"])
    step = max(math.isqrt(lab.shape[0] * lab.shape[1] // FIT_ON), 1)
    samples = np.ascontiguousarray(lab[::step, ::step].reshape(-1, 3))
    if len(samples) < count:
        raise InputError(f"A frame of {len(samples)} pixels has fewer than options.clusters {count}.")
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 50, 0.1)
    _, _, centres = cv2.kmeans(samples, count, None, criteria, 3, cv2.KMEANS_PP_CENTERS)
    centres = centres[np.lexsort(centres.T[::-1])]  # by lightness, then a, then b
    squared = np.stack([((lab - centre) ** 2).sum(axis=2) for centre in centres])
    found: npt.NDArray[np.uint8] = squared.argmin(axis=0).astype(np.uint8)
    return found


def _number(model: Model, name: str) -> float:
    value = model.options[name]
    assert isinstance(value, int | float)
    return value


def _check_value(name: str, value: object, option: Choice | Number | tuple[float, ...]) -> None:
    if isinstance(option, Choice):
        if value not in option.words:
            raise InputError(f"options.{name}: expected {' or '.join(option.words)}, got {value!r}.")
    elif isinstance(option, Number):
        whole = isinstance(option.default, int)
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not fits or not option.low <= value <= option.high:  # type: ignore[operator]
            kind = "a whole number" if whole else "a number"
            raise InputError(f"options.{name}: expected {kind} from {option.low:g} to {option.high:g}, got {value!r}.")
    elif not (
        isinstance(value, tuple)
        and len(value) == 4
        and 0 <= value[0] < value[2] <= 1
        and 0 <= value[1] < value[3] <= 1
        and (value[2] - value[0]) * (value[3] - value[1]) < 1
    ):
        raise InputError(
            f"options.{name}: expected [x0, y0, x1, y1] as shares of the frame, 0 <= x0 < x1 <= 1, and not all of it, "
            f"got {value!r}."
        )


ADAPTER: Final = Adapter(version=VERSION, check=check, describe=describe, load=load, settle=settle, digest=digest)
