"""comparison.html and what stands behind it: two models of one run as two revisions."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tasks import params as settings
from tasks import tables
from tasks.params import Params
from tasks.report import cards, gate_changes, numbers, revision_example, revision_page, revisions
from tasks.report.revision_summary import Change, End
from tasks.report.shared import Revision
from tests.conftest import SmallRun

V1, V2 = "crossing-v1", "crossing-v2"


@pytest.fixture(scope="module")
def two(small_run: SmallRun) -> tuple[Revision, Revision]:
    params = settings.load(small_run.params)
    one, other = (
        Revision.read(name, params, small_run.root / "scores", small_run.root / "tables") for name in ("v1.0", "HEAD")
    )
    return replace(one, no_gallery="Its pictures are lost."), replace(other, gallery=small_run.root / "gallery")


@pytest.fixture(scope="module")
def found(two: tuple[Revision, Revision]) -> revisions.Comparison:
    return revisions.compare(*two, [(V1, V2)])


@pytest.fixture(scope="module")
def page(two: tuple[Revision, Revision], found: revisions.Comparison) -> str:
    ends = [End(name, "abc1234", "<b>Bold</b> words", "2026-11-21", "a: 1\n") for name in ("v1.0", "HEAD")]
    change = Change(
        commits=["abc1234 <b>Bold</b> words"], params=[("train.epochs", 9, 12)], files=["tasks/metrics/x.py"], ends=ends
    )
    return revision_page.render(*two, found, change)


def test_both_sides_stand_as_one_run(small_run: SmallRun, found: revisions.Comparison) -> None:
    """The labelled table holds both models' own figures as the run scored them."""
    assert found.labels == [("crossing-v1 (v1.0)", "crossing-v2 (HEAD)")]
    scores = tables.read("scores", small_run.root / "scores/scores.parquet")
    (made,) = found.scores
    for metric in ("hota", "id_switches"):
        for model, label in zip((V1, V2), found.labels[0], strict=True):
            own = scores[scores["baseline"].isna() & (scores["model"] == model) & (scores["metric"] == metric)]
            own = own[(own["slice"] == "all") & (own["class"] == "all")]
            same = made[made["baseline"].isna() & (made["model"] == label) & (made["metric"] == metric)]
            same = same[(same["slice"] == "all") & (same["class"] == "all")]
            keys = ["corruption", "severity"]
            expected = own.set_index(keys)["value"].sort_index()
            assert len(expected) == 7
            assert same.set_index(keys)["value"].sort_index().to_dict() == pytest.approx(
                expected.to_dict(), nan_ok=True
            )


def test_the_page_says_what_changed_and_where(page: str, found: revisions.Comparison) -> None:
    assert "&lt;b&gt;Bold&lt;/b&gt; words" in page
    assert "<b>Bold" not in page
    assert "<code>train.epochs</code></th><td>9</td><td>12</td>" in page
    assert "What corrupts or measures changed itself (1 file)" in page
    anchors = (
        "change",
        "shifts",
        "differences",
        "maps",
        "curves",
        "metrics",
        "latency",
        "gates",
        "example",
        "left-out",
    )
    for anchor in anchors:
        assert f'<section id="{anchor}"' in page
        assert f'href="#{anchor}"' in page
    assert 'href="#gallery"' not in page, "there is no gallery to lead to"
    assert "Its pictures are lost." in page
    told = found.differences
    regressions = re.search(r"(\d+) regressions? told apart", page)
    counted = told[(told["outcome"] == "regression") & told["value"].notna()]
    assert regressions is None or 0 < int(regressions[1]) <= len(counted)
    assert len(page.encode()) < 6_000_000


def test_regressions_stand_first(page: str) -> None:
    told = html.unescape(page.split('id="comparison-table"')[1].split("</table>")[0])
    rows = re.findall(r"<tr><td>.*?</tr>", told)
    assert len(rows) > 10
    lost = ["▼ regression" in row for row in rows]
    assert lost == sorted(lost, reverse=True)


def test_a_line_for_each_rule_and_whether_it_changed(two: tuple[Revision, Revision]) -> None:
    one, other = two
    lines, told = gate_changes.gate_changes(one, other, [(V1, V1), (V2, V2)], [V1, V2])
    assert {line["change"] for line in lines} == {"as before"}
    assert "The rules of HEAD on the scores of both" in told
    assert {line["model"] for line in lines} == {V2}, "the baseline is not judged"
    # Figures of A that no rule could let through: what HEAD passes, v1.0 did not.
    worse = one.whole.assign(value=one.whole["value"].where(one.whole["metric"] != "miou", -1.0))
    lines, _ = gate_changes.gate_changes(replace(one, whole=worse), other, [(V2, V2)], [V2])
    assert lines[0]["change"] == "passes now"
    assert lines[0]["a"]["status"] == "fail"
    lines, _ = gate_changes.gate_changes(other, replace(one, whole=worse), [(V2, V2)], [V2])
    assert lines[0]["change"] == "no longer passes"
    assert lines[-1]["change"] == "as before"


def test_a_rule_that_the_first_revision_cannot_judge(two: tuple[Revision, Revision]) -> None:
    one, other = two
    less = replace(one, whole=one.whole[~one.whole["slice"].str.startswith("camera=")])
    gates = [{"metric": "miou", "slice": "camera=north", "min": 0.0}]
    strict = other.params.model_copy(update={"gates": Params.model_validate({**minimal(), "gates": gates}).gates})
    lines, told = gate_changes.gate_changes(less, replace(other, params=strict), [(V2, V2)], [V2])
    assert [line["change"] for line in lines] == ["judged in one alone"]
    assert "They could not be judged on v1.0: gates, rule 1: 'camera=north' is no slice" in told


def minimal() -> dict:
    return {"models": {"m": {"adapter": "small", "weights": "m.safetensors"}}, "corruptions": {"weather": ["fog"]}}


def test_the_deepest_fall_that_has_pictures(
    two: tuple[Revision, Revision], found: revisions.Comparison, small_run: SmallRun
) -> None:
    one, other = two
    gallery = tables.read("gallery", small_run.root / "gallery/gallery.parquet")
    keys = ["task", "corruption", "severity", "frame_id"]
    held = set(gallery.loc[gallery["model"] == V2, keys].itertuples(index=False, name=None))
    fallen = found.fallen
    with_pictures = [row["fall"] for row in fallen.to_dict("records") if tuple(row[key] for key in keys) in held]
    pictures = cards.Pictures(Path("/"))
    told = revision_example.example(one, other, fallen, pictures)
    assert told["missing"] == ["Its pictures are lost."]
    assert len(told["cards"]) == 1
    card = told["cards"][0]
    place = fallen[(fallen["task"] == card["task"]) & (fallen["corruption"] == card["corruption"])]
    place = place[(place["severity"] == card["severity"]) & (place["frame_id"] == card["frame_id"])]
    assert place["fall"].min() == pytest.approx(min(with_pictures))
    nothing = revision_example.example(one, replace(other, gallery=None, no_gallery="Nor these."), fallen, pictures)
    assert nothing["cards"] == []
    assert nothing["missing"] == ["Its pictures are lost.", "Nor these."]
    assert nothing["deepest"].startswith(told["deepest"][:12])
    assert revision_example.example(one, other, fallen.iloc[:0], pictures)["deepest"] == "No frame's score fell."


def test_thirds_stand_in_their_order(two: tuple[Revision, Revision]) -> None:
    whole = two[0].whole
    names = ["all", "brightness=low", "brightness=mid", "brightness=high", "camera=a"]
    rows = [whole.iloc[:1].assign(slice=name) for name in (*names[1:], "all")]
    assert numbers.slice_names(pd.concat(rows)) == names
