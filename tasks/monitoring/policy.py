"""policy.json applied to new footage: on how many of its frames and boxes somebody may act.

A box is good for what its score reaches, by its class: `act`, `observe`, or nothing (`abstain`). A frame is as good as
its best box; one whose boxes all reach nothing is abstained from, and one without a box is taken at its word and
counted apart: that nothing is seen is no confidence. What is known of the conditions bounds that: where the cell that a
clip looks most like, or its camera's slice, has the advice `observe`, nothing is acted on, and where it has
`fall_back`, all of the clip falls back; a clip that looks like nothing that was validated is abstained from whole.

None of this asks what is no longer seen: read the recall of policy.json beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.metrics.deployment import ACT, FALL_BACK, OBSERVE, SCHEMA
from tasks.metrics.policy import LEVELS
from tasks.monitoring.outputs import SHOWN_SCORE

ABSTAIN: Final = "abstain"

ADVICE: Final = (ACT, OBSERVE, ABSTAIN, FALL_BACK)
"""Falling: an event may rest on it; somebody should look; nothing is said; another way than this model is taken."""

NOTHING_SEEN: Final = "nothing_seen"
"""In the place of advice: frames without boxes, where conditions let boxes be acted on or observed."""

OUTSIDE: Final = "outside_validated"
"""The status of a forecast for footage that nothing validated is like."""


@dataclass(frozen=True)
class Policy:
    """What policy.json says of one model.

    Attributes:
        thresholds: by class of the data set, the least scores to act on and to observe; infinite where there is none.
        cells: advice by corruption and severity.
        slices: advice by slice of the clean frames, such as `camera=north`.
    """

    thresholds: Mapping[str, tuple[float, float]]
    cells: Mapping[tuple[str, int], str]
    slices: Mapping[str, str]


def read(path: Path, model: str) -> Policy | None:
    """The policy of one model; None where it is not one for boxes.

    Args:
        path: reports/policy.json or scores/policy.json.
        model: its name in params.

    Raises:
        InputError: there is no such file, it is of another schema or form, or does not know the model.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: expected the policy that `stormglass score` writes ({error.strerror}); run it first."
        ) from None
    except ValueError:
        raise InputError(f"{path} is no JSON; write it again with `stormglass score`.") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        given = found.get("schema") if isinstance(found, dict) else None
        raise InputError(
            f"{path}: expected a policy of schema {SCHEMA}, got {given}; write it again with `stormglass score`."
        )
    models = found.get("models", {})
    if model not in models:
        raise InputError(f"{path} has no model '{model}', only {', '.join(models) or 'none'}: score that model.")
    try:
        return _policy(models[model])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path}: model '{model}' is not as docs/policy.md says ({type(error).__name__}: {error}); write it again "
            "with `stormglass score`."
        ) from None


def _policy(entry: Mapping[str, Any]) -> Policy | None:
    if entry["status"] != "ok":
        return None

    def score(of: Mapping[str, Any], level: str) -> float:
        found = of[level]["score"]
        return float("inf") if found is None else float(found)

    return Policy(
        thresholds={name: (score(of, LEVELS[0]), score(of, LEVELS[1])) for name, of in entry["thresholds"].items()},
        cells={(cell["corruption"], int(cell["severity"])): cell["advice"] for cell in entry["cells"]},
        slices={item["slice"]: item["advice"] for item in entry["slices"]},
    )


def condition(
    policy: Policy, *, camera: str, nearest: pd.DataFrame | None = None, forecast: pd.DataFrame | None = None
) -> str:
    """The best that anything of a clip may be good for.

    Args:
        policy: of the model.
        camera: of the clip.
        nearest: the clip's rows of `footage_nearest`; None or empty: its conditions are not known, and taken as clean.
        forecast: the clip's rows of `footage_forecast`, likewise.
    """
    if forecast is not None and forecast["status"].eq(OUTSIDE).any():
        return ABSTAIN
    found = [policy.slices.get(f"camera={camera}", ACT)]
    if nearest is not None and len(nearest):
        first = nearest.sort_values("rank").iloc[0]
        # A cell that was left out of the policy (validated later, or failed) is one of which nothing is known.
        unknown = ACT if first["severity"] == 0 else OBSERVE
        found.append(policy.cells.get((str(first["corruption"]), int(first["severity"])), unknown))
    return max(found, key=ADVICE.index)


def decisions(
    boxes: pd.DataFrame,
    *,
    policy: Policy,
    clip_id: str,
    camera: str,
    n_frames: int,
    nearest: pd.DataFrame | None = None,
    forecast: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Count a clip's frames and boxes by what may be done with them.

    Args:
        boxes: a row for each: `frame` (any integer, the same for boxes of a frame), `class` (the data set's name; null
            for what counts for nothing) and `score`.
        policy: of the model.
        clip_id: goes into the table.
        camera: goes into the table; its slice of the clean frames bounds the advice.
        n_frames: that the model was run on, those without boxes included.
        nearest: as in `condition`.
        forecast: as in `condition`.

    Returns:
        Table `footage_decisions`, one row for each of `ADVICE` and one for `NOTHING_SEEN`; `share` is of frames, NaN
        without frames.

    Raises:
        ValueError: more frames have boxes than there are.
    """
    frames, kinds = _graded(boxes, policy)
    if len(frames) > n_frames:
        raise ValueError(f"clip {clip_id}: boxes stand in {len(frames)} frames, and it has {n_frames}")
    bound = ADVICE.index(condition(policy, camera=camera, nearest=nearest, forecast=forecast))
    of_frames = np.bincount(np.maximum(frames, bound), minlength=len(ADVICE))
    of_boxes = np.bincount(np.maximum(kinds, bound), minlength=len(ADVICE))
    empty = n_frames - len(frames)
    at_its_word = bound < ADVICE.index(ABSTAIN)
    if not at_its_word:
        of_frames[bound] += empty
    n = np.r_[of_frames, empty if at_its_word else 0]
    return pd.DataFrame(
        {
            "clip_id": clip_id,
            "camera": camera,
            "advice": [*ADVICE, NOTHING_SEEN],
            "n_frames": n,
            "n_boxes": np.r_[of_boxes, 0],
            "share": n / n_frames if n_frames else np.nan,
        }
    )


def clean_abstention(boxes: pd.DataFrame, frames: pd.DataFrame, *, policy: Policy) -> dict[str, float]:
    """The share of the validated run's clean frames that are abstained from: what an abstention spike is a rise over.

    Args:
        boxes: as in `decisions`; `frame` is a frame_id.
        frames: table `frames`, those that were predicted; with the attribute `camera` where the data set has it.
        policy: of the model.

    Returns:
        By camera, and for all together under `tables.ALL`; empty without frames.
    """
    counted = boxes[boxes["frame"].isin(frames["frame_id"])]
    kinds = pd.Series(_kinds(counted, policy), index=counted.index)
    shown = kinds < len(ADVICE)
    best = kinds[shown].groupby(counted.loc[shown, "frame"]).min()
    silent = frames["frame_id"].map(best).eq(ADVICE.index(ABSTAIN))
    if not len(silent):
        return {}
    cameras = silent.groupby(frames["camera"]).mean().to_dict() if "camera" in frames.columns else {}
    return {**{str(name): float(share) for name, share in cameras.items()}, tables.ALL: float(silent.mean())}


def _graded(boxes: pd.DataFrame, policy: Policy) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places in `ADVICE` of frames that show boxes, by themselves, and of these boxes."""
    kinds = _kinds(boxes, policy)
    shown = kinds < len(ADVICE)
    best = pd.Series(kinds[shown]).groupby(boxes["frame"].to_numpy()[shown]).min()
    return best.to_numpy(np.int64), kinds[shown]


def _kinds(boxes: pd.DataFrame, policy: Policy) -> npt.NDArray[np.int64]:
    """(N,) the place in `ADVICE` of each box by its score alone; past the end for one that nobody is shown.

    Detectors keep boxes far below what anything uses, for the precision-recall curve alone.
    """
    act, observe = (
        boxes["class"].map({name: of[level] for name, of in policy.thresholds.items()}).fillna(np.inf).to_numpy(float)
        for level in range(len(LEVELS))
    )
    score = boxes["score"].to_numpy(np.float64)
    hidden = (score < np.minimum(observe, SHOWN_SCORE)) | boxes["class"].isna().to_numpy()
    places = [len(ADVICE), ADVICE.index(ACT), ADVICE.index(OBSERVE)]
    return np.select([hidden, score >= act, score >= observe], places, ADVICE.index(ABSTAIN))
