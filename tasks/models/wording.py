"""What becomes of a frame in a model and of its output, in one sentence for people."""

from typing import Final

from tasks.models import settle
from tasks.models.outputs import Description
from tasks.params import Model, ModelInput

_AS_GIVEN: Final = ("python", "recorded", "rekognition")
"""Adapters that take boxes as they come."""

_RESIZES: Final = {
    "stretch": "stretched to {width}x{height} px",
    "letterbox": "letterboxed in the centre of {width}x{height} px, padded with {pad}",
    "letterbox_top_left": "letterboxed at the top left of {width}x{height} px, padded with {pad}",
}

_SUPPRESSIONS: Final = {"class_wise": "class-wise", "agnostic": "class-agnostic", "soft": "soft"}


def settings(model: Model, described: Description) -> str:
    """The adapter, how frames are prepared and what is kept of the output, as settled: all that has an effect.

    Args:
        model: Its params.
        described: What it does, and how its own files have frames prepared, where they say (`tasks`, `frames`).

    Example:
        >>> given = Model(adapter="classical", variant="kmeans", options={"clusters": 3})
        >>> settings(given, {"tasks": ["semantic"]})
        'classical kmeans (clusters 3, smooth_px 1.5); frames as they are'
    """
    ready = settle(model)
    options = ", ".join(f"{name} {_value(value)}" for name, value in ready.options.items())
    head = " ".join(filter(None, [ready.adapter, ready.variant, ready.decoder])) + (f" ({options})" if options else "")
    finds = not {"detection", "instance"}.isdisjoint(described["tasks"])
    kept = f"{_boxes(ready) if finds else ''}{_labels(ready)}{_merged(ready) if finds else ''}{_tracks(ready)}"
    return f"{head}; {_frames(ready.input, described.get('frames', ''))}{kept}"


def _frames(given: ModelInput, prepared: str) -> str:
    words = []
    if given.tile is not None:
        words.append(f"in tiles of {given.tile[1]}x{given.tile[0]} px that overlap by {given.overlap:g}")
    if given.resize == "shorter_side":
        bound = "" if given.longer_side_at_most is None else f", the longer at most {given.longer_side_at_most}"
        words.append(f"resized to a shorter side of {given.shorter_side} px{bound}")
    elif given.resize != "none" and given.size is not None:
        words.append(_RESIZES[given.resize].format(height=given.size[0], width=given.size[1], pad=given.pad))
    elif given.size is not None:
        words.append(f"of {given.size[1]}x{given.size[0]} px alone")
    if given.crop is not None:
        words.append(f"cropped to {given.crop[1]}x{given.crop[0]} px")
    if given.antialias and given.resize != "none":
        words.append("antialiased")
    if given.channels != "rgb":
        words.append(given.channels.upper())
    if given.scale != 1:
        words.append(f"times {given.scale:.6g}")
    if any(given.mean) or any(one != 1 for one in given.std):
        words.append(f"less ({_value(given.mean)}) over ({_value(given.std)})")
    if prepared:
        words.append(prepared)
    return f"frames {', '.join(words) or 'as they are'}"


def _boxes(model: Model) -> str:
    """Which boxes the adapter keeps: of a frame, or of each tile."""
    if model.adapter in _AS_GIVEN:
        return ""
    return f"; boxes above {model.score_threshold:g}{_suppressed(model)}"


def _suppressed(model: Model) -> str:
    if model.adapter == "classical":
        return ""
    if model.adapter == "transformers":
        return ", none suppressed"
    if model.adapter == "ultralytics" and model.options.get("end2end"):
        return f", as the network gives them{', one class each' if model.nms == 'agnostic' else ''}"
    if model.decoder is not None:
        from tasks.models.decoders import DECODERS  # loads torch, as the adapters that have decoders do

        decoder = DECODERS.get(model.decoder)  # adapters of other packages may have their own
        if decoder is not None and decoder.suppressed:
            return ", as the network gives them"
    at = f"of sigma {model.nms_sigma:g}" if model.nms == "soft" else f"at IoU {model.nms_iou:g}"
    return f", {_SUPPRESSIONS[model.nms]} suppression {at}"


def _merged(model: Model) -> str:
    """How finds of several tiles become those of the frame; where suppression is soft, within classes."""
    if model.input.tile is None:
        return ""
    how = _SUPPRESSIONS["agnostic" if model.nms == "agnostic" else "class_wise"]
    return f"; across tiles {how} suppression at IoU {model.nms_iou:g}"


def _labels(model: Model) -> str:
    return f"; labels above {model.score_threshold:g}" if model.adapter == "rekognition" else ""


def _tracks(model: Model) -> str:
    smooth = 0 if model.tracker is None else model.tracker.smooth
    return f"; boxes of tracks smoothed, {smooth:g} of the one before" if smooth else ""


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_value(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
