"""The names of a model's classes where its params give them: a list, a text file, or a known set."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tasks.class_map import COCO80, nearest
from tasks.errors import InputError
from tasks.models.outputs import Description
from tasks.params import Model

_BACKGROUND: Final = ("__background__", "background")


def _coco91() -> list[str]:
    return [_BACKGROUND[0], *(COCO80.get(key, f"unused {key}") for key in range(1, 91))]


def _imagenet() -> list[str]:
    from torchvision.models import ResNet50_Weights

    return list(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def _voc21() -> list[str]:
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

    return list(DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"])


KNOWN: Final[Mapping[str, Callable[[], Sequence[str]]]] = {
    "coco80": lambda: list(COCO80.values()),
    "coco91": _coco91,
    "imagenet": _imagenet,
    "voc21": _voc21,
}
"""Sets of names that go by a name: COCO's 80 categories, the same at ids 0 to 90 with gaps and a background, as
torchvision's detectors count them, the 1,000 of ImageNet, and Pascal VOC's 20 with a background."""


def named(model: Model, described: Description, *, folder: Path) -> Description:
    """`described` with the names that `model.classes` gives its classes, in the order of their ids.

    A leading background is passed over where the model has no class for it.

    Raises:
        InputError: no such file, another number of names than classes, or a model with classes of several kinds.
    """
    if model.classes is None:
        return described
    names = list(_names(model.classes, folder))
    kinds = [kind for kind in ("object", "semantic", "label") if described[kind]]
    if len(kinds) != 1:
        raise InputError(
            f"classes names one kind of classes, the model has {len(kinds)} ({', '.join(kinds) or 'none'}): remove it."
        )
    ids = sorted(described[kinds[0]])
    if kinds == ["object"] and len(names) == len(ids) + 1:
        names = without_background(names)
    if len(names) != len(ids):
        raise InputError(
            f"classes gives {len(names)} names, the model has {len(ids)} {kinds[0]} classes "
            f"(ids {ids[0]} to {ids[-1]}): one name for each, in that order."
        )
    return {**described, kinds[0]: dict(zip(ids, names, strict=True))}


def without_background(names: Sequence[str]) -> list[str]:
    """`names` without a leading background, where there is one."""
    return list(names[1:] if names[0].lower() in _BACKGROUND else names)


def resolved(model: Model, *, folder: Path) -> Model:
    """The model with `classes` as the names themselves, where it gives any.

    Raises:
        InputError: no such file, or nothing in it.
    """
    if model.classes is None:
        return model
    names = tuple(_names(model.classes, folder))
    if not names:
        raise InputError("classes is empty: one name for each class is expected.")
    return model.model_copy(update={"classes": names})


def _names(given: tuple[str, ...] | str, folder: Path) -> Sequence[str]:
    if isinstance(given, tuple):
        return given
    if given in KNOWN:
        return KNOWN[given]()
    path = folder / given
    if not path.is_file():
        raise InputError(f"classes: expected a text file with one name a line at {path}{nearest(given, KNOWN)}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"classes: {path} is no UTF-8 text: one name a line is expected.") from None
    return [line.strip() for line in lines if line.strip()]
