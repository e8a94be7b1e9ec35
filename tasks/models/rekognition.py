"""The adapter of Amazon Rekognition Custom Labels: `weights` is the ARN of a project version, which runs at AWS.

Each frame is one call of DetectCustomLabels with the picture's bytes. What the service takes
(https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/limits.html, "Detection"): PNG or JPEG of at most 4 MB,
sides of 64 to 4096 px, up to 20:1. A frame goes as PNG, which loses nothing; as JPEG where that is too big; and resized
where its sides or bytes still are. Boxes come as shares of the picture and so fit the frame at any size.

Credentials are those that boto3 finds in the environment; they are in no params, file or hash of ours.
"""

import atexit
import contextlib
import logging
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from tasks.errors import InputError, WorkFailed
from tasks.models import naming
from tasks.models.checked import checked
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Output, mark
from tasks.models.rekognition_version import LEAST_PX, Options, Version, stop_left_behind
from tasks.params import Model, ModelInput
from tasks.params.explain import explain

LOGGER = logging.getLogger(__name__)

VERSION: Final = 1

UNKNOWN: Final = "Unknown"
"""The class of a frame that a version which labels whole images gives no label."""

MOST_RATIO: Final = 20

ASIDES: Final = frozenset(Options.model_fields) - {"max_side_px", "max_bytes"}
"""The options that change nothing of what is said of a frame: how it is asked for."""

_ARN: Final = re.compile(r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/[\w.-]{1,255}/version/[\w.-]{1,255}/\d+")
_FORMS: Final = (
    ("PNG", ".png", []),
    *(("JPEG", ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]) for quality in (95, 85)),
)

_HELD: Final[dict[str, Version]] = {}
"""The versions that this process uses, by ARN, from their first use until `release`."""


def check(model: Model) -> None:
    """Refuse what is no version, and settings that the service has no place for.

    Raises:
        InputError: as the sentence says.
    """
    if model.weights is None or not _ARN.fullmatch(str(model.weights)):
        raise InputError(
            "Adapter 'rekognition' needs weights: the ARN of a project version, arn:aws:rekognition:REGION:ACCOUNT:"
            f"project/NAME/version/VERSION/NUMBER, got {'none' if model.weights is None else repr(str(model.weights))}."
        )
    if model.variant not in (None, "detection", "classification"):
        raise InputError(f"Adapter 'rekognition' has the variants detection and classification, got '{model.variant}'.")
    if not model.classes:
        raise InputError(f"Adapter 'rekognition' needs classes: the version's labels, and {UNKNOWN} for images.")
    given: list[str] = [name for name in ("decoder", "nms", "nms_iou", "nms_sigma") if name in model.model_fields_set]
    if model.input.tile is not None:  # merging tiles is ours
        given = [name for name in given if name not in ("nms", "nms_iou")]
    if model.input != ModelInput().model_copy(update={"tile": model.input.tile, "overlap": model.input.overlap}):
        given.append("input (but for tile and overlap)")
    if given:
        raise InputError(f"Adapter 'rekognition' leaves that to the service: remove {', '.join(given)}.")
    try:
        Options.model_validate(model.options)
    except ValidationError as error:
        raise InputError(f"options of 'rekognition': {explain(error.errors()[0], Options, {}).rstrip('.')}.") from None


def settle(model: Model) -> Model:
    """With the defaults of what is not given."""
    options = Options.model_validate(model.options).model_dump(exclude_none=True)
    return model.model_copy(update={"variant": model.variant or "detection", "options": options})


def describe(model: Model, weights: Path) -> Description:
    """The classes that params give; the service tells no list.

    Raises:
        InputError: those of a version that labels whole images do not end in Unknown.
    """
    names = dict(enumerate(model.classes or ()))
    none: dict[int, str] = {}
    if model.variant == "detection":
        return {"object": names, "semantic": none, "label": none, "tasks": ["detection"]}
    if len(names) < 2 or names[len(names) - 1] != UNKNOWN:
        raise InputError(
            f"classes of a version that labels whole images end in {UNKNOWN}, which is what a frame without a label is "
            f"taken for; got {', '.join(names.values())}."
        )
    return {"object": none, "semantic": none, "label": names, "tasks": ["classification"]}


def digest(model: Model, folder: Path) -> str:
    """The version's ARN, for a version never changes, and the names in the order of their ids."""
    return f"{model.weights} {', '.join(naming.resolved(model, folder=folder).classes or ())}"


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> "RekognitionModel":
    """The version; nothing is asked of the service before the first frame."""
    return RekognitionModel(model)


def ready(model: Model) -> None:
    """Start the version where params allow that, and wait until it runs. What was left behind before is stopped.

    Raises:
        InputError: it may not or cannot run, credentials or boto3 are missing.
        WorkFailed: it did not run in time.
    """
    version = _version(model)  # held from here: not left behind
    try:
        for arn in stop_left_behind():
            LOGGER.warning("Stopped %s, which a run that was killed had left running.", arn)
    except (InputError, WorkFailed) as error:
        LOGGER.warning("%s", error)
    version.ready()


def release() -> None:
    """Use none of the versions any longer; the last process to do so stops what was started.

    Raises:
        WorkFailed: one could not be stopped; the others were tried.
    """
    failed = []
    while _HELD:
        _, version = _HELD.popitem()
        try:
            version.leave()
        except WorkFailed as error:
            failed.append(str(error))
    if failed:
        raise WorkFailed(" ".join(failed))


class RekognitionModel:
    """A project version, asked one frame at a time."""

    def __init__(self, model: Model) -> None:
        """`model`: settled, with its classes as names."""
        self._model = model
        self._options = Options.model_validate(model.options)
        self._described = describe(model, Path())
        self._ids = {name: number for number, name in enumerate(model.classes or ())}
        self._version: Version | None = None
        self._jpeg_said = False
        self.tasks = frozenset(self._described["tasks"])

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """What the service says of each frame.

        Raises:
            InputError: it does not take a frame, gives a label that `classes` lacks, or as `ready`.
            WorkFailed: it is too busy, or as `ready`.
        """
        if self._version is None:
            ready(self._model)
            self._version = _version(self._model)
        return [self._one(self._version, frame, f"{at} of {len(frames)}") for at, frame in enumerate(frames, start=1)]

    def _one(self, version: Version, frame: npt.NDArray[np.uint8], place: str) -> Output:
        mark("preprocess")
        picture, form = encoded(frame, max_side_px=self._options.max_side_px, max_bytes=self._options.max_bytes)
        if form != "PNG" and not self._jpeg_said:
            self._jpeg_said = True
            LOGGER.warning("%s gets frames as JPEG where PNG is over %d bytes.", version.arn, self._options.max_bytes)
        size = f"{frame.shape[1]}x{frame.shape[0]} px"
        mark("infer")
        labels = version.detect(
            picture,
            min_confidence=round(100 * self._model.score_threshold, 4),
            what=f"frame {place} of a call, {size} sent as {form} of {len(picture)} bytes",
        )
        mark("postprocess")
        for label in labels:
            if label["Name"] not in self._ids:
                raise InputError(f"{version.arn} knows the label '{label['Name']}', which classes lacks: add it.")
            if ("Geometry" in label) != (self._model.variant == "detection"):
                other = "detection" if "Geometry" in label else "classification"
                raise InputError(f"{version.arn} gives labels as variant: {other} has them: set that.")
        ids = np.array([self._ids[label["Name"]] for label in labels], np.int64)
        scores = np.array([label["Confidence"] for label in labels], np.float64) / 100
        if self._model.variant == "classification":
            said: dict[str, Any] = {"probabilities": probabilities(ids, scores, len(self._ids))}
        else:
            said = {"boxes": _boxes(labels, frame.shape), "scores": scores, "class_ids": ids}
        return checked(said, frame.shape, self._described, who=version.arn)


def encoded(frame: npt.NDArray[np.uint8], *, max_side_px: int, max_bytes: int) -> tuple[bytes, str]:
    """The frame as the service takes it, and the form: PNG or JPEG.

    Args:
        frame: (H, W, 3) RGB.
        max_side_px: the longer side is at most that, where the shorter one has its 64 px then.
        max_bytes: of the picture.

    Raises:
        InputError: the frame is too long and narrow.
    """
    height, width = frame.shape[:2]
    shorter, longer = sorted((height, width))
    if longer > MOST_RATIO * shorter:
        raise InputError(f"Rekognition takes pictures of up to {MOST_RATIO}:1, got a frame of {width}x{height} px.")
    scale = max(min(1.0, max_side_px / longer), LEAST_PX / shorter)
    while True:
        size = (max(LEAST_PX, round(width * scale)), max(LEAST_PX, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = frame if size == (width, height) else cv2.resize(frame, size, interpolation=how)
        for form, ending, settings in _FORMS:
            data = cv2.imencode(ending, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)[1]
            if len(data) <= max_bytes:
                return data.tobytes(), form
        if scale * shorter <= LEAST_PX:
            raise InputError(f"A frame of {width}x{height} px does not go into max_bytes: {max_bytes}; raise that.")
        scale = max(0.8 * scale, LEAST_PX / shorter)


def probabilities(ids: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """The service's confidences as probabilities (count,) of all classes, Unknown last.

    Confidences are taken as they are. What they leave of 1 is shared evenly by the labels that did not come and
    Unknown, none of which gets more than the strongest label that came; only where that or confidences of more than 1
    in all call for it is the whole rescaled.

    Examples:
        >>> probabilities(np.array([0]), np.array([0.8]), 3).round(3).tolist(), probabilities(
        ...     np.array([], int), np.array([]), 3).tolist()
        ([0.8, 0.1, 0.1], [0.0, 0.0, 1.0])
    """
    found = np.zeros(count)
    if not len(ids):
        found[-1] = 1
        return found
    np.maximum.at(found, ids, scores)
    absent = ~np.isin(np.arange(count), ids)
    if absent.any():
        found[absent] = min(max(0.0, 1 - found.sum()) / absent.sum(), found.max())
    whole: npt.NDArray[np.float64] = found / found.sum()
    return whole


def _boxes(labels: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> npt.NDArray[np.float64]:
    shares = [
        [label["Geometry"]["BoundingBox"][side] for side in ("Left", "Top", "Width", "Height")] for label in labels
    ]
    xywh = np.array(shares, np.float64).reshape(-1, 4) * np.array([shape[1], shape[0]] * 2)
    return np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])


def _version(model: Model) -> Version:
    """The version as this process uses it, from here until `release` or the end of the process.

    Raises:
        InputError: another model uses it in another way: the first of them would say whether it is billed on.
    """
    options = Options.model_validate(model.options)
    arn = str(model.weights)
    if arn not in _HELD:
        version = Version(arn, options)
        version.hold()
        if not _HELD:
            _release_at_exit()
        _HELD[arn] = version
    used = _HELD[arn].options
    differing = sorted(f"options.{name}" for name in ASIDES if getattr(used, name) != getattr(options, name))
    if differing:
        raise InputError(f"{arn} is in use by another model, with another {', '.join(differing)}: give both the same.")
    return _HELD[arn]


def _release_at_exit() -> None:
    """Also where nobody calls `release`, and where the process is asked to end: that unwinds it as Ctrl-C does."""
    atexit.unregister(_released)
    atexit.register(_released)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, lambda number, _: sys.exit(128 + number))


def _released() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        try:
            release()
        except WorkFailed as error:
            LOGGER.error("%s", error)


ADAPTER: Final = Adapter(
    version=VERSION,
    check=check,
    describe=describe,
    load=load,
    settle=settle,
    digest=digest,
    asides=ASIDES,
    ready=ready,
    release=release,
)
