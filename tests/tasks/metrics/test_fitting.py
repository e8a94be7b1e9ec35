"""What is fitted on validation frames, from the stored predictions to the tables, computed again by other libraries."""

import numpy as np
import pandas as pd
import pytest
import torch
from pycocotools import mask as coco_mask
from scipy.optimize import minimize
from torchmetrics.functional.classification import multiclass_calibration_error

from tasks import tables
from tasks.layout import Layout
from tasks.metrics.score import score

NAMES = ["red", "green", "amber"]
METRICS = {"min_units": 2, "resamples": 100, "answer_accuracy": 0.8}
FOG = {"model": "v1", "corruption": "fog", "severity": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[3], metrics=METRICS)
    run = make_run(tmp_path_factory.mktemp("run"), chosen, held_out=6, n_clips=12)
    score(chosen, run.layout)
    run.chosen = chosen
    return run


def read(run, name):
    return tables.read(name, run.layout.scores / f"{name}.parquet")


def rows_of(table, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table


def row(run, **where):
    scores = read(run, "scores")
    found = rows_of(scores[scores["baseline"].isna()], **({"slice": "all", "class": "all"} | where))
    assert len(found) == 1, f"{len(found)} rows for {where}"
    return found.iloc[0]


def labelled(run, model, corruption, severity):
    """Probabilities and labels of a stored cell, frame by frame."""
    parts = sorted((run.layout.predictions / model / corruption / str(severity)).glob("*.parquet"))
    table = pd.concat([tables.read("predictions", part) for part in parts])
    table = table[table["probabilities"].notna()]
    labels = run.frames.set_index("frame_id")["label_id"][table["frame_id"]].to_numpy(int, copy=True)
    return np.stack(list(table["probabilities"])).astype(float), labels


def likeliest(logits, labels):
    """The temperature of the least cross entropy, by torch and by Nelder and Mead."""
    logits, labels = torch.from_numpy(logits), torch.from_numpy(labels)

    def loss(log_t):
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_t[0]), labels))

    return float(np.exp(minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}).x[0]))


def test_a_classifier_s_temperature_is_of_the_validation_frames_alone(run):
    for model in ("v1", "v2"):
        shares, labels = labelled(run, model, "validation", 0)
        assert len(labels) == 24
        found = row(run, model=model, task="classification", metric="temperature")
        assert (found["corruption"], found["severity"], found["status"]) == ("clean", 0, "ok")
        assert found["value"] == pytest.approx(likeliest(np.log(shares), labels), rel=1e-4)


def test_ece_after_scaling_equals_torchmetrics_in_every_cell(run):
    t = row(run, model="v1", task="classification", metric="temperature")["value"]
    for corruption, severity in (("clean", 0), ("fog", 3)):
        shares, labels = labelled(run, "v1", corruption, severity)
        for metric, divisor in (("ece", 1.0), ("ece_scaled", t)):
            scaled = torch.softmax(torch.from_numpy(np.log(shares)) / divisor, dim=1)
            expected = multiclass_calibration_error(scaled, torch.from_numpy(labels), num_classes=3, n_bins=15)
            found = row(run, model="v1", task="classification", corruption=corruption, severity=severity, metric=metric)
            assert found["value"] == pytest.approx(float(expected), abs=1e-6)
            assert np.isnan(found["low"])


def test_abstention_is_chosen_on_validation_and_counted_in_each_cell(run):
    shares, labels = labelled(run, "v1", "validation", 0)
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    threshold = min(t for t in sure if right[sure >= t].mean() >= 0.8)
    found = row(run, model="v1", task="classification", metric="abstain_below")
    assert (found["value"], found["corruption"]) == (pytest.approx(threshold, abs=1e-7), "clean")

    shares, labels = labelled(run, "v1", "fog", 3)
    kept = shares.max(axis=1) >= threshold
    right = shares.argmax(axis=1) == labels
    for place, name in enumerate(("all", *NAMES)):
        own = np.ones(len(labels), dtype=bool) if name == "all" else labels == place - 1
        coverage = row(run, **FOG, metric="coverage", **{"class": name})
        assert coverage["value"] == pytest.approx(kept[own].mean())
        assert coverage["low"] <= coverage["value"] <= coverage["high"]
        selective = row(run, **FOG, metric="selective_accuracy", **{"class": name})
        assert selective["value"] == pytest.approx(right[own & kept].mean())
        assert selective["low"] <= selective["value"] <= selective["high"]
    assert 0 < kept.mean() < 1

    said = np.where(kept, np.array(NAMES)[shares.argmax(axis=1)], "Unknown")
    expected = pd.Series(zip(np.array(NAMES)[labels], said, strict=True)).value_counts().to_dict()
    answers = rows_of(read(run, "answers"), **FOG)
    assert {(a, b): n for a, b, n in answers[["true_class", "predicted_class", "count"]].to_numpy()} == expected
    confusion = rows_of(read(run, "confusion"), **FOG, task="classification")
    assert "Unknown" not in set(confusion["predicted_class"])
    correct = confusion.loc[confusion["true_class"] == confusion["predicted_class"], "count"].sum()
    accuracy = row(run, **FOG, task="classification", metric="accuracy")["value"]
    assert correct / confusion["count"].sum() == pytest.approx(accuracy)


def scored_hits(found):
    """Score, and whether an object was found at IoU 0.5, of the rows of `matches` that count there."""
    found = found[found["score"].notna() & (found["counted_bits"].fillna(0).astype(int) % 2 == 1)]
    return found["score"].to_numpy(float, copy=True), found["hit_bits"].astype(int).to_numpy() % 2


def test_a_detector_s_temperature_and_its_error(run, tmp_path, make_params):
    t = row(run, model="v2", task="detection", metric="temperature")["value"]
    # The validation frames as a run of their own tell which detections were right there.
    other = make_params(dataset={"split": "validation"}, corruptions={}, metrics=METRICS)
    cells = [c | {"corruption": "clean"} for c in run.cells if c["corruption"] == "validation"]
    layout = Layout(tmp_path)
    layout.predictions.mkdir()
    layout.tables.symlink_to(run.layout.tables)
    for name in ("v1", "v2", "models.json"):
        (layout.predictions / name).symlink_to(run.layout.predictions / name)
    tables.write("cells", pd.DataFrame(cells), layout.predictions / "cells.parquet")
    score(other, layout)
    matches = tables.read("matches", layout.scores / "matches.parquet")
    scores, hits = scored_hits(rows_of(matches, model="v2", task="detection"))
    assert t == pytest.approx(likeliest(np.log(np.column_stack([1 - scores, scores])), hits), rel=1e-4)
    own = tables.read("scores", layout.scores / "scores.parquet")
    assert set(own.loc[own["metric"] == "temperature", "status"]) == {"not_defined"}  # it is its own validation split

    for corruption, severity in (("clean", 0), ("fog", 3)):
        cell = {"model": "v2", "task": "detection", "corruption": corruption, "severity": severity}
        scores, hits = scored_hits(rows_of(read(run, "matches"), **cell))
        odds = torch.sigmoid(torch.logit(torch.from_numpy(scores)) / t).numpy()
        held = np.digitize(odds, np.linspace(0, 1, 16))
        gaps = [abs((odds[held == b] - hits[held == b]).sum()) for b in np.unique(held)]
        assert row(run, **cell, metric="d_ece_scaled")["value"] == pytest.approx(sum(gaps) / len(odds), abs=1e-6)
        assert row(run, **cell, metric="d_ece_scaled", **{"class": "bus"})["status"] == "ok"


def test_the_table_of_reliability_gives_the_calibration_errors(run):
    table, scores = read(run, "reliability"), read(run, "scores")
    assert (table["count"] > 0).all()
    assert ((table["confidence"] >= table["low"]) & (table["confidence"] <= table["high"] + 1e-9)).all()
    n_bins = 0
    for (model, task, corruption), bins in table.groupby(["model", "task", "corruption"]):
        gaps = (bins["accuracy"] - bins["confidence"]).abs() * bins["count"]
        metric = {"classification": "ece", "detection": "d_ece"}[task]
        where = {"model": model, "task": task, "corruption": corruption, "metric": metric, "class": "all"}
        (value,) = rows_of(scores, **where)["value"]
        assert gaps.sum() / bins["count"].sum() == pytest.approx(value, abs=1e-9)
        n_bins += len(bins)
    assert n_bins == len(table)
    assert set(table["task"]) == {"classification", "detection"}


@pytest.mark.parametrize("why", ["none asked for", "none listed", "one failed", "without truth"])
def test_without_validation_frames_nothing_is_fitted(tmp_path, make_run, make_params, why):
    dataset = {"split": "test", "validation": None if why == "none asked for" else "validation"}
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[3], dataset=dataset)
    run = make_run(tmp_path, chosen, held_out=1, n_clips=3, n_frames=2)
    if why == "none listed":
        run.cells = [cell for cell in run.cells if cell["corruption"] != "validation"]
    elif why == "one failed":
        for cell in run.cells:
            if cell["corruption"] == "validation":
                cell.update(status="failed", part=None)
    elif why == "without truth":
        held_out = run.frames["split"] == "validation"
        run.frames.loc[held_out, "label_id"] = None
        run.frames["label_id"] = run.frames["label_id"].astype("Int32")
        run.objects = run.objects[~run.objects["frame_id"].isin(run.frames.loc[held_out, "frame_id"])]
        run.write_tables()
    run.finish()
    score(chosen, run.layout)
    scores = read(run, "scores")
    scores = scores[scores["baseline"].isna()]
    fitted = {"temperature", "abstain_below", "ece_scaled", "d_ece_scaled", "coverage", "selective_accuracy"}
    rows = scores[scores["metric"].isin(fitted)]
    assert set(rows["metric"]) == fitted
    assert set(rows["status"]) == {"not_defined"}
    assert (scores.loc[scores["metric"].isin(["ece", "d_ece"]) & (scores["class"] == "all"), "status"] == "ok").all()
    assert len(read(run, "answers")) == 0
    assert len(read(run, "reliability")) > 0


def test_masks_have_a_temperature_of_their_own(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[3])
    run = make_run(tmp_path, chosen, held_out=2, n_clips=4)

    def left_half(box):
        x0, y0, x1, y1 = (round(float(edge)) for edge in box)
        mask = np.zeros(run.size, dtype=np.uint8, order="F")
        mask[max(y0, 0) : max(y1, 1), max(x0, 0) : max((x0 + x1) // 2, 1)] = 1
        return coco_mask.encode(mask)["counts"]

    box = ["x0_px", "y0_px", "x1_px", "y1_px"]
    run.objects["mask"] = [left_half(row) for row in run.objects[box].to_numpy()]
    run.write_tables()
    for model in ("v1", "v2"):
        run.described[model]["tasks"].append("instance")
        for part in (run.layout.predictions / model).rglob("*.parquet"):
            table = tables.read("predictions", part)
            table["mask"] = [None if np.isnan(row[0]) else left_half(row) for row in table[box].to_numpy(float)]
            tables.write("predictions", table, part)
    run.finish()
    score(chosen, run.layout)
    values = {
        task: row(run, model="v1", task=task, metric="temperature")["value"] for task in ("detection", "instance")
    }
    assert values["detection"] != values["instance"]
    scores, hits = scored_hits(rows_of(read(run, "matches"), **FOG, task="instance"))
    odds = torch.sigmoid(torch.logit(torch.from_numpy(scores)) / values["instance"]).numpy()
    held = np.digitize(odds, np.linspace(0, 1, 16))
    gaps = [abs((odds[held == b] - hits[held == b]).sum()) for b in np.unique(held)]
    found = row(run, **FOG, task="instance", metric="mask_d_ece_scaled")["value"]
    assert found == pytest.approx(sum(gaps) / len(odds), abs=1e-6)
