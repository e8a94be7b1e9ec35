"""Which data-set class each class of a model stands for; applied at scoring, so that changing it runs no model.

Importable without torch: scoring reads the models' own classes from `predictions/models.json`.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tasks.errors import InputError
from tasks.params import Model

# fmt: off
COCO80: Final[Mapping[int, str]] = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck",
    9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench",
    16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
    24: "zebra", 25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase",
    34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
    40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle",
    46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza", 60: "donut",
    61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet",
    72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard", 77: "cell phone", 78: "microwave",
    79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book", 85: "clock", 86: "vase",
    87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}
# fmt: on
"""The 80 categories of COCO by category id (1..90 with gaps). Detectors count them 0..79 in this order."""

BUILT_IN: Final[Mapping[str, Mapping[int, str]]] = {"coco80": dict(enumerate(COCO80.values()))}
"""What a model's class indices mean under each built-in map."""

MOST: Final = 20
"""Names that a sentence lists."""


_NO_NAME: Final = re.compile(r"(class|label)?[ _-]?\d+", re.IGNORECASE)
"""What libraries call a class that nobody named: its number, `class7`, `LABEL_7`."""


@dataclass(frozen=True)
class ClassMap:
    """How one kind of a model's classes meets the data set's.

    Attributes:
        mapping: Model class id -> data-set class id, None where its predictions count for nothing. Many to one.
        dropped: Names of model classes that params map to null.
        unmapped: Names of model classes that reach no data-set class although nothing says so: to be reported.
        unreached: Names of data-set classes that no model class reaches: they are scored as missed throughout.
        by_id: Names of data-set classes that a model's class without a name reaches because the ids are equal.
    """

    mapping: dict[int, int | None]
    dropped: tuple[str, ...]
    unmapped: tuple[str, ...]
    unreached: tuple[str, ...]
    by_id: tuple[str, ...] = ()

    def told(self) -> Iterator[str]:
        """What a user should know of it, a sentence each, whose subject is classes of the model."""
        for names, words in (
            (self.dropped, "are dropped by the class map"),
            (self.unmapped, "reach no class of the data set: what it predicts of them counts for nothing"),
            (self.unreached, "of the data set are reached by none of its classes: their truth counts as missed"),
            (
                self.by_id,
                "are what its classes of the same ids, which have no names, are taken for: `classes` names them",
            ),
        ):
            if names:
                yield f"{listed(names, 10)} {words}"


def resolve(
    model: Model,
    model_classes: Mapping[int, str] | Mapping[str, str],
    dataset_classes: Mapping[int, str],
    *,
    known: Collection[str] = (),
) -> dict[int, int | None]:
    """Model class id -> data-set class id, or None; see `match_classes`.

    Examples:
        >>> model = Model(adapter="onnx", weights="x.onnx", class_map={"truck": "car", "car": "car", "dog": None})
        >>> resolve(model, {0: "car", 1: "truck", 2: "dog"}, {3: "car"})
        {0: 3, 1: 3, 2: None}
    """
    return match_classes(model, model_classes, dataset_classes, known=known).mapping


def match_kinds(
    model: Model, own: Mapping[str, Mapping[int, str]], theirs: Mapping[str, Mapping[int, str]]
) -> dict[str, ClassMap]:
    """`match_classes` for each kind of which both sides have classes.

    Args:
        model: The model's params.
        own: kind (object, semantic or label) -> id -> name, the model's.
        theirs: likewise, the data set's.

    Raises:
        InputError: as `match_classes`; or, without a dict, no kind with a class in common.
    """
    both = [kind for kind in theirs if own[kind] and theirs[kind]]
    found = {}
    for kind in both:
        others = {name for other in theirs if other != kind for name in (*own[other].values(), *theirs[other].values())}
        found[kind] = match_classes(model, own[kind], theirs[kind], known=others)
    reached = any(target is not None for one in found.values() for target in one.mapping.values())
    if found and not reached and not isinstance(model.class_map, dict):
        raise _strangers(model, own[both[0]], theirs[both[0]])
    return found


def match_classes(
    model: Model,
    model_classes: Mapping[int, str] | Mapping[str, str],
    dataset_classes: Mapping[int, str],
    *,
    known: Collection[str] = (),
) -> ClassMap:
    """Match one kind of classes (object, semantic or label) of a model with the data set's, as `model.class_map` says.

    - omitted, or a built-in name (which names the model's indices first): equal names meet; equal ids do where the
      model's classes have no names;
    - a dict: only what it lists is mapped, model class (id or name) -> data-set class (id or name), null drops it.

    Args:
        model: The model's params.
        model_classes: The model's own classes, id -> name; ids may be strings, as JSON has them.
        dataset_classes: The data set's classes of the same kind, id -> name.
        known: Names of the model's and the data set's classes of other kinds; the dict may name them, here they are
            passed over.

    Raises:
        InputError: an unknown built-in map, or a class that neither side knows; the nearest name is given.
    """
    own = {int(key): name for key, name in model_classes.items()}
    dropped: set[int] = set()
    by_id = False
    if isinstance(model.class_map, dict):
        mapping, dropped = _by_dict(model.class_map, own, dataset_classes, set(known))
    else:
        mapping, by_id = _by_identity(named(model.class_map, own), dataset_classes)
    reached = set(mapping.values())
    return ClassMap(
        mapping=mapping,
        dropped=tuple(own[key] for key in sorted(dropped)),
        unmapped=tuple(own[key] for key, target in mapping.items() if target is None and key not in dropped),
        unreached=tuple(name for key, name in dataset_classes.items() if key not in reached),
        by_id=tuple(name for key, name in dataset_classes.items() if by_id and key in reached),
    )


def named(class_map: str | None, own: Mapping[int, str]) -> Mapping[int, str]:
    """`own` with the names that a built-in map gives its indices; unchanged without one.

    Raises:
        InputError: no such map, or it is not as long as the model's classes.
    """
    if class_map is None or not own:
        return own
    if class_map not in BUILT_IN:
        raise InputError(f"class_map '{class_map}' is not built in{nearest(class_map, BUILT_IN)}")
    names = BUILT_IN[class_map]
    if not own.keys() <= names.keys():
        raise InputError(
            f"class_map '{class_map}' names the classes 0 to {max(names)}, the model has ids up to {max(own)}: "
            "give class_map as a dict of model class to data-set class."
        )
    return {key: names[key] for key in own}


def nearest(name: object, known: Iterable[object]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or else all of them, MOST at most."""
    names = [str(item) for item in known]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {listed(names, MOST) or 'none'}."


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` names, and how many more there are.

    Example:
        >>> listed(["car", "bus", "van"], 2)
        'car, bus and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _by_identity(own: Mapping[int, str], dataset_classes: Mapping[int, str]) -> tuple[dict[int, int | None], bool]:
    """The mapping, and whether ids decided it."""
    ids = {name: key for key, name in dataset_classes.items()}
    if not ids.keys() & set(own.values()) and all(_NO_NAME.fullmatch(name) for name in own.values()):
        return {key: key if key in dataset_classes else None for key in own}, True
    return {key: ids.get(name) for key, name in own.items()}, False


def _strangers(model: Model, own: Mapping[int, str], dataset_classes: Mapping[int, str]) -> InputError:
    """The error for a model and a data set without a class in common."""
    built_in = model.class_map if isinstance(model.class_map, str) else None
    ours, theirs = list(named(built_in, own).values()), list(dataset_classes.values())
    first = f"classes: {built_in} and " if built_in else ""
    return InputError(
        f"class_map: none of the model's classes ({listed(ours, 5)}) is called as one of the data set's "
        f"({listed(theirs, 5)}): say which is which, as {first}class_map: {{{ours[0]}: {theirs[0]}}}."
    )


def _by_dict(
    given: Mapping[int | str, int | str | None],
    own: Mapping[int, str],
    dataset_classes: Mapping[int, str],
    known: set[str],
) -> tuple[dict[int, int | None], set[int]]:
    mapping: dict[int, int | None] = dict.fromkeys(own)
    listed: dict[int, int | str] = {}
    dropped = set()
    for source, target in given.items():
        keys = _ids(source, own)
        if not keys:
            if source in known:
                continue
            raise InputError(f"class_map: the model has no class {source!r}{nearest(source, own.values())}")
        targets = [] if target is None else _ids(target, dataset_classes)
        if target is not None and not targets:
            if target in known:
                continue
            raise InputError(
                f"class_map: the data set has no class {target!r}, to which {source!r} is mapped"
                f"{nearest(target, dataset_classes.values())}"
            )
        for key in keys:
            if key in listed:
                raise InputError(
                    f"class_map: {listed[key]!r} and {source!r} are the same class of the model: keep one."
                )
            listed[key] = source
            mapping[key] = targets[0] if targets else None
            if target is None:
                dropped.add(key)
    return mapping, dropped


def _ids(wanted: int | str, classes: Mapping[int, str]) -> list[int]:
    """The ids that a class is called by: itself when an id, else those of its name."""
    if isinstance(wanted, int):
        return [wanted] if wanted in classes else []
    return [key for key, name in classes.items() if name == wanted]
