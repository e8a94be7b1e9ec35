"""Cards of the gallery: what they say, what they belong to, and the boxes that the viewer draws."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tasks import tables
from tasks.layout import Layout
from tasks.params import Params
from tasks.params.sections import Shift
from tasks.report import card_tags, cards, commands, films
from tests import gallery_factory, report_factory

TASKS = ("detection", "semantic", "tracking", "classification")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Params, Layout]:
    run = gallery_factory.params()
    layout = Layout(tmp_path_factory.mktemp("cards"))
    report_factory.write(run, layout, report_factory.scores(run, tasks=TASKS, slices=()), frames=3)
    gallery_factory.write(run, layout)
    return run, layout


@pytest.fixture(scope="module")
def gallery(made) -> pd.DataFrame:
    return tables.read("gallery", made[1].gallery / "gallery.parquet")


@pytest.fixture(scope="module")
def tags(made) -> card_tags.Tags:
    return card_tags.of_slices(*made, {0, 1, 2})


def shown(made, gallery, tags) -> dict[str, dict]:
    run, layout = made
    caught = card_tags.of_rules(run, gallery)
    return {card["id"]: card for card in cards.cards(gallery, cards.Pictures(layout.gallery), tags, caught)}


def test_slices_of_frames_and_of_what_they_show(tags):
    of_frame = {frame: {tags.names[place] for place in tags.of(frame)} for frame in range(3)}
    assert of_frame == {
        0: {"camera=north", "size=medium"},
        1: {"camera=east", "size=small"},
        2: {"camera=north", "size=medium"},
    }
    assert [tags.words(frame) for frame in range(3)] == ["camera north", "camera east", "camera north"]
    assert tags.of(99) == ()


def test_cards_name_no_reference_and_nothing_twice(made):
    """Frames 0 and 2 are of the camera north, 1 is of east; what is compared with says nothing about a frame."""
    run, layout = made
    shifted = {
        "east": Shift(where="camera == 'east'"),
        "first": Shift(where="frame_id == 0", reference="frame_id == 2"),
    }
    cut = run.slices.model_copy(update={"shifted": shifted, "crossed": (("camera", "width_px"),)})
    found = card_tags.of_slices(run.model_copy(update={"slices": cut}), layout, {0, 1, 2})
    assert {"shift=none", "shift=first, reference", "camera=north & width_px=640"} < set(found.names), "still a filter"
    assert [found.words(frame) for frame in range(3)] == ["camera north, shift first", "camera east", "camera north"]


def test_slices_without_any_frame_shown_are_no_choice(made):
    found = card_tags.of_slices(*made, {1})
    assert set(found.names) == {"camera=east", "size=small"}


def test_without_the_tables_there_are_no_slices(made, tmp_path):
    assert card_tags.of_slices(made[0], Layout(tmp_path), {0}) == card_tags.Tags()


def test_rules_name_what_they_caught(made, gallery):
    found = card_tags.of_rules(made[0], gallery)
    # Factory scores are 0, 0.1 and 0.2: the rule is for detection at severity 5 up to 0.05.
    rows = gallery[(gallery["task"] == "detection") & (gallery["severity"] == 5) & (gallery["frame_id"] == 0)]
    assert found == {key: ["blind"] for key in rows["example_id"]}


def test_a_card_says_what_matters(made, gallery, tags):
    found = shown(made, gallery, tags)
    card = found["crossing-v1/detection/low_light/5/1"]
    assert card["evidence"] == "1 of 2 boxes of class car found.; camera east; low light 5"
    assert card["slices"] == " ".join(map(str, tags.of(1)))
    assert card["rules"] == []
    assert found["crossing-v1/detection/low_light/5/0"]["rules"] == ["blind"]
    assert found["crossing-v1/detection/clean/0/1"]["evidence"].endswith("; camera east; clean")
    captions = [panel["caption"] for panel in found["crossing-v2/semantic/fog/3/0"]["panels"]]
    told = "Difference: 62 % right (dark), 38 % confused (blue)"
    assert captions == ["Clean", "Corrupted", "Truth", "Prediction", told]


def test_cards_that_are_right_say_so(made, gallery, tags):
    better = gallery.assign(score=[1.0 if i % 2 else 0.5 for i in range(len(gallery))])
    found = shown(made, better, tags)
    assert {row["example_id"] for _, row in better.iterrows() if row["score"] == 1} == {
        key for key, card in found.items() if card["right"]
    }


def test_worst_stand_first_and_equal_ones_are_mixed(made, gallery, tags):
    listed = list(shown(made, gallery, tags).values())
    order = [list(cards.PICKS).index(card["pick"]) for card in listed]
    assert order == sorted(order)
    worst = [card["corruption"] for card in listed if card["pick"] == "worst"]
    assert len(set(worst[:12])) > 3, "all have the score 0"


def test_the_viewer_gets_every_box(gallery):
    packed = json.loads(json.dumps(cards.overlays(gallery)))
    expected = gallery[gallery["task"].isin(["detection", "tracking"])]
    assert set(packed["boxes"]) == set(expected["example_id"])
    for row in expected.to_dict("records"):
        drawn = json.loads(row["overlay"])
        for side, items in zip(("truth", "prediction"), packed["boxes"][row["example_id"]], strict=True):
            for item, (x0, y0, x1, y1, name, state, *rest) in zip(drawn[side], items, strict=True):
                assert [x0, y0, x1, y1] == item["box"]
                assert (packed["names"][name], packed["states"][state]) == (item["class"], item["state"])
                score, track, outline = (*rest, None, None, None)[:3]
                assert score == item.get("score")
                assert track == (item["id"] if row["task"] == "tracking" else None), "ids of boxes are noise elsewhere"
                assert outline is None
    whole = gallery["overlay"].str.len().sum()
    assert len(json.dumps(packed["boxes"], separators=(",", ":"))) < 0.6 * whole


def test_outlines_are_drawn_in_the_viewer_too(gallery):
    row = gallery[gallery["task"] == "detection"].head(1)
    drawn = json.loads(row["overlay"].iloc[0])
    ring = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    drawn["truth"][0]["outline"] = [ring]
    packed = cards.overlays(row.assign(overlay=[json.dumps(drawn)], task=["instance"]))
    (truth, _), *_ = packed["boxes"].values()
    assert truth[0][8] == [ring]
    assert len(truth[1]) == 6, "what is absent at the end is left out"


def test_filmstrips_say_what_happens(made):
    _, layout = made
    about = json.loads((layout.gallery / "about.json").read_text())
    pictures = cards.Pictures(layout.gallery)
    first, second = films.films(about, pictures, card_tags.Tags(("camera=north",), {9: (0,)}, frozenset({0})))
    assert first["told"] == "Track 3 (car) changes from id 7 to id 12 in frame 9: occlusion."
    assert second["told"].endswith("in frame 9: in plain view.")
    assert (first["where"], first["tags"], first["slices"]) == ("clean data", "camera north", "0")
    assert [panel["caption"] for panel in first["panels"]] == [
        *("frame 7: id 7", "frame 8: no track", "frame 9: id 12", "frame 10: id 12", "frame 11: id 12")
    ]
    assert [panel["switch"] for panel in first["panels"]] == [False, False, True, False, False]
    styles = [[track["style"] for track in panel["tracks"]] for panel in first["panels"]]
    assert styles == [["film-before"], [], ["film-now"], ["film-now"], ["film-now"]]
    left, top, width, height = map(float, first["view"].split())
    for panel in first["panels"]:
        for track in panel["tracks"]:
            assert left <= track["x"] <= left + width - 2 * first["font"]
            assert top + 0.9 * first["font"] <= track["y"] <= top + height
    assert len(pictures.found) == 2, "a picture that several frames show is stored once"


def test_an_older_gallery_has_no_filmstrips(tmp_path: Path):
    assert films.films({}, cards.Pictures(tmp_path), card_tags.Tags()) == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("stormglass publish", "stormglass export-qa qa"),
        ("stormglass run --only fog --out=out", "stormglass export-qa qa --out out"),
        (
            "stormglass run --params 'a b.yaml' --out out --limit 9",
            "stormglass export-qa qa --params 'a b.yaml' --out out",
        ),
    ],
)
def test_the_command_is_for_the_same_run(command, expected):
    assert commands.export({"command": command}) == expected
