"""`stormglass adopt`: frames of a scan for labelling, and the official figures on them once they are labelled."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flows import runtime
from flows.runtime import Run
from tasks import exports, inference, models, tables
from tasks.data import video
from tasks.data.prepare import prepare
from tasks.errors import InputError, WorkFailed
from tasks.footage import adoption, inbox, labelling, remote, sampling
from tasks.footage.ledger import clip_id_of
from tasks.layout import Layout
from tasks.metrics import score as scoring
from tasks.metrics.predictions import class_maps
from tasks.models import elsewhere
from tasks.models.outputs import Output
from tasks.models.tracking import track
from tasks.params import Footage

FRAMES: Final = 100
"""So many are sampled unless something else is asked for: an hour or two of a person's time."""

LEAST_SCORE: Final = 0.25
"""Boxes below this are not offered as pre-labels: they take longer to delete than to draw."""

BATCH: Final = 8

_FETCHED: Final = ".cache"


def draw(run: Run, name: str, *, count: int) -> list[str]:
    """Write a sample of a scan's frames for labelling; lines that say where and what next.

    Args:
        run: the validated one.
        name: of the scan.
        count: frames.

    Raises:
        InputError: no such scan, its clips are no longer in the inbox, or a table does not fit.
    """
    section = _section(run)
    place = _scan(run, section, name)
    root = run.params.resolve(section.adopted)
    read = {
        table: tables.read(f"footage_{table}", place / f"{table}.parquet")
        for table in ("clips", "input", "output", "drift", "forecast")
    }
    clips = read["clips"]
    found = sampling.units(
        clips, windows=read["input"], output=read["output"], drift=read["drift"], forecast=read["forecast"]
    )
    sample = sampling.choose(
        found,
        clips,
        count=count,
        window_s=section.window_s,
        seed=run.params.run.seed,
        earlier=adoption.samples(root),
    )
    sample["run"], sample["image_id"] = place.name, np.arange(1, len(sample) + 1)
    keys = zip(sample["clip_id"], sample["frame_index"], strict=True)
    sample["file_name"] = [labelling.file_name(*key) for key in keys]
    categories = _objects(run.layout)
    out = _free(root / place.name)
    with exports.staged(out) as folder, elsewhere.services():
        sizes, said = _pictures(run, section, clips, sample, folder)
        sample = sample[sample["file_name"].isin(list(sizes))]
        if sample.empty:
            raise InputError(f"{name}: none of the sampled frames could be read: are the clips still as they were?")
        labelling.write(folder, sample, sizes, categories=categories, said=said)
        tables.write("footage_sample", sample, folder / adoption.SAMPLE)
    return [
        f"Wrote {len(sample)} frame(s) of {sample['clip_id'].nunique()} clip(s) from {len(found)} windows to {out}.",
        f"Label {labelling.INSTANCES} with {labelling.IMAGES}/ as COCO; {labelling.PRELABELS} is what the model says "
        "of them, not truth.",
        f"Then: stormglass adopt {place.name} --labels LABELS.json",
    ]


def score(run: Run, name: str, labels: Path) -> list[str]:
    """Take labels back, score the shipped model on them and set the forecast against that; lines that say so.

    Args:
        run: the validated one.
        name: of the scan.
        labels: a COCO file of all or some of the exported frames.

    Raises:
        InputError: the labels are not of frames that were exported of that scan, or they are scored already.
        WorkFailed: the model failed on them.
    """
    section = _section(run)
    place = _scan(run, section, name)
    folder = _exported(run.params.resolve(section.adopted), place.name, labels)
    out = folder / adoption.LABELLED
    with exports.staged(out) as made:
        images, annotations = labelling.take_back(folder, labels, made / "dataset")
        if not annotations:
            raise InputError(f"{labels}: none of its images has an annotation: there is nothing to score.")
        scores = _scored(run, section.model, made / "dataset", Layout(made / "scored"))
        sample = tables.read("footage_sample", folder / adoption.SAMPLE)
        sample = sample[sample["file_name"].isin(labelling.names(labels))]
        forecast = tables.read("footage_forecast", place / "forecast.parquet")
        table = adoption.against(sample, forecast, scores, run=place.name, model=section.model)
        tables.write("footage_adoption", table, made / adoption.TABLE)
        text = adoption.markdown(table)
        (made / "adoption.md").write_text(text, encoding="utf-8")
    return [
        *text.splitlines(),
        "",
        f"Wrote {images} image(s) with {annotations} annotation(s) to {out / 'dataset'}; `dvc add` keeps it.",
    ]


def _section(run: Run) -> Footage:
    if run.params.footage is None:
        raise InputError("params has no section 'footage': where scans of new footage lie.")
    return run.params.footage


def _scan(run: Run, section: Footage, name: str) -> Path:
    root = run.params.resolve(section.runs)
    place = root / Path(name).name
    if not (place / "clips.parquet").is_file():
        known = sorted(path.parent.name for path in root.glob("[0-9]*/clips.parquet"))
        newest = f"the newest are {', '.join(known[-3:])}" if known else "there is none yet"
        raise InputError(f"adopt: there is no scan '{name}' in {root}; {newest}.")
    return place


def _free(place: Path) -> Path:
    """`place`, or with a number where that was adopted before: a further sample holds other frames."""
    return next(
        path
        for number in range(1, 10_000)
        if not (path := place if number == 1 else place.with_name(f"{place.name}-{number}")).exists()
    )


def _exported(root: Path, run: str, labels: Path) -> Path:
    """The adoption of a scan that the labels are of."""
    given = set(labelling.names(labels))
    folders = sorted(path.parent for path in root.glob(f"{run}*/{adoption.SAMPLE}"))
    for folder in folders:
        sample = tables.read("footage_sample", folder / adoption.SAMPLE)
        if given <= set(sample["file_name"]):
            if (folder / adoption.LABELLED).exists():
                raise InputError(f"{folder / adoption.LABELLED} is there already: move it away to take labels anew.")
            return folder
    there = f"{len(folders)} sample(s) of it were" if folders else "nothing of it was"
    raise InputError(
        f"{labels}: expected images as they were exported for the scan {run}; {there} exported to {root}, and "
        f"'{sorted(given)[0]}' and its {len(given) - 1} other(s) are not all in one."
    )


def _objects(layout: Layout) -> dict[int, str]:
    """The data set's own classes of objects."""
    found = _classes(layout)["object"]
    if not found:
        raise InputError("adopt: the validated data set has no classes of objects, so there are no boxes to label.")
    return found


def _classes(layout: Layout) -> dict[str, dict[int, str]]:
    rows = tables.read("classes", layout.tables / "classes.parquet")
    found: dict[str, dict[int, str]] = {kind: {} for kind in models.KINDS}
    for row in rows.to_dict("records"):
        found[row["kind"]][int(row["class_id"])] = str(row["name"])
    return found


def _pictures(
    run: Run,
    section: Footage,
    clips: pd.DataFrame,
    sample: pd.DataFrame,
    folder: Path,
) -> tuple[dict[str, tuple[int, int]], list[dict[str, Any]]]:
    """Write the sampled frames; their sizes by name, and what the model says of them."""
    params = run.params
    model = params.models[section.model]
    rows = tables.read("classes", run.layout.tables / "classes.parquet")
    described = models.describe(model, folder=params.folder, classes=rows)
    _, maps = class_maps(model, described, _classes(run.layout))
    becomes = maps["object"].mapping if "object" in maps else {}
    predictor = models.load(model, folder=params.folder, device=params.run.device)
    sizes: dict[str, tuple[int, int]] = {}
    said: list[dict[str, Any]] = []
    places = _places(run, section, clips[clips["clip_id"].isin(sample["clip_id"])])
    for clip_id, path in places:
        own = sample[sample["clip_id"] == clip_id].to_dict("records")
        wanted: dict[int, dict[Any, Any]] = {int(row["frame_index"]): row for row in own}
        print(f"adopt: {len(wanted)} frame(s) of {path.name}", file=sys.stderr, flush=True)
        read = (
            (frame.pixels, wanted[index])
            for index, frame in enumerate(islice(video.read(path), max(wanted) + 1))
            if index in wanted
        )
        while batch := list(islice(read, BATCH)):
            outputs = predictor.predict([pixels for pixels, _ in batch])
            for (pixels, row), output in zip(batch, outputs, strict=True):
                labelling.write_image(folder, row["file_name"], pixels)
                sizes[row["file_name"]] = (pixels.shape[1], pixels.shape[0])
                said += _results(output, int(row["image_id"]), pixels.shape[:2], becomes)
    return sizes, said


def _results(
    output: Output, image_id: int, size: Sequence[int], becomes: Mapping[int, int | None]
) -> Iterator[dict[str, Any]]:
    """One frame's boxes in COCO's form of results, in the data set's classes."""
    for place, (box, amount, own) in enumerate(zip(output.boxes, output.scores, output.class_ids, strict=True)):
        category = becomes.get(int(own))
        if category is None or amount < LEAST_SCORE:
            continue
        x0, y0, x1, y1 = (round(float(value), 2) for value in box)
        row: dict[str, Any] = {"image_id": image_id, "category_id": category, "score": round(float(amount), 4)}
        row["bbox"] = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
        if output.masks is not None:
            row["segmentation"] = {"size": list(size), "counts": output.masks[place].decode("ascii")}
        yield row


def _places(run: Run, section: Footage, clips: pd.DataFrame) -> Iterator[tuple[str, Path]]:
    """Each clip's file as it was scanned, wherever it lies in the inbox by now.

    Raises:
        InputError: it is not there any more.
    """
    params = run.params
    address = section.inbox if "://" in section.inbox else params.resolve(section.inbox)
    arrivals = inbox.listing(address, settle_s=0).arrivals
    cache = params.resolve(section.runs) / _FETCHED
    for row in clips.to_dict("records"):
        alike = [one for one in arrivals if one.size == row["bytes"]]
        alike.sort(key=lambda one: one.name != row["file"])
        for arrival in alike:
            path = remote.fetch(arrival, cache) if arrival.remote else Path(arrival.place)
            with path.open("rb") as file:
                same = clip_id_of(hashlib.file_digest(file, "sha256").hexdigest()) == row["clip_id"]
            if same:
                yield row["clip_id"], path
            if arrival.remote:
                path.unlink(missing_ok=True)
            if same:
                break
        else:
            raise InputError(
                f"adopt: {row['file']} of {row['camera']} is not in {address} any more, nor is the same content under "
                "another name: put it back, or adopt another scan."
            )


def _scored(run: Run, model: str, dataset: Path, layout: Layout) -> pd.DataFrame:
    """The table `scores` of the shipped model on the labelled frames."""
    params = run.params.on_labelled(dataset.resolve(), model)
    prepare(dataset, layout.tables, strict=True)
    failed = inference.infer(params, layout)
    if failed:
        raise WorkFailed(f"adopt: {len(failed)} part(s) of the labelled frames failed: {failed[0]}")
    scoring.score(params, layout, workers=runtime.workers(params), track=track)
    return tables.read("scores", layout.scores / "scores.parquet")
