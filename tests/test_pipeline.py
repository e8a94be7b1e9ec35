"""The whole way, once, in small: from a params file to the page."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors import safe_open

from tasks import tables
from tasks.params import TRIVIAL
from tests.conftest import SMALL, SmallRun, stormglass


def scores(run: SmallRun) -> pd.DataFrame:
    return tables.read("scores", run.root / "scores/scores.parquet")


def test_a_class_added_in_params_alone_flows_through(small_run: SmallRun) -> None:
    """`van` stands in params and nowhere else: it is rendered, learned, scored and reported."""
    classes = tables.read("classes", small_run.root / "tables/classes.parquet")
    (van,) = classes.loc[(classes["kind"] == "object") & (classes["name"] == "van"), "class_id"]
    objects = tables.read("objects", small_run.root / "tables/objects.parquet")
    assert (objects["class_id"] == van).sum() > 0
    with safe_open(small_run.root / "models/crossing-v1.safetensors", "pt") as weights:  # type: ignore[no-untyped-call]
        assert "van" in json.dumps(weights.metadata())
    of_van = scores(small_run).query("`class` == 'van' and metric == 'map' and severity == 0 and slice == 'all'")
    assert set(of_van["model"]) == {*SMALL["models"], TRIVIAL}  # type: ignore[misc]
    assert "van" in (small_run.root / "reports/robustness.html").read_text(encoding="utf-8")


def test_every_cell_of_params_is_scored(small_run: SmallRun) -> None:
    table = scores(small_run)
    cells = table[table["severity"].notna() & (table["slice"] == "all") & (table["class"] == "all")]
    expected = {("clean", 0), ("low_light", 2), ("low_light", 5), ("jpeg_compression", 2), ("jpeg_compression", 5)}
    expected |= {("h264", 1), ("h264", 2)}  # own levels: their places
    for task, metric in {k: v for k, v in tables.HEADLINE.items() if k != "instance"}.items():
        for model in ("crossing-v1", "crossing-v2"):
            of = cells[(cells["task"] == task) & (cells["metric"] == metric) & (cells["model"] == model)]
            absolute = of[of["baseline"].isna()]
            assert set(zip(absolute["corruption"], absolute["severity"], strict=True)) == expected
            assert set(absolute["status"]) == {"ok"}
    oracle = cells[(cells["metric"] == "hota_oracle_detection") & (cells["model"] == "crossing-v1")]["value"]
    assert len(oracle) == len(expected)
    assert oracle.nunique(dropna=False) == 1  # the tracker sees true boxes in every cell


def test_mpc_is_the_mean_of_means(small_run: SmallRun) -> None:
    table = scores(small_run)
    whole = table[(table["slice"] == "all") & (table["class"] == "all") & table["baseline"].isna()]
    miou = whole[(whole["task"] == "semantic") & (whole["model"] == "crossing-v2")]
    cells = miou[(miou["metric"] == "miou") & (miou["severity"] > 0)]
    by_hand = cells.groupby("corruption")["value"].mean().mean()
    overall = miou[(miou["corruption"] == "all") & (miou["family"] == "all")].set_index("metric")["value"]
    assert overall["mpc"] == pytest.approx(by_hand, abs=1e-9)
    clean = miou[(miou["metric"] == "miou") & (miou["severity"] == 0)]["value"].item()
    assert overall["rpc"] == pytest.approx(by_hand / clean, abs=1e-9)


def test_the_page_asks_for_nothing(small_run: SmallRun) -> None:
    page = (small_run.root / "reports/robustness.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page.split("<script")[0])
    assert len(page) < 10_000_000


def test_what_is_done_is_not_done_again(small_run: SmallRun) -> None:
    store = small_run.root / ".stormglass/parts"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.parquet")}
    predictions = digests(small_run.root / "predictions")
    stormglass("infer", cwd=small_run.root)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.parquet")} == before
    assert digests(small_run.root / "predictions") == predictions


def digests(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_gate_speaks_by_its_exit_status(small_run: SmallRun, tmp_path: Path) -> None:
    assert "pass" in stormglass("gate", cwd=small_run.root).stdout
    strict = SMALL | {"gates": [{"metric": "miou", "min": 0.99}]}
    (small_run.root / "strict.yaml").write_text(yaml.safe_dump(strict), encoding="utf-8")
    assert "fail" in stormglass("gate", "--params", "strict.yaml", cwd=small_run.root, status=1).stdout
