"""The shipped model and what the validated run knows of it: all that a scan looks at clips with."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flows import references
from flows.runtime import Run
from tasks import models, tables
from tasks.data import video
from tasks.errors import InputError
from tasks.exports import annotated, tracks
from tasks.footage import facts
from tasks.footage.ledger import Clip
from tasks.inference import batches
from tasks.inference import clip as inferring
from tasks.metrics.predictions import class_maps
from tasks.metrics.requests import requests
from tasks.metrics.truth import BOX
from tasks.models import recorded, tracking
from tasks.monitoring import forecast, memory, observe, outputs, policy, validated
from tasks.monitoring.memory import Memory
from tasks.params import Footage, Tracker

FORECAST: Final = "forecast"
"""In the folder of what takes long to work out again: what forecasts accuracy."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one clip gave.

    Attributes:
        clip: whose.
        observed: of its stream and frames.
        frames: sampled frames: clip_id, camera, t_s and a column for each feature.
        output: features of what the model says: windows of `footage.window_s`.
        alike: the same in windows as long as the reference's.
        expected: rows of `footage_forecast`.
        nearest: rows of `footage_nearest`.
        against: a sentence on what these two compare with.
        decisions: rows of `footage_decisions`.
        good: whether the clip may be one of its camera's first, by which later ones are judged.
        whole: whether masks and label maps of all frames are in `output`.
    """

    clip: Clip
    observed: observe.Observed
    frames: pd.DataFrame
    output: pd.DataFrame
    alike: pd.DataFrame
    expected: pd.DataFrame
    nearest: pd.DataFrame
    against: str
    decisions: pd.DataFrame
    good: bool
    whole: bool


@dataclass(frozen=True, eq=False)
class Shipped:
    """The shipped model, loaded, and its reference.

    Attributes:
        section: `footage` of params.
        asked_batch: `run.batch_size`.
        predictor: the model.
        own: the model's own classes by kind, as in predictions/models.json.
        stands_for: the data set's name of each of its object classes; None for one that counts for nothing.
        tracker: its own, else ByteTrack; None where it gives no boxes.
        device: where it runs.
        window_s: of the reference.
        reference: windows of the validated run's clean frames: input and output.
        references: what the clips of each camera are compared with.
        forecaster: of accuracy.
        policy: how its boxes are used; None where the run has none for it.
        act: by object class the least score that may be acted on.
        clean_abstention: the share of the run's clean frames that it abstains from, by camera and `all`.
    """

    section: Footage
    asked_batch: int | str
    predictor: models.Predictor
    own: Mapping[str, Any]
    stands_for: Mapping[int, str | None]
    tracker: Tracker | None
    device: str
    window_s: float
    reference: Mapping[str, pd.DataFrame]
    references: references.References
    forecaster: forecast.Forecaster
    policy: policy.Policy | None
    act: Mapping[int, float | None]
    clean_abstention: Mapping[str, float]

    def look(self, clip: Clip, folder: Path, known: Memory, done: Callable[[int], None]) -> Look:
        """Measure a clip, run the model over it, and say what that means; its annotated video goes to folder/clips.

        Args:
            clip: as the ledger gave it.
            folder: the scan's.
            known: of the cameras.
            done: hears how many frames the model has done.

        Raises:
            UnreadableFrame: the clip is broken.
        """
        facts.verify(clip.path)
        section, reference = self.section, self.references.of(clip.camera, known)
        observed = observe.observe(
            clip.path,
            sample_per_s=section.sample_per_s,
            window_s=section.window_s,
            background=known.background(clip.camera),
        )
        frames = observed.frames.assign(clip_id=clip.clip_id, camera=clip.camera)
        found = inferring.predict(
            clip.path,
            self.predictor,
            tracker=self.tracker,
            clip_id=clip.clip_id,
            camera=clip.camera,
            batch_size=self._batch_size(clip),
            done=done,
        )
        output, alike = (
            outputs.describe(
                found.predictions,
                found.frames,
                window_s=window_s,
                names=self.own,
                act=self.act,
                tracked=self.tracker is not None,
            )
            for window_s in (self.section.window_s, self.window_s)
        )
        told = self.forecaster.forecast(observed.frames, clip_id=clip.clip_id, camera=clip.camera, reference=reference)
        if self.tracker is not None:
            self._annotate(clip, found, folder, self.tracker)
        return Look(
            clip, observed, frames, output, alike, told.metrics, told.nearest, told.against,
            self._decide(clip, found, told), memory.untouched(observed) and (reference is None or told.clean),
            found.whole,
        )  # fmt: skip

    def learn(self, look: Look, known: Memory) -> None:
        """What the clip says of its camera, once the clip itself is done with."""
        clip = look.clip
        known.learn(clip.camera, look.observed)
        if look.good and self.references.learns(clip.camera):
            known.learn_first(clip.clip_id, clip.camera, clip.received_utc, look.observed)

    def _batch_size(self, clip: Clip) -> int:
        if self.asked_batch != "auto":
            return int(self.asked_batch)
        frame = np.zeros((clip.facts.height_px, clip.facts.width_px, 3), np.uint8)
        return batches.fitting([self.predictor], frame, self.device)

    def _decide(self, clip: Clip, found: inferring.Predicted, told: forecast.Forecast) -> pd.DataFrame:
        """What the policy says of the clip's boxes; no row without one."""
        if self.policy is None:
            return pd.DataFrame(columns=tables.SCHEMAS["footage_decisions"].names)
        return policy.decisions(
            _boxes(found.predictions, self.stands_for),
            policy=self.policy,
            clip_id=clip.clip_id,
            camera=clip.camera,
            n_frames=len(found.frames),
            nearest=told.nearest,
            forecast=told.metrics,
        )

    def _annotate(self, clip: Clip, found: inferring.Predicted, folder: Path, tracker: Tracker) -> None:
        """Write the clip with boxes and trails drawn over."""
        rows = found.predictions[found.predictions["class_id"].notna()]
        ends = np.searchsorted(rows["frame_id"], np.arange(len(found.frames) + 1))
        box, score = rows[BOX].to_numpy(np.float64), rows["score"].to_numpy(np.float64)
        class_id, mask = rows["class_id"].to_numpy(np.int64), rows["mask"].tolist()
        frames = [slice(a, b) for a, b in itertools.pairwise(ends)]
        boxes = tracks.boxes(
            [(box[frame], score[frame], class_id[frame]) for frame in frames],
            [rows["track_id"].array[frame] for frame in frames],
            least_score=tracking.starting_score(tracker),
        )
        annotated.write(
            clip.path,
            folder / "clips" / f"{clip.clip_id}.mp4",
            video.examine(clip.path),
            [None if None in mask[frame] else mask[frame] for frame in frames],
            boxes,
            {int(key): str(name) for key, name in self.own["object"].items()},
        )


def check(run: Run, section: Footage) -> None:
    """Nothing, where the shipped model is there and is the one that the run has validated, and what params give too.

    Raises:
        InputError: it is not.
    """
    params = run.params
    model = params.models[section.model]
    if model.adapter == recorded.NAME:
        raise InputError(f"footage.model: '{section.model}' is recorded predictions, which say nothing of new footage.")
    if _described(run, section.model)["fingerprint"] != models.fingerprint(model, folder=params.folder):
        raise InputError(
            f"footage.model: the weights or settings of '{section.model}' are not those of the run in "
            f"{run.layout.root}, which says nothing of this version: run its stages again (`dvc repro`)."
        )
    references.given(run, section)


def ready(run: Run, section: Footage, keep: Path) -> Shipped:
    """Load the model, and what the validated run has stored of it.

    Args:
        run: the validated one.
        section: `footage` of its params.
        keep: a folder for what takes long to work out again.

    Raises:
        InputError: a table of the run is missing, or as `check`.
    """
    check(run, section)
    params, layout, name = run.params, run.layout, section.model
    model, own = params.models[name], _described(run, name)
    stands_for = _stands_for(run, own, name)
    published = layout.reports / "policy.json"
    document = published if published.exists() else layout.scores / "policy.json"
    rules = policy.read(document, name)
    act = outputs.act_scores(json.loads(document.read_text(encoding="utf-8")), name, stands_for)
    window_s = validated.window_s(params, layout)
    device = models.resolve_device(params.run.device)
    predictor = models.load(model, folder=params.folder, device=device, execution=models.Execution.of(params.run))
    return Shipped(
        section=section,
        asked_batch=params.run.batch_size,
        predictor=predictor,
        own=own,
        stands_for=stands_for,
        tracker=(model.tracker or Tracker()) if own["object"] else None,
        device=device,
        window_s=window_s,
        reference={
            "input": validated.inputs(params, layout, window_s=window_s),
            "output": validated.outputs(params, layout, name, window_s=window_s, act=act),
        },
        references=references.References(section, validated.frames(params, layout), references.given(run, section)),
        forecaster=forecast.ready(params, layout, name, keep / FORECAST),
        policy=rules,
        act=act,
        clean_abstention={} if rules is None else _clean_abstention(run, name, rules, stands_for),
    )


def _described(run: Run, name: str) -> dict[str, Any]:
    """What `infer` noted of a model."""
    path = run.layout.predictions / "models.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))[name])
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"footage.model: {path} knows nothing of '{name}': run the stages with it first (`dvc repro`, or "
            "`stormglass run` and then `--out` with its folder)."
        ) from None


def _stands_for(run: Run, own: Mapping[str, Any], name: str) -> dict[int, str | None]:
    """The data set's name of each object class of a model."""
    classes = tables.read("classes", run.layout.tables / "classes.parquet")
    theirs: dict[str, dict[int, str]] = {kind: {} for kind in models.KINDS}
    for row in classes.to_dict("records"):
        theirs[row["kind"]][int(row["class_id"])] = str(row["name"])
    _, maps = class_maps(run.params.models[name], own, theirs)
    if "object" not in maps:
        return {}
    return {key: None if to is None else theirs["object"][to] for key, to in maps["object"].mapping.items()}


def _clean_abstention(
    run: Run, name: str, rules: policy.Policy, stands_for: Mapping[int, str | None]
) -> dict[str, float]:
    params, layout = run.params, run.layout
    (clean,) = (cell for cell in requests(params, layout) if (cell.model, cell.severity) == (name, 0))
    boxes = pd.concat([_boxes(tables.read("predictions", file), stands_for) for file in clean.files])
    frames = tables.read("frames", layout.tables / "frames.parquet")
    scored = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    return policy.clean_abstention(boxes, scored, policy=rules)


def _boxes(predictions: pd.DataFrame, stands_for: Mapping[int, str | None]) -> pd.DataFrame:
    """Frame, class (the data set's name, null where it stands for none) and score of each box."""
    rows = predictions[predictions["class_id"].notna()]
    names = [stands_for.get(key) for key in rows["class_id"].tolist()]
    return pd.DataFrame({"frame": rows["frame_id"].to_numpy(), "class": names, "score": rows["score"].to_numpy()})
