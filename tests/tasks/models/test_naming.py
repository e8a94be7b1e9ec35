from pathlib import Path

import pytest

from tasks.class_map import COCO80
from tasks.errors import InputError
from tasks.models.naming import named, resolved
from tasks.models.outputs import Description
from tasks.params import Model


def described(ids: list[int], kind: str = "object") -> Description:
    classes = {key: str(key) for key in ids}
    return {**{each: classes if each == kind else {} for each in ("object", "semantic", "label")}, "tasks": []}


def names(given: object, ids: list[int], kind: str = "object", folder: Path = Path()) -> dict[int, str]:
    model = Model.model_validate({"adapter": "torchvision", "classes": given})
    found: dict[int, str] = named(model, described(ids, kind), folder=folder)[kind]
    return found


def test_a_list_or_a_file_names_classes_by_rising_id(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("car\n\n  traffic light \nbus\n", encoding="utf-8")
    expected = {1: "car", 4: "traffic light", 9: "bus"}
    assert names("names.txt", [9, 1, 4], folder=tmp_path) == expected
    assert names(["car", "traffic light", "bus"], [9, 1, 4]) == expected
    assert names(None, [1]) == {1: "1"}


def test_a_background_is_passed_over_where_there_is_no_class_for_it() -> None:
    assert names(["Background", "car"], [1]) == {1: "car"}
    assert names(["background", "car"], [0, 1]) == {0: "background", 1: "car"}
    with pytest.raises(InputError, match=r"gives 2 names, the model has 1 semantic"):
        names(["background", "car"], [1], "semantic")


def test_known_sets() -> None:
    assert names("coco80", list(range(80))) == dict(enumerate(COCO80.values()))
    coco = names("coco91", list(range(1, 91)))
    assert {key: coco[key] for key in COCO80} == COCO80
    assert coco[12] == "unused 12"
    voc = names("voc21", list(range(21)), "semantic")
    assert (voc[0], voc[15]) == ("__background__", "person")
    assert names("imagenet", list(range(1000)), "label")[281] == "tabby"


def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one name a line at .*coco8; did you mean 'coco80'"):
        names("coco8", [1], folder=tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="classes is empty"):
        resolved(Model.model_validate({"adapter": "x", "classes": "empty.txt"}), folder=tmp_path)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="no UTF-8 text"):
        names("bytes.txt", [1], folder=tmp_path)
    both = {"object": {0: "0"}, "semantic": {0: "0"}, "label": {}, "tasks": []}
    with pytest.raises(InputError, match=r"the model has 2 \(object, semantic\)"):
        named(Model.model_validate({"adapter": "x", "classes": ["a"]}), both, folder=tmp_path)
