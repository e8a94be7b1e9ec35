import pytest

from tasks.class_map import BUILT_IN, COCO80, match_classes, match_kinds, named, nearest, resolve
from tasks.errors import InputError
from tasks.params import Model

OURS = {0: "car", 1: "truck", 2: "dog", 3: "person"}
THEIRS = {10: "car", 20: "person", 30: "bus"}


def model(class_map: object = None) -> Model:
    return Model.model_validate({"adapter": "onnx", "weights": "x.onnx", "class_map": class_map})


def test_coco80_is_the_categories_in_rising_order() -> None:
    assert list(COCO80) == sorted(COCO80)
    assert len(COCO80) == 80
    assert (COCO80[1], COCO80[13], COCO80[90]) == ("person", "stop sign", "toothbrush")
    assert [BUILT_IN["coco80"][index] for index in (0, 11, 79)] == ["person", "stop sign", "toothbrush"]
    assert not {12, 26, 29, 30, 45, 66, 68, 69, 71, 83} & COCO80.keys()  # the ids that COCO never used


def test_coco80_reaches_coco_ids_through_names() -> None:
    indices = {index: str(index) for index in range(80)}
    assert list(resolve(model("coco80"), indices, COCO80).values()) == list(COCO80)
    assert resolve(model("coco80"), named("coco80", indices), {7: "person", 8: "car"})[2] == 8


def test_without_a_map_names_meet() -> None:
    found = match_classes(model(), OURS, THEIRS)
    assert found.mapping == {0: 10, 1: None, 2: None, 3: 20}
    assert found.dropped == ()
    assert found.unmapped == ("truck", "dog")
    assert found.unreached == ("bus",)


@pytest.mark.parametrize("name", ["{}", "class{}", "class_{}", "LABEL_{}"])
def test_ids_meet_only_where_the_model_has_no_names(name: str) -> None:
    found = match_classes(model(), {key: name.format(key) for key in (10, 11)}, THEIRS)
    assert found.mapping == {10: 10, 11: None}
    assert found.by_id == ("car",)
    assert [sentence.partition(" ")[0] for sentence in found.told()] == [name.format(11), "person,", "car"]
    assert match_classes(model(), {10: "person", 20: "1"}, THEIRS).mapping == {10: 20, 20: None}


@pytest.mark.parametrize("own", [{10: "Wagen", 20: "Mensch"}, {11: "11", 12: "12"}, {10: "10", 20: "Mensch"}])
def test_not_one_class_in_common_is_refused_and_the_advice_can_be_taken(own: dict[int, str]) -> None:
    (first, *_) = own.values()
    words = rf"{first}.*is called as.*\(car, person, bus\).*which is which, as class_map: \{{{first}: car\}}\."
    with pytest.raises(InputError, match=words):
        match_kinds(model(), {"object": own}, {"object": THEIRS})
    found = match_kinds(model({first: "car"}), {"object": own}, {"object": THEIRS})
    assert found["object"].mapping[next(iter(own))] == 10
    assert match_kinds(model(), {"object": own}, {"object": {}}) == {}


def test_a_kind_without_a_class_in_common_is_left_beside_one_that_has() -> None:
    own = {"object": OURS, "semantic": {0: "street"}}
    found = match_kinds(model(), own, {"object": THEIRS, "semantic": {0: "road"}})
    assert found["object"].mapping[0] == 10
    assert found["semantic"].mapping == {0: None}
    assert [sentence.split()[0] for sentence in found["semantic"].told()] == ["street", "road"]


def test_names_of_a_built_in_map_are_advised_as_classes() -> None:
    with pytest.raises(InputError, match=r"\(person, bicycle\).*as classes: coco80 and class_map: \{person: Mensch\}"):
        match_kinds(model("coco80"), {"object": {0: "0", 1: "1"}}, {"object": {7: "Mensch"}})


def test_ids_may_be_strings_as_json_has_them() -> None:
    assert resolve(model(), {"0": "car"}, THEIRS) == {0: 10}


def test_dict_maps_many_to_one_drops_and_reports() -> None:
    found = match_classes(model({"car": "car", 1: 10, "dog": None}), OURS, THEIRS)
    assert found.mapping == {0: 10, 1: 10, 2: None, 3: None}
    assert found.dropped == ("dog",)
    assert found.unmapped == ("person",)
    assert found.unreached == ("person", "bus")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"caar": "car"}, "did you mean 'car'"),
        ({"car": "persn"}, "did you mean 'person'"),
        ({"car": "carriage"}, "known: car, person, bus"),
        ({9: "car"}, "no class 9"),
        ({"car": 11}, "no class 11"),
        ({"car": "car", 0: "bus"}, "the same class"),
        ("coco81", "did you mean 'coco80'"),
    ],
)
def test_unknown_classes_are_named_with_the_nearest(given: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve(model(given), OURS, THEIRS)


def test_of_many_names_some_are_listed() -> None:
    assert nearest("zzz", range(23)).endswith("17, 18, 19 and 3 more.")


def test_a_built_in_map_must_be_long_enough() -> None:
    with pytest.raises(InputError, match="ids up to 80"):
        named("coco80", {80: "80"})


def test_classes_of_other_kinds_are_passed_over() -> None:
    given = model({"car": "car", "sky": "heaven"})
    assert resolve(given, OURS, THEIRS, known={"sky", "heaven"})[0] == 10
    with pytest.raises(InputError, match="sky"):
        resolve(given, OURS, THEIRS)
