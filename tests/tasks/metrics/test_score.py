"""The stage from end to end on a run made by hand, its numbers computed again by the reference libraries."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from tasks import tables
from tasks.errors import InputError
from tasks.metrics.score import score
from tasks.metrics.streams import TABLES
from tasks.metrics.truth import GroundTruth, load

BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]


def written(run):
    return tuple(tables.read(name, run.layout.scores / f"{name}.parquet") for name in ("scores", "examples"))


def value(scores, **where):
    rows = scores[scores["baseline"].isna()]
    where = {"slice": "all", "class": "all"} | where
    for column, wanted in where.items():
        rows = rows[rows[column].isna()] if wanted is None else rows[rows[column] == wanted]
    assert len(rows) == 1, f"{len(rows)} rows for {where}"
    return rows["value"].iloc[0]


def predictions(run, model, corruption, severity):
    parts = sorted((run.layout.predictions / model / corruption / str(severity)).glob("*.parquet"))
    return pd.concat([tables.read("predictions", part) for part in parts])


def pycocotools_map(run, rows, frame_ids):
    """AP over some frames; nothing of the product takes part."""
    objects = run.objects[run.objects["frame_id"].isin(frame_ids)]
    rows = rows[rows["class_id"].notna() & rows["frame_id"].isin(frame_ids)]

    def shape(item):
        box = [float(getattr(item, name)) for name in BOX]
        return {"image_id": item.frame_id, "category_id": int(item.class_id)} | {
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        }

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": int(i)} for i in frame_ids],
            "categories": [{"id": int(i)} for i in run.classes[run.classes["kind"] == "object"]["class_id"]],
            "annotations": [
                # An ignored object that may match once only is what an area outside every range is to pycocotools.
                shape(item) | {"id": n + 1, "iscrowd": 0, "area": 1e12 if item.ignore else item.area_px}
                for n, item in enumerate(objects.itertuples())
            ],
        }
        coco.createIndex()
        found = coco.loadRes([shape(item) | {"score": float(item.score)} for item in rows.itertuples()])
        evaluation = COCOeval(coco, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


@pytest.fixture(scope="module")
def scored(tmp_path_factory, make_run, make_params):
    run = make_run(tmp_path_factory.mktemp("run"), make_params())
    score(make_params(), run.layout)
    return run, *written(run)


def test_detection_equals_pycocotools_on_all_frames_and_on_a_slice(scored):
    run, scores, _ = scored
    cell = {"model": "v2", "task": "detection", "corruption": "fog", "severity": 3, "metric": "map"}
    rows = predictions(run, "v2", "fog", 3)
    ids = run.frames["frame_id"].to_numpy()
    assert value(scores, **cell) == pytest.approx(pycocotools_map(run, rows, ids), abs=1e-9)
    north = run.frames[run.frames["camera"] == "north"]["frame_id"].to_numpy()
    assert value(scores, **cell, slice="camera=north") == pytest.approx(pycocotools_map(run, rows, north), abs=1e-9)
    early = run.frames[run.frames["frame_index"] < 2]["frame_id"].to_numpy()
    assert value(scores, **cell, slice="query:start") == pytest.approx(pycocotools_map(run, rows, early), abs=1e-9)


@pytest.mark.parametrize("clip", [None, "clip002"])
def test_average_precision_follows_from_the_stored_matches_alone(scored, clip):
    run, _, _ = scored
    rows = tables.read("matches", run.layout.scores / "matches.parquet")
    cell = (rows["model"] == "v2") & (rows["corruption"] == "fog") & (rows["severity"] == 3)
    rows = rows[cell & (rows["task"] == "detection")]
    frames = run.frames if clip is None else run.frames[run.frames["clip_id"] == clip]
    rows = rows[rows["frame_id"].isin(frames["frame_id"]) & rows["score"].notna()]
    truth = run.objects[~run.objects["ignore"] & run.objects["frame_id"].isin(frames["frame_id"])]
    precisions = []
    for class_id, total in truth.groupby("class_id").size().items():
        of_class = rows[rows["class_id"] == class_id]
        for bit in range(10):
            found = of_class[(of_class["counted_bits"].to_numpy(int) & (1 << bit)) > 0]
            hit = (found["hit_bits"].to_numpy(int) & (1 << bit)) > 0
            recall = np.cumsum(hit) / total
            precision = np.maximum.accumulate((np.cumsum(hit) / np.arange(1, len(hit) + 1))[::-1])[::-1]
            at = np.searchsorted(recall, np.linspace(0, 1, 101))
            precisions.append(np.r_[precision, 0.0][np.minimum(at, len(precision))].mean())
    expected = pycocotools_map(run, predictions(run, "v2", "fog", 3), frames["frame_id"])
    assert np.mean(precisions) == pytest.approx(expected, abs=1e-9)


def test_stored_matches_name_the_objects_found_and_missed(scored):
    run, _, _ = scored
    rows = tables.read("matches", run.layout.scores / "matches.parquet")
    rows = rows[(rows["model"] == "v2") & (rows["corruption"] == "fog") & (rows["severity"] == 3)]
    rows = rows[rows["task"] == "detection"]
    found, missed = rows[rows["error_kind"] == "found"], rows[rows["error_kind"] == "miss"]
    assert len(found)
    assert len(missed)
    assert (found["hits"] >= 1).all()
    assert missed["hits"].isna().all()
    assert missed["score"].isna().all()
    assert not set(found["object_id"]) & set(missed["object_id"])
    both = found.merge(run.objects, on="object_id", suffixes=("", "_true"))
    assert len(both) == len(found)
    assert (both["frame_id"] == both["frame_id_true"]).all()
    assert (both["class_id"] == both["class_id_true"]).all()
    assert (found["hits"] == [bin(bits).count("1") for bits in found["hit_bits"]]).all()


def test_semantic_and_classification_equal_torchmetrics(scored):
    run, scores, _ = scored
    rows = predictions(run, "v1", "motion_blur", 1)
    rows = rows[rows["label_map"].notna()].set_index("frame_id")
    truth = run.semantic.set_index("frame_id")["label_map"]
    place = np.full(256, 255)
    place[[0, 1, 4, 6]] = range(4)
    true = torch.tensor(np.stack([place[tables.decode_label_map(truth[i])] for i in rows.index]))
    read = torch.tensor(np.stack([place[tables.decode_label_map(rows["label_map"][i])] for i in rows.index]))
    cell = {"model": "v1", "corruption": "motion_blur", "severity": 1}
    expected = multiclass_jaccard_index(read, true, num_classes=4, ignore_index=255, average="macro")
    assert value(scores, **cell, task="semantic", metric="miou") == pytest.approx(float(expected), abs=1e-6)
    given = torch.tensor(np.stack(list(rows["probabilities"])))
    labels = torch.tensor(run.frames.set_index("frame_id")["label_id"][rows.index].to_numpy().astype(int))
    expected = multiclass_accuracy(given, labels, num_classes=3, average="micro")
    found = value(scores, **cell, task="classification", metric="accuracy")
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_summaries_are_means_of_their_cells_and_differences_of_the_models(scored):
    _, scores, _ = scored
    cells = {
        (model, name, severity): value(
            scores, model=model, task="tracking", metric="hota", corruption=name, severity=severity
        )
        for model in ("v1", "v2")
        for name in ("defocus_blur", "motion_blur", "fog")
        for severity in (1, 3)
    }
    mean = {model: np.mean([v for (m, _, _), v in cells.items() if m == model]) for model in ("v1", "v2")}
    where = {"task": "tracking", "corruption": "all", "family": "all", "severity": None}
    assert value(scores, model="v2", metric="mpc", **where) == pytest.approx(mean["v2"], abs=1e-9)
    clean = value(scores, model="v2", task="tracking", metric="hota", severity=0)
    assert value(scores, model="v2", metric="rpc", **where) == pytest.approx(mean["v2"] / clean, abs=1e-9)
    rows = scores[(scores["baseline"] == "v1") & (scores["metric"] == "mpc") & (scores["task"] == "tracking")]
    rows = rows[(rows["family"] == "all") & (rows["slice"] == "all") & (rows["class"] == "all")]
    assert rows["value"].tolist() == pytest.approx([mean["v2"] - mean["v1"]], abs=1e-9)
    assert rows["model"].tolist() == ["v2"]


def test_every_number_that_is_none_says_why_and_no_row_stands_twice(scored):
    _, scores, _ = scored
    known = scores["status"].isin(["ok", "insufficient"])
    assert (scores["value"].isna() == ~known).all()
    assert scores.loc[scores["status"] == "insufficient", ["low", "high", "p_value"]].isna().all(axis=None)
    keys = ["model", "baseline", "task", "corruption", "family", "severity", "slice", "class", "metric"]
    assert not scores.duplicated(keys).any()
    tags = scores[(scores["slice"] == "occluded=yes") & (scores["class"] == "all") & (scores["severity"] == 0)]
    assert set(tags[tags["baseline"].isna() & tags["value"].notna()]["metric"]) == {"ar100", "act_recall"}
    cut = scores[(scores["slice"] == "query:start") & (scores["task"] == "tracking")]
    assert set(cut["status"]) == {"not_defined"}


def test_counts_tell_units_frames_and_objects(scored):
    run, scores, _ = scored
    rows = scores[(scores["severity"] == 0) & (scores["model"] == "v1") & (scores["class"] == "all")]
    row = rows[(rows["slice"] == "camera=north") & (rows["metric"] == "map")].iloc[0]
    inside = run.frames[run.frames["camera"] == "north"]
    objects = run.objects[run.objects["frame_id"].isin(inside["frame_id"]) & ~run.objects["ignore"]]
    assert (row["n_units"], row["n_frames"], row["n_objects"]) == (
        inside["clip_id"].nunique(),
        len(inside),
        len(objects),
    )


def test_examples_say_of_every_frame_how_good_and_what_went_wrong(scored):
    run, scores, examples = scored
    assert examples.groupby(["model", "task", "corruption", "severity"]).size().eq(len(run.frames)).all()
    assert examples["score"].between(0, 1).all()
    assert (examples["evidence"].str.len() > 0).all()
    assert (examples["error_kind"].isna() == (examples["score"] == 1)).all()
    labels = examples[(examples["task"] == "classification") & (examples["model"] == "v1")]
    clean = labels[labels["severity"] == 0]
    accuracy = value(scores, model="v1", task="classification", metric="accuracy", severity=0)
    assert clean["score"].mean() == pytest.approx(accuracy)
    threshold = value(scores, model="v1", task="detection", metric="operating_threshold", severity=0)
    assert 0.3 < threshold < 0.7  # truth is found at 0.4 and above, strays stop at 0.6


def test_workers_change_no_byte(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[2])
    run = make_run(tmp_path, chosen, held_out=1, n_clips=3)
    outputs = []
    for workers in (1, 2):
        score(chosen, run.layout, workers=workers)
        outputs.append([path.read_bytes() for path in sorted(run.layout.scores.iterdir())])
    names = {path.name for path in run.layout.scores.iterdir()}
    files = {"scores.parquet", "shifts.parquet", "class_map.json", "policy.json"}
    assert names == files | {f"{name}.parquet" for name in TABLES}
    assert outputs[0] == outputs[1]


def test_slices_that_hold_the_same_are_measured_once_and_scored_alike(tmp_path, make_run, make_params, monkeypatch):
    named = {"attributes": ["camera"], "object": ["size"], "query": {"again": "camera == 'north'"}}
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[2], slices=named)
    run = make_run(tmp_path, chosen, n_clips=6)
    truth = load(chosen, run.layout.tables)
    assert truth.twins == {"query:again": "camera=north"}
    score(chosen, run.layout)
    together = written(run)[0]
    monkeypatch.setattr(GroundTruth, "twins", {})
    score(chosen, run.layout)
    pd.testing.assert_frame_equal(written(run)[0], together)
    assert together[together["slice"] == "query:again"]["status"].eq("ok").any()


@pytest.fixture
def small(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog", "snow"], "stream": ["packet_loss"]}, severities=[1])
    return make_run(tmp_path, chosen, n_clips=2, n_frames=2), chosen


def rewrite(run, model, corruption, change):
    for cell in run.cells:
        if (cell["model"], cell["corruption"]) == (model, corruption):
            change(cell)
    run.finish()


def test_a_corruption_that_infer_was_not_asked_for_is_failed_by_name(small):
    run, chosen = small
    listed = run.layout.predictions / "cells.parquet"
    cells = tables.read("cells", listed)
    tables.write("cells", cells[cells["corruption"] != "fog"], listed)
    score(chosen, run.layout)
    scores, _ = written(run)
    assert set(scores.loc[scores["corruption"].eq("fog") & scores["severity"].eq(1), "status"]) == {"failed"}
    policy = json.loads((run.layout.scores / "policy.json").read_text())
    fog = [cell for cell in policy["models"]["v1"]["cells"] if cell["corruption"] == "fog"]
    assert [(cell["strength"], cell["strength_unit"], cell["advice"]) for cell in fog] == [(None, None, "observe")]


def test_a_failed_clean_cell_leaves_no_threshold_and_says_so(small):
    run, chosen = small
    rewrite(run, "v1", "clean", lambda cell: cell.update(status="failed", part=None))
    score(chosen, run.layout)
    policy = json.loads((run.layout.scores / "policy.json").read_text())["models"]["v1"]
    assert {item["reason"] for item in policy["cells"] if item["corruption"] == "fog"} == {
        "no threshold is known: the clean cell has failed"
    }
    assert {item["reason"] for item in policy["slices"]} == {"the cell is failed: nothing is known"}
    confusion = tables.read("confusion", run.layout.scores / "confusion.parquet")
    objects = confusion[(confusion["model"] == "v1") & (confusion["task"] == "detection")]
    assert objects.empty  # no operating threshold, no confusion at one


def test_failed_missing_and_inapplicable_cells_are_named(small):
    run, chosen = small
    rewrite(run, "v1", "fog", lambda cell: cell.update(status="failed", part=None) if "0001" in cell["shard"] else None)
    for model in ("v1", "v2"):
        rewrite(run, model, "packet_loss", lambda cell: cell.update(status="not_applicable", part=None))
    (run.layout.predictions / "v2" / "snow" / "1" / "shard-0000.parquet").unlink()
    score(chosen, run.layout)
    scores, examples = written(run)
    own = scores[scores["baseline"].isna() & (scores["slice"] == "all") & (scores["class"] == "all")]
    own = own[own["task"] == "detection"].set_index(["model", "metric", "corruption", "family"])["status"]
    assert own["v1", "map", "fog", "weather"] == "failed"
    assert own["v2", "map", "fog", "weather"] == "ok"
    assert own["v2", "map", "snow", "weather"] == "failed"
    assert own["v1", "map", "packet_loss", "stream"] == "not_applicable"
    assert own["v1", "mpc", "packet_loss", "stream"] == "not_applicable"
    assert own["v1", "mpc", "snow", "weather"] == "ok"
    assert own["v1", "mpc", "all", "weather"] == own["v1", "rpc", "all", "all"] == "incomplete"
    differences = scores[(scores["baseline"] == "v1") & (scores["metric"] == "map") & (scores["slice"] == "all")]
    differences = differences[differences["class"] == "all"].set_index("corruption")["status"]
    assert differences["fog"] == "failed"
    assert differences["clean"] == "ok"
    assert scores.loc[~scores["status"].isin(["ok", "insufficient"]), "value"].isna().all()
    assert not ((examples["model"] == "v1") & (examples["corruption"] == "fog")).any()


def spoil(run, change):
    path = run.layout.predictions / "v1" / "fog" / "1" / "shard-0001.parquet"
    table = tables.read("predictions", path)
    tables.write("predictions", change(table), path)
    return path


def with_nan(table):
    boxes = table["class_id"].notna()
    table.loc[table.index[boxes][-1], "score"] = np.nan
    return table


def twice_tracked(table):
    table["track_id"] = pd.array([1] * len(table), dtype="Int64")
    return table


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (with_nan, r"v1/fog/1/shard-0001.parquet: a score that is no number in row \d+ \(frame \d+\)"),
        (twice_tracked, r"The predictions of clip clip\d+, frame \d+, hold a track id twice"),
        (lambda table: table.assign(class_id=table["class_id"] + 90), r"class id\(s\) \[93.* models.json"),
        (lambda table: table[table["label_map"].isna()], r"no probabilities for frame \d+"),
    ],
)
def test_broken_predictions_are_refused_by_name(small, change, told):
    run, chosen = small
    spoil(run, change)
    with pytest.raises(InputError, match=told):
        score(chosen, run.layout)
    assert not run.layout.scores.exists()


def test_a_class_map_joins_drops_and_is_written_down(small):
    run, chosen = small
    run.describe("v1", object={3: "truck", 5: "bus", 7: "cyclist", 9: "pedestrian", 11: "dog"})
    run.finish()
    mapping = {"truck": "car", "bus": "bus", "cyclist": "pedestrian", "pedestrian": "pedestrian", "dog": None}
    named = {name: name for name in ("sky", "road", "vehicle", "person", "red", "green", "amber")}
    models = {"v1": chosen.models["v1"].model_copy(update={"class_map": mapping | named}), "v2": chosen.models["v2"]}
    score(chosen.model_copy(update={"models": models}), run.layout)
    scores, _ = written(run)
    cell = {"task": "detection", "metric": "map", "severity": 0}
    rows = predictions(run, "v1", "clean", 0)
    rows["class_id"] = rows["class_id"].replace({7: 9})
    expected = pycocotools_map(run, rows, run.frames["frame_id"].to_numpy())
    assert value(scores, model="v1", **cell) == pytest.approx(expected, abs=1e-9)
    found = json.loads((run.layout.scores / "class_map.json").read_text())
    assert found["v1"]["object"]["dropped"] == ["dog"]
    assert found["v1"]["object"]["unreached"] == ["cyclist"]


def test_without_truth_of_any_task_nothing_can_be_scored(small):
    run, chosen = small
    run.classes = run.classes[:0]
    run.objects, run.semantic = run.objects[:0], run.semantic[:0]
    run.frames["label_id"] = None
    run.write_tables()
    with pytest.raises(InputError, match="No model has a task"):
        score(chosen, run.layout)


def test_a_model_that_finds_nothing_scores_zero_and_its_empty_tracks_count(small):
    run, chosen = small
    for shard in (run.layout.predictions / "v1").rglob("*.parquet"):
        table = tables.read("predictions", shard)
        tables.write("predictions", table[table["class_id"].isna()], shard)
    score(chosen, run.layout)
    scores, examples = written(run)
    cell = {"model": "v1", "severity": 0}
    assert value(scores, **cell, task="detection", metric="map") == 0
    assert value(scores, **cell, task="tracking", metric="hota") == 0
    assert value(scores, **cell, task="tracking", metric="mota") == 0
    assert np.isnan(value(scores, **cell, task="tracking", metric="motp"))
    told = examples[(examples["model"] == "v1") & (examples["task"] == "detection")]
    assert set(told["error_kind"].dropna()) == {"miss"}


def rectangle(size, box):
    """A compressed mask, its box rounded to whole pixels inside the frame."""
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[max(y0, 0) : max(y1, 1), max(x0, 0) : max(x1, 1)] = 1
    return coco_mask.encode(mask)


def test_masks_equal_pycocotools(small):
    run, chosen = small
    run.objects["mask"] = [rectangle(run.size, row)["counts"] for row in run.objects[BOX].to_numpy()]
    run.objects["ignore"] = False
    run.write_tables()
    for model in ("v1", "v2"):
        run.described[model]["tasks"].append("instance")
        for part in (run.layout.predictions / model).rglob("*.parquet"):
            table = tables.read("predictions", part)
            boxes = table["class_id"].notna()
            table["mask"] = None
            table.loc[boxes, "mask"] = [rectangle(run.size, row)["counts"] for row in table.loc[boxes, BOX].to_numpy()]
            tables.write("predictions", table, part)
    run.finish()
    score(chosen, run.layout)
    scores, _ = written(run)
    rows = predictions(run, "v1", "clean", 0)
    rows = rows[rows["class_id"].notna()]

    def shape(item):
        mask = {"size": list(run.size), "counts": item.mask}
        return {"image_id": item.frame_id, "category_id": int(item.class_id), "segmentation": mask}

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": int(i), "height": run.size[0], "width": run.size[1]} for i in run.frames["frame_id"]],
            "categories": [{"id": int(i)} for i in run.classes[run.classes["kind"] == "object"]["class_id"]],
            "annotations": [
                shape(item) | {"id": n + 1, "iscrowd": 0, "area": item.area_px}
                for n, item in enumerate(run.objects.itertuples())
            ],
        }
        coco.createIndex()
        # One by one: its own area() of more than 255 masks fails with NumPy 2.
        annotations = [
            shape(item)
            | {
                "id": n + 1,
                "iscrowd": 0,
                "score": float(item.score),
                "area": float(coco_mask.area(shape(item)["segmentation"])),
            }
            for n, item in enumerate(rows.itertuples())
        ]
        found = COCO()
        found.dataset = coco.dataset | {"annotations": annotations}
        found.createIndex()
        evaluation = COCOeval(coco, found, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    cell = {"model": "v1", "task": "instance", "severity": 0}
    assert value(scores, **cell, metric="mask_map") == pytest.approx(evaluation.stats[0], abs=1e-9)
    small_ap = value(scores, **cell, metric="mask_map", slice="size=small")
    assert small_ap == pytest.approx(evaluation.stats[3], abs=1e-9)
