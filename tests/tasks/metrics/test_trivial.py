"""Trivial baselines on a small run: their figures by hand, or by the libraries alone."""

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.functional.classification import multiclass_jaccard_index
from trackeval.metrics import HOTA

from tasks import params, tables
from tasks.errors import InputError
from tasks.metrics.score import score
from tasks.report import numbers

BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
SHAPE = {"n_clips": 6, "n_frames": 3, "n_stray": 1}


def prepared(root, make_run, make_params, *, train):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[1])
    run = make_run(root, chosen, **SHAPE)
    run.objects["ignore"] = False
    run.frames.loc[run.frames["clip_id"].isin(["clip004", "clip005"]), "split"] = "train" if train else "other"
    run.write_tables()
    score(chosen, run.layout)
    return run, chosen, tables.read("scores", run.layout.scores / "scores.parquet")


@pytest.fixture(scope="module")
def learned(tmp_path_factory, make_run, make_params):
    """A run with a split to learn from."""
    return prepared(tmp_path_factory.mktemp("learned"), make_run, make_params, train=True)


@pytest.fixture(scope="module")
def without(tmp_path_factory, make_run, make_params):
    """A run without one."""
    return prepared(tmp_path_factory.mktemp("without"), make_run, make_params, train=False)


def row(scores, task, slice_="all", class_="all"):
    rows = scores[(scores["model"] == "trivial") & (scores["task"] == task)]
    rows = rows[(rows["slice"] == slice_) & (rows["class"] == class_)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_truth_that_does_not_count_teaches_nothing(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[1])
    run = make_run(tmp_path, chosen, **SHAPE)
    run.objects["ignore"] = True
    void = tables.encode_label_map(np.full(run.size, 255, dtype=np.uint8))
    run.semantic["label_map"] = [void] * len(run.semantic)
    run.write_tables()
    score(chosen, run.layout)
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    for task in ("detection", "semantic"):
        assert row(scores, task)["status"] == "not_defined"
    assert row(scores, "classification")["status"] in ("ok", "insufficient")


def test_rows_are_the_headline_of_clean_frames_with_intervals_and_no_model(learned):
    _, chosen, scores = learned
    rows = scores[scores["model"] == "trivial"]
    assert set(rows["task"]) == {"classification", "detection", "semantic", "tracking"}
    assert (rows["metric"] == rows["task"].map(tables.HEADLINE)).all()
    assert rows["baseline"].isna().all()
    assert set(zip(rows["corruption"], rows["family"], rows["severity"], strict=True)) == {("clean", "clean", 0)}
    own = scores[(scores["model"] == "v1") & (scores["severity"] == 0)]
    own = own[own["metric"] == own["task"].map(tables.HEADLINE)]
    keys = ["task", "slice", "class"]
    assert rows[keys].to_numpy().tolist() == own[keys].to_numpy().tolist()
    whole = rows[(rows["slice"] == "all") & (rows["class"] == "all")]
    assert (whole["low"] <= whole["value"]).all()
    assert (whole["value"] <= whole["high"]).all()
    assert set(numbers.overview(chosen, scores)["model"]) == {"v1", "v2"}
    assert set(numbers.slices(chosen, scores)["model"]) == {"v1", "v2"}
    assert set(numbers.curves(scores, "detection")["model"]) == {"v1", "v2"}


@pytest.mark.parametrize(("which", "splits"), [("learned", ["train"]), ("without", ["test"])])
def test_classification_says_the_most_common_label(which, splits, request):
    run, _, scores = request.getfixturevalue(which)
    common = run.frames[run.frames["split"].isin(splits)]["label_id"].value_counts().idxmax()
    scored = run.frames[run.frames["split"] == "test"]
    found = row(scores, "classification")
    assert found["value"] == pytest.approx((scored["label_id"] == common).mean(), abs=1e-9)
    assert ("train" in found["note"]) == (which == "learned")


def pycocotools_map(frames, objects, boxes, class_ids):
    """AP of the same boxes in every frame; boxes: (class id, score, xyxy)."""

    def shape(box):
        x0, y0, x1, y1 = (float(edge) for edge in box)
        return {"bbox": [x0, y0, x1 - x0, y1 - y0]}

    ids = frames["frame_id"].tolist()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in ids],
            "categories": [{"id": i} for i in class_ids],
            "annotations": [
                shape([getattr(item, name) for name in BOX])
                | {"id": n + 1, "image_id": item.frame_id, "category_id": item.class_id, "iscrowd": 0}
                | {"area": item.area_px}
                for n, item in enumerate(objects[objects["frame_id"].isin(ids)].itertuples())
            ],
        }
        coco.createIndex()
        given = [shape(box) | {"image_id": i, "category_id": c, "score": s} for i in ids for c, s, box in boxes]
        evaluation = COCOeval(coco, coco.loadRes(given), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


@pytest.mark.parametrize(("which", "split"), [("learned", "train"), ("without", "test")])
def test_detection_gives_mean_boxes_scored_as_pycocotools_does(which, split, request):
    run, _, scores = request.getfixturevalue(which)
    learned_from = run.frames[run.frames["split"] == split]["frame_id"]
    seen = run.objects[run.objects["frame_id"].isin(learned_from)]
    boxes = [
        (int(class_id), of["frame_id"].nunique() / len(learned_from), of[BOX].mean().to_numpy())
        for class_id, of in seen.groupby("class_id")
    ]
    scored = run.frames[run.frames["split"] == "test"]
    class_ids = run.classes[run.classes["kind"] == "object"]["class_id"].tolist()
    for name, frames in (("all", scored), ("camera=north", scored[scored["camera"] == "north"])):
        expected = pycocotools_map(frames, run.objects, boxes, class_ids)
        assert row(scores, "detection", name)["value"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("which", "split"), [("learned", "train"), ("without", "test")])
def test_semantic_repeats_the_frame_before(which, split, request):
    run, _, scores = request.getfixturevalue(which)
    truth = {item.frame_id: tables.decode_label_map(item.label_map) for item in run.semantic.itertuples()}
    seen = np.stack([truth[i] for i in run.frames[run.frames["split"] == split]["frame_id"]])
    common = max((0, 1, 4, 6), key=lambda class_id: (seen == class_id).sum())
    place = np.full(256, 255)
    place[[0, 1, 4, 6]] = range(4)
    true, read = [], []
    for _, clip in run.frames[run.frames["split"] == "test"].groupby("clip_id"):
        before = np.full(run.size, 255)
        for frame_id in clip.sort_values("frame_index")["frame_id"]:
            true.append(place[truth[frame_id]])
            read.append(place[np.where(before == 255, common, before)])
            before = truth[frame_id]
    true, read = torch.tensor(np.stack(true)), torch.tensor(np.stack(read))
    expected = multiclass_jaccard_index(read, true, num_classes=4, ignore_index=255, average="macro")
    assert row(scores, "semantic")["value"] == pytest.approx(float(expected), abs=1e-6)


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_tracking_repeats_the_boxes_of_the_frame_before(learned):
    run, _, scores = learned
    metric, results = HOTA(), {}
    for clip_id, clip in run.frames[run.frames["split"] == "test"].groupby("clip_id"):
        known = run.objects.groupby("frame_id")
        true = [known.get_group(i) for i in clip.sort_values("frame_index")["frame_id"]]
        given = [true[0][:0], *true[:-1]]
        data = {
            "num_timesteps": len(true),
            "num_gt_dets": sum(map(len, true)),
            "num_tracker_dets": sum(map(len, given)),
            "num_gt_ids": 4,  # objects of a clip, numbered from 1
            "num_tracker_ids": 4,
            "gt_ids": [now["track_id"].to_numpy() - 1 for now in true],
            "tracker_ids": [then["track_id"].to_numpy() - 1 for then in given],
            "similarity_scores": [
                np.array([[iou(a, b) for b in then[BOX].to_numpy()] for a in now[BOX].to_numpy()]).reshape(
                    len(now), len(then)
                )
                for now, then in zip(true, given, strict=True)
            ],
        }
        results[clip_id] = metric.eval_sequence(data)
    expected = float(np.mean(metric.combine_sequences(results)["HOTA"]))
    assert 0 < expected < 1
    assert row(scores, "tracking")["value"] == pytest.approx(expected, abs=1e-9)
    assert math.isnan(row(scores, "tracking", "query:start")["value"])  # no set of whole clips


def test_the_name_is_kept_from_models():
    model = {"adapter": "small", "weights": "x.safetensors"}
    with pytest.raises(InputError, match="'trivial' is kept for the rows of trivial baselines"):
        params.parse({"models": {"trivial": model}})
