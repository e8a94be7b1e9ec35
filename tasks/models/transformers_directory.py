"""What a directory that transformers wrote says of itself: kind of network, preparation of frames, weights.

Its small JSON files are read here, without the library; nothing in the directory is ever executed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.errors import InputError

CONFIG: Final = "config.json"
PROCESSOR: Final = "preprocessor_config.json"
BOTH: Final = "processor_config.json"
"""What holds the former, as `image_processor`, where a model takes text too."""

LABELLERS: Final = "ForImageClassification"
"""How the library's names of all its classifiers end."""

ARCHITECTURES: Final[Mapping[str, tuple[str, ...]]] = {
    "DetrForObjectDetection": ("detection",),
    "ConditionalDetrForObjectDetection": ("detection",),
    "DeformableDetrForObjectDetection": ("detection",),
    "RTDetrForObjectDetection": ("detection",),
    "RTDetrV2ForObjectDetection": ("detection",),
    "DFineForObjectDetection": ("detection",),
    "YolosForObjectDetection": ("detection",),
    "SegformerForSemanticSegmentation": ("semantic",),
    "Mask2FormerForUniversalSegmentation": ("instance", "semantic"),
}
"""What each network beside the classifiers can do, by the library's name; of several, params' `options.output` says."""

_RESAMPLING: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By Pillow's numbers."""

_MORE: Final = ("crop_pct", "size_divisor", "size_divisibility", "ensure_multiple_of", "keep_aspect_ratio")
"""Settings of some processors that go by the library's name."""


@dataclass(frozen=True)
class Directory:
    """A directory whose files are all there.

    Attributes:
        path: Where it is.
        architecture: The library's name of its network.
        outputs: What that can do, some of detection, instance, semantic, classification.
        processor: How frames are prepared, by the library's names.
        pickled: Its weights are a pickle.
    """

    path: Path
    architecture: str
    outputs: tuple[str, ...]
    processor: Mapping[str, Any]
    pickled: bool


def read(path: Path, *, trust_pickle: bool) -> Directory:
    """What is in `path`.

    Raises:
        InputError: something is missing, of a kind that is not run, or would map things to wrong places of the frame.
    """
    if not path.is_dir():
        raise InputError(f"{path} is a file: adapter 'transformers' takes the directory that save_pretrained writes.")
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} has no {CONFIG}: a directory that save_pretrained writes is expected.")
    architecture, outputs = _kind(path / CONFIG)
    processor = _processor(path)
    if outputs != ("classification",) and processor.get("do_center_crop"):
        raise InputError(
            f"{path / PROCESSOR}: do_center_crop leaves parts of the frame unseen, and what is found would be put in "
            "the wrong place: set it to false."
        )
    return Directory(path, architecture, outputs, processor, _pickled(path, trust_pickle=trust_pickle))


def words(processor: Mapping[str, Any]) -> str:
    """How frames are prepared, for people.

    Example:
        >>> size = {"height": 640, "width": 480}
        >>> words({"image_processor_type": "DetrImageProcessor", "do_resize": True, "size": size, "resample": 2})
        'by DetrImageProcessor: resized to 480x640 px, bilinear'
    """
    steps = []
    if processor.get("do_resize"):
        steps.append(f"resized to {_size(processor.get('size'))}")
        steps.extend(_RESAMPLING[key : key + 1] if isinstance(key := processor.get("resample"), int) else [])
    if processor.get("do_center_crop"):
        steps.append(f"cropped to {_size(processor.get('crop_size'))}")
    if processor.get("do_flip_channel_order"):
        steps.append("BGR")
    if processor.get("do_rescale"):
        steps.append(f"times {processor.get('rescale_factor', 1 / 255):.6g}")
    if processor.get("do_normalize"):
        mean, std = (", ".join(f"{one:g}" for one in processor.get(name) or ()) for name in ("image_mean", "image_std"))
        steps.append(f"less ({mean}) over ({std})")
    if processor.get("do_pad") and processor.get("pad_size"):
        steps.append(f"padded to {_size(processor['pad_size'])}")
    steps += [f"{name} {processor[name]}" for name in _MORE if processor.get(name)]
    named = processor.get("image_processor_type") or processor.get("feature_extractor_type") or "its image processor"
    return f"by {named}: {', '.join(steps) or 'as they are'}"


def _size(given: Any) -> str:
    if not isinstance(given, Mapping):
        return f"{given} px"
    if "shortest_edge" in given:
        bound = f", the longer at most {given['longest_edge']}" if given.get("longest_edge") else ""
        return f"a shorter side of {given['shortest_edge']} px{bound}"
    if "height" in given:
        return f"{given['width']}x{given['height']} px"
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _kind(path: Path) -> tuple[str, tuple[str, ...]]:
    config = _json(path)
    named = config.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else ""
    if name.endswith(LABELLERS):
        if config.get("problem_type") not in (None, "single_label_classification"):
            raise InputError(
                f"{path}: problem_type {config['problem_type']} gives no probabilities of one label for a frame, which "
                "is what adapter 'transformers' scores."
            )
        return name, ("classification",)
    if name not in ARCHITECTURES:
        raise InputError(
            f"{path}: adapter 'transformers' runs {', '.join(ARCHITECTURES)} and every ...{LABELLERS}, got "
            f"{f'architecture {name}' if name else 'no architectures'}."
        )
    return name, ARCHITECTURES[name]


def _processor(path: Path) -> Mapping[str, Any]:
    if (path / BOTH).is_file():
        inner = _json(path / BOTH).get("image_processor")
        if isinstance(inner, dict):
            return inner
    if not (path / PROCESSOR).is_file():
        raise InputError(
            f"{path} has no {PROCESSOR}, which says how frames are prepared: save the image processor that the network "
            "was trained with beside it, by its save_pretrained."
        )
    return _json(path / PROCESSOR)


def _pickled(path: Path, *, trust_pickle: bool) -> bool:
    if any((path / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        return False
    if not any((path / name).is_file() for name in ("pytorch_model.bin", "pytorch_model.bin.index.json")):
        raise InputError(f"{path} has no weights: model.safetensors is expected, whole or in parts with its index.")
    if not trust_pickle:
        raise InputError(
            f"{path} has its weights as a pickle, pytorch_model.bin, and no model.safetensors: save them again with "
            "save_pretrained, or set options.trust_pickle: true for files whose maker you trust."
        )
    return True


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON: {' '.join(str(error).split())}.") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(found).__name__}.")
    return found
