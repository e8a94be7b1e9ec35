"""footage.html from a run folder: what it says, what it says without a table, and hostile names."""

import json
import math
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from tasks import tables
from tasks.errors import InputError
from tasks.report import footage
from tasks.report.footage import expected, opening, past, scan, series
from tests import footage_factory
from tests.report_factory import HOSTILE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage_factory.write(tmp_path_factory.mktemp("footage"))


@pytest.fixture
def found(run: Path) -> scan.Scan:
    return scan.read(run)


def charts_of(text: str) -> dict:
    """The figures as the page carries them, unpacked as its script does."""
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    shared = data["shared"]

    def whole(item):
        if isinstance(item, list):
            return [whole(each) for each in item]
        if not isinstance(item, dict):
            return item
        if "$at" in item:
            digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            few = whole(item["$"])
            return [few[digits.index(digit)] for digit in item["$at"]]
        own = {key: whole(value) for key, value in item.items() if key != "$"}
        if "$" not in item:
            return own
        base = whole(shared[item["$"]])
        return {**base, **own} if own else base

    return whole(data["figures"])


def sections(text: str) -> dict[str, str]:
    """The words of each section, by its id."""
    found = re.findall(r'(<section id="([a-z]+)".*?</section>)', text, re.S)
    return {name: " ".join(unescape(re.sub(r"<[^>]+>", " ", part)).split()) for part, name in found}


def test_the_page_says_what_the_tables_hold(run: Path, tmp_path: Path) -> None:
    adopted = {"run": "r1", "camera": "all", "metric": "map", "n_frames": 40, "n_clips": 3, "naive": 0.52}
    adopted |= {"predicted": 0.3, "predicted_low": 0.2, "predicted_high": 0.4, "actual": 0.35, "inside": True}
    footage.write(
        run,
        history=footage_factory.history(),
        gallery=footage_factory.gallery(tmp_path / "gallery"),
        adoptions=pd.DataFrame([adopted], columns=tables.SCHEMAS["footage_adoption"].names),
    )
    text = (run / footage.PAGE).read_text(encoding="utf-8")
    assert not list(run.glob(".footage*"))
    told = sections(text)
    head = " ".join(unescape(re.sub(r"<[^>]+>", " ", text.split("<main")[0].split("<body>")[1])).split())
    assert "A proxy, not accuracy" in head
    assert "Review: 1 alert stands" in head
    assert "Scan (s) 40.2" in head
    assert "Versions stormglass 0.1, others in run.json" in head
    assert "6 clips of 3 cameras scanned, 6.0 min; 1 quarantined; 1 outside everything validated; 2 files wait" in head
    assert "▲ raised: review north: input drift is at 0.55" in told["alerts"]
    assert "does not decode after frame 3" in told["files"]
    assert (
        "mAP is expected at 0.312 to 0.504; the clean score is 0.520. 1 of 5 intervals lies below it."
        in told["expected"]
    )
    assert "outside everything validated 0.520 – haze is far off" in told["expected"]
    assert (
        "The forecast is nearer than the clean score in 1 of 2 lines; its 90 % intervals hold 70 to 89 % of the "
        "figures, fewer than they promise." in told["expected"]
    )
    assert "mAP clips held out 0.020 ✓ 0.110 89 % ✕ a corruption left out 0.120 ✕ 0.110 70 % ✕" in told["expected"]
    assert "a corruption left out mAP fog 40 0.120 0.110 ✕ does not 70 % 1 % –" in told["expected"]
    assert "fog 3 0.70" in told["nearest"]
    assert "12 of 12 windows outside 0.05 to 0.2; PSI 0.90: drifted." in told["series"]
    assert "north: 5 of 9, most Contrast, Haze, Sharpness" in told["drift"]
    assert "haze 0.5 (band 0.05 to 0.2)" in told["odd"]
    assert (
        "Of 4,500 frames: 40 % act, 20 % observe, 20 % nothing seen, 15 % abstain, 5 % fall back." in told["decisions"]
    )
    assert "north 0.mp4 40 % 800 boxes 20 % 400 boxes 20 % 15 % 300 boxes" in told["decisions"]
    assert "3 files were left alone: 1 not footage, 1 empty, 1 a link to nothing." in told["files"]
    assert "east/notes.txt not footage: its name ends in '.txt' 2026-11-22 03:05 UTC" in told["files"]
    assert "north/gone.mp4 a link to nothing –" in told["files"]
    assert "Bands and drift are of windows of 1.2 s" in told["series"]
    assert "the points over time are of windows of up to 10 s" in told["drift"]
    assert "first clips of 2026-11-20, which nobody has checked" in told["nearest"]
    assert "clips/0000000200000001.mp4" in told["clips"]
    assert "before, 0.1 to 0.11." in told["history"]
    assert "r1 all mAP 40 0.300 [0.20, 0.40] 0.350 −0.050 0.520 ✓ inside" in told["history"]


def test_names_are_text(run: Path) -> None:
    footage.write(run, history=footage_factory.history())
    text = (run / footage.PAGE).read_text(encoding="utf-8")
    opened: list[tuple[str, dict]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append((tag, dict(attrs)))

    parser = Tags()
    parser.feed(re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.S))
    assert HOSTILE in unescape(text)
    assert not [tag for tag, attrs in opened if tag == "b" or "onerror" in attrs]
    assert "<img src=x" not in text
    hovers = json.dumps(charts_of(text))
    assert "&lt;/script&gt;" in hovers
    assert "<img" not in hovers


def test_series_hold_the_windows_and_the_band(found: scan.Scan) -> None:
    charts: dict = {}
    lines = series.drift(found)
    blocks = series.over_time(found, lines, charts)
    north = next(block for block in blocks if block["camera"] == "north")
    assert [card["name"] for card in north["multiples"]][:3] == ["Contrast", "Haze", "Sharpness"]
    figure = charts[north["multiples"][1]["id"]]
    band, points = figure["data"]
    assert sorted(set(band["y"])) == [0.05, 0.2]
    assert (band["x"][0], band["x"][1]) == (0, 120)
    own = [footage_factory.value("haze", "north", window) for window in range(footage_factory.WINDOWS)]
    assert [y for y in points["y"] if y is not None] == pytest.approx([*own, *own], rel=1e-3)
    assert [x for x in points["x"] if x is not None] == [*range(0, 60, 10), *range(60, 120, 10)]
    assert set(points["marker"]["symbol"]) == {"diamond", "circle"}  # the gap between clips is a circle nobody sees
    assert points["marker"]["symbol"].count("diamond") == 12
    assert figure["layout"]["shapes"][0]["x0"] == 60
    assert len(north["table"]["lines"]) == 2 * footage_factory.WINDOWS


def test_a_camera_is_the_mean_of_its_clips_by_length(found: scan.Scan) -> None:
    first, second = (footage_factory.clip_id(0, place) for place in range(2))
    clips = found.clips.assign(duration_s=found.clips["clip_id"].map({first: 30.0, second: 10.0}))
    forecast = found.table("forecast")
    forecast = forecast[(forecast["camera"] == "east") & (forecast["metric"] == "map")]
    forecast = forecast.assign(value=forecast["clip_id"].map({first: 0.5, second: 0.1}))
    other = scan.Scan(found.folder, found.facts, clips, {"forecast": forecast}, {}, [], found.names)
    (row,) = expected.by_camera(other)
    assert row["value"] == pytest.approx((30 * 0.5 + 10 * 0.1) / 40)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"window_s": 10.0, "drift_window_s": 1.2}, "are of windows of 1.2 s"),
        ({"window_s": 10.0, "drift_window_s": 0.0}, "are of single frames"),
        ({"window_s": 1.2, "drift_window_s": 1.2}, ""),
        ({"window_s": 10.0, "drift_window_s": None}, ""),
        ({}, ""),  # of an earlier version
    ],
)
def test_shorter_windows_of_the_reference_are_told(found: scan.Scan, facts: dict, said: str) -> None:
    told = series.cut(scan.Scan(found.folder, facts, found.clips, {}, {}, [], {}))
    assert said in told
    assert bool(said) == bool(told)


def test_what_is_expected_of_a_single_clip(found: scan.Scan) -> None:
    (row,) = (
        found.table("forecast").query("metric == 'map' and camera == 'north' and status == 'ok'").to_dict("records")
    )
    assert (
        expected._takeaway([row], "mAP")
        == "mAP is expected at 0.312; the clean score is 0.520. The interval lies below it."
    )
    near = row | {"high": 0.6}
    assert expected._takeaway([near], "mAP").endswith("The interval reaches it.")


def validated(found: scan.Scan, *tried: tuple[str, str, float, float]) -> dict:
    """What the page says of a forecast that was tried so: with what, of which metric, its error and its coverage."""
    row = {"corruption": None, "n": 400, "naive_error": 0.1, "width": 0.1, "confidence": 0.95, "outside": 0.0}
    rows = [
        row | {"validation": way, "metric": metric, "error": error, "coverage": coverage, "named_first": math.nan}
        for way, metric, error, coverage in tried
    ]
    table = {"validation": pd.DataFrame(rows), "forecast": found.table("forecast")}
    said = expected.validation(scan.Scan(found.folder, {}, found.clips, table, {}, [], {}))
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("errors", "coverages", "told"),
    [
        (
            (0.05, 0.099),
            (0.9463, 0.99),
            "nearer than the clean score wherever it was tried; its 95 % intervals hold 95 to 99 % of the figures, as "
            "many as they promise.",
        ),
        (
            (0.05, 0.1),
            (0.95, 0.9449),
            "nearer than the clean score in 1 of 2 lines; its 95 % intervals hold 94 to 95 % of the figures, fewer "
            "than they promise in 1 of 2 lines.",
        ),
        (
            (0.2, 0.1),
            (0.9, 0.9),
            "no nearer than the clean score wherever it was tried; its 95 % intervals hold 90 % of the figures, fewer "
            "than they promise.",
        ),
        (
            (0.05, math.nan),  # all of the second was said to lie outside
            (0.96, math.nan),
            "nearer than the clean score wherever it was tried; its 95 % intervals hold 96 % of the figures, as many "
            "as they promise.",
        ),
    ],
)
def test_whether_the_forecast_is_worth_it(
    found: scan.Scan, errors: tuple[float, float], coverages: tuple[float, float], told: str
) -> None:
    ways = zip(("held_out_clips", "left_out_corruption"), ("map", "map"), errors, coverages, strict=True)
    assert validated(found, *ways)["takeaway"] == f"The forecast is {told}"


def test_how_far_forecasts_were_off_by_metric(found: scan.Scan) -> None:
    ways = ("held_out_clips", "left_out_corruption")
    said = validated(found, *((way, metric, 0.05, 0.96) for way in ways for metric in ("miou", "hota", "map")))
    assert [metric for metric, _ in said["groups"]] == ["mAP", "HOTA", "mIoU"], "those of the forecast first"
    assert {tuple(line["way"] for line in lines) for _, lines in said["groups"]} == {
        ("clips held out", "a corruption left out")
    }
    nothing = validated(found, ("held_out_clips", "map", math.nan, math.nan))
    assert nothing["takeaway"].startswith("The forecast gave no figure where it was tried")


def test_of_many_files_left_alone_the_first_are_listed(found: scan.Scan) -> None:
    many = pd.DataFrame({"file": [f"{n:04d}.txt" for n in range(250)], "reason": "empty", "since_utc": None})
    told = opening.left(scan.Scan(found.folder, {}, found.clips, {"left": many}, {}, [], {}))
    assert (len(told["lines"]), told["rest"]) == (200, 50)
    assert told["takeaway"] == "250 files were left alone: 250 empty."


@pytest.mark.parametrize(
    ("standing", "said", "style"),
    [
        ([], "No alert stands", "ship"),
        (["ticket"], "Ticket: 1 alert stands", "open"),
        (["ticket", "rollback"], "Roll back: 2 alerts stand", "hold"),
    ],
)
def test_the_gravest_level_is_the_verdict(found: scan.Scan, standing: list[str], said: str, style: str) -> None:
    raised = [{"camera": "north", "level": level, "since_utc": "", "signals": []} for level in standing]
    other = scan.Scan(found.folder, found.facts, found.clips, {}, {"signals": [], "raised": raised}, [], {})
    verdict = opening.header(other)["verdict"]
    assert (verdict["text"], verdict["key"]) == (said, style)


def test_a_scan_that_measured_nothing_says_so(tmp_path: Path) -> None:
    run = footage_factory.write(tmp_path)
    for name in scan.MEASURED:
        (run / f"{name}.parquet").unlink()
    (run / "alerts.json").unlink()
    (run / "frames.json").unlink()
    for clip in (run / "clips").iterdir():
        clip.unlink()
    rows = footage_factory.clips()
    tables.write("footage_clips", rows[rows["status"] != "ok"], run / "clips.parquet")
    footage.write(run)
    told = sections((run / footage.PAGE).read_text(encoding="utf-8"))
    assert "No forecast was made" in told["expected"]
    assert "Nothing was measured over time" in told["series"]
    assert "Nothing was compared with a reference" in told["drift"]
    assert "No policy was applied" in told["decisions"]
    assert "No annotated clip" in told["clips"]
    assert "This is the first scan" in told["history"]
    assert "No alerts were computed" in told["alerts"]


def test_what_is_missing_or_broken_is_said_in_a_sentence(tmp_path: Path) -> None:
    run = footage_factory.write(tmp_path)
    (run / "alerts.json").write_text("{")
    with pytest.raises(InputError, match=r"alerts\.json is not readable JSON"):
        footage.write(run)
    (run / "alerts.json").write_text("[]")
    with pytest.raises(InputError, match="expected an object with named values, got list"):
        footage.write(run)
    (run / "run.json").unlink()
    (run / "alerts.json").unlink()
    with pytest.raises(InputError, match=r"Expected run\.json"):
        footage.write(run)
    assert not (run / footage.PAGE).exists()


def test_history_keeps_the_newest_scans_and_their_order(found: scan.Scan) -> None:
    rows = [
        {
            "run": f"r{place:03d}",
            "finished_utc": f"2026-11-22T{place // 60:02d}:{place % 60:02d}:00Z",
            "camera": "north",
        }
        for place in range(past.MOST_RUNS + 5)
    ]
    table = pd.DataFrame(rows).assign(signal="input_drift", value=[float(place) for place in range(len(rows))])
    charts: dict = {}
    told = past.history(found, table.iloc[::-1], charts)
    assert told["runs"] == past.MOST_RUNS
    (figure,) = charts.values()
    assert figure["data"][0]["y"] == [float(place) for place in range(5, len(rows))]
    assert told["lines"][0]["cells"] == ["204"]
