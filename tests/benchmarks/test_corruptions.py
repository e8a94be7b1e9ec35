"""The measurement of corruptions on a tiny size: what it says and writes; never how long things take."""

import json
import math
import mmap
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import corruptions, corruptions_page, device, memory, perturbers, records, timing
from benchmarks.pictures import generated
from tasks.corruptions import BENCHMARK, CORRUPTIONS

TINY = corruptions.Size(
    name="quick",
    severities=(5,),
    budget_s=0.0,
    most=4,
    height=48,
    width=64,
    names=("gamma", "fog", "h264", "frame_freeze"),
    memory=((240, 320),),
    coded_frames=3,
    long_frames=8,
    batch=2,
    repeats=1,
)
NAMES = [name for name, corruption in CORRUPTIONS.items() if corruption.benchmark]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    nowhere = tmp_path_factory.mktemp("kept") / "corruptions.csv"
    return corruptions.run(TINY, corruptions.PARTS, on="cpu", kept=nowhere)


def test_every_name_is_timed_at_every_severity(result):
    rows = result["parts"]["reference"]["rows"]
    assert [(row["name"], row["severity"]) for row in rows[:19]] == [(n, 5) for n in NAMES]
    assert [row["name"] for row in rows[19:]] == NAMES
    assert all(row["reference_ms"] > 0 and row["ours_ms"] > 0 and row["kept_ms"] > 0 for row in rows)


def test_totals_are_of_summed_times():
    rows = [
        {"name": name, "severity": 1, "reference_ms": theirs, "ours_ms": ours, "kept_ms": 1.0, "first_ms": 1.0}
        for name, theirs, ours in (
            ("glass_blur", 3600.0, 36.0),
            ("fog", 20.0, 10.0),
            ("pixelate", 3.0, 4.0),
            ("jpeg_compression", 3.0, 3.0),
        )
    ]
    totals = timing.totals(rows)
    assert totals["all_19_ratio"] == pytest.approx(3626 / 53)
    assert totals["without_glass_blur_ratio"] == pytest.approx(26 / 17)
    assert totals["geometric_mean_ratio"] == pytest.approx((100 * 2 * 0.75) ** 0.25)
    assert totals["slowest_ratio"] == 2
    assert totals["slowest_jpeg_pixelate_ratio"] == 0.75


def test_pairs_alternate_and_end_within_the_budget():
    calls = []
    theirs, ours = timing.pairs(
        lambda n: calls.append(f"theirs {n}"), lambda n: calls.append(f"ours {n}"), budget_s=0.0, least=2, most=9
    )
    assert calls == ["ours 0", "theirs 0", "theirs 1", "ours 1"]
    assert len(theirs) == len(ours) == 2


def test_the_reference_is_the_package_and_left_as_it_was():
    import imagecorruptions

    frame = generated(40, 48)
    before = imagecorruptions.corruptions.gaussian
    with perturbers.imagecorruptions() as reference:
        for name in ("fog", "glass_blur", "gaussian_blur"):  # those that fail without mending
            assert reference(frame, 1, name).shape == frame.shape
    assert imagecorruptions.corruptions.gaussian is before
    assert not hasattr(np, "float_")


def test_others_are_measured_or_said_to_be_missing(result):
    rows = {row["name"]: row for row in result["parts"]["others"]["rows"]}
    assert len(rows) == len(perturbers.PERTURBERS)
    for other in perturbers.PERTURBERS:
        row = rows[f"{other.package} {other.name}"]
        if other.package == "albumentations":
            assert row["ratio"] == row["theirs_ms"] / row["ours_ms"]
        else:
            assert ("ratio" in row) != row.get("status", "").startswith("not installed")


@pytest.mark.slow
def test_memory_is_what_a_process_holds():
    taken = memory.in_own_process(memory.peak_bytes, _twenty_megabytes)
    assert 19e6 < taken < 24e6


def _twenty_megabytes():
    np.ones(15_000_000, np.uint8)
    return np.ones(20_000_000, np.uint8)


def test_memory_of_every_corruption(result):
    rows = result["parts"]["memory"]["rows"]
    assert [row["name"] for row in rows] == list(TINY.names)
    coded = {row["name"] for row in rows if row["clip_frames"] > 1}
    assert coded == {"h264", "frame_freeze"}
    for row in rows:
        if row["name"] not in coded:  # at least a frame more, in whole pages of memory: what comes out
            assert row["peak_bytes_per_px_320x240"] >= 320 * 240 * 3 // mmap.PAGESIZE * mmap.PAGESIZE / (320 * 240)


def test_traffic_is_what_operations_read_and_write():
    values = torch.ones(100, dtype=torch.float32)
    with device.Traffic() as traffic:
        (values + 1)[10:].view(-1, 9)
    assert (traffic.bytes, traffic.operations) == (800, 1)
    with device.Traffic() as traffic:
        values.expand(50, 100).add(values)
        values.add_(1)
    assert (traffic.bytes, traffic.operations) == (400 + 400 + 50 * 400 + 800, 2)


def test_the_device_has_the_benchmark_and_is_compared_with_what_is_kept(result, tmp_path):
    rows = result["parts"]["device"]["rows"]
    assert [(row["name"], row["severity"]) for row in rows] == [(n, 5) for n in BENCHMARK]
    assert not {name for name in result["bars"] if name.startswith("device")}, "the bars are a GPU's"
    kept = [{"name": "fog", "severity": "1"}, {"name": "fog", "severity": "mean"}]
    table = tmp_path / "corruptions.csv"
    empty = dict.fromkeys(corruptions.COLUMNS, "") | {"part": "reference", "figure": "reference_ms"}
    for size, value in (("quick", "30"), ("full", "20")):
        given = [empty | row | {"size": size, "value": value} for row in kept]
        records.replace(given, table, corruptions.COLUMNS, ["size", "part"], corruptions_page.page)
    assert corruptions.reference_ms(table) == {("fog", 1): 20.0}
    speeds = {"images_per_s": 100.0, "kept_images_per_s": 200.0, "severity": 1}
    totals = device.totals(
        [
            {"name": "fog"} | speeds,
            {"name": "snow"} | speeds | {"images_per_s": 300.0},
            {"name": "jpeg_compression"} | speeds,
        ],
        {("fog", 1): 20.0},
    )
    assert totals["device_images_per_s"] == pytest.approx(150)
    assert totals["device_ratio"] == pytest.approx(2)


def test_every_bar_decides_what_holds(result):
    figures = {}
    for part in result["parts"].values():
        figures |= part["whole"]
    assert corruptions.BARS.keys() - figures.keys() <= {"device_ratio"}
    assert all(math.isfinite(value) for value in figures.values())
    for name, bar in result["bars"].items():
        sense, limit = corruptions.BARS[name]
        assert bar["holds"] == (figures[name] >= limit if sense == "at least" else figures[name] <= limit)
    assert result["holds"] == all(bar["holds"] for bar in result["bars"].values())
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize("missed", [False, True])
def test_the_command_prints_json_last_and_fails_when_a_bar_is_missed(result, missed, monkeypatch, tmp_path, capsys):
    given = result | {"holds": not missed}
    monkeypatch.setattr(corruptions, "run", lambda size, parts, on, kept: given)
    monkeypatch.setattr("sys.argv", ["corruptions", "--quick", "--out", str(tmp_path)])
    assert corruptions.main() == int(missed)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == given
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corruptions.csv", "corruptions.md"]


def test_a_run_replaces_the_rows_of_its_own_size_and_parts_alone(result, tmp_path):
    table = tmp_path / "corruptions.csv"

    def write(given):
        records.replace(corruptions.rows(given), table, corruptions.COLUMNS, ["size", "part"], corruptions_page.page)
        return records.rows(table)

    both = len(write(result)) + len(corruptions.rows(result))
    assert len(write(result | {"size": "full"})) == both
    alone = result | {"parts": {"others": result["parts"]["others"]}}
    assert len(write(alone)) == both
    text = Path(tmp_path / "corruptions.md").read_text(encoding="utf-8")
    assert text.count("| all_19_ratio") == 2
    assert text.index("`python -m benchmarks.corruptions`") < text.index("`python -m benchmarks.corruptions --quick`")
