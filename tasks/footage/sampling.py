"""Which frames of a scan are worth a person's time: a stratified, rotating sample, the same for the same seed.

Windows are ranked by three signals that need no labels: how far they lie outside the reference's bands (drift), what is
expected of their clip against the clean score (forecast), and how sure the model is (confidence). A stratum is a camera
with a decile of one signal, so that the odd, the expected-bad and the unsure are in the sample, and the ordinary too.
"""

import hashlib
from collections import Counter
from typing import Final

import numpy as np
import pandas as pd

from tasks.errors import InputError
from tasks.footage import oddness

SIGNALS: Final = ("drift", "forecast", "confidence")

CONFIDENCE: Final = ("confidence_mean", "top_probability")
"""Output features that say how sure a model is; the first that there is counts."""

OUTSIDE: Final = -1.0
"""The forecast of a clip that lies outside everything validated: below every other."""


def units(
    clips: pd.DataFrame,
    *,
    windows: pd.DataFrame,
    output: pd.DataFrame,
    drift: pd.DataFrame,
    forecast: pd.DataFrame,
) -> pd.DataFrame:
    """What can be sampled: the windows of measured clips with their signals.

    Args:
        clips: `footage_clips`.
        windows: `footage_input`.
        output: `footage_output`.
        drift: `footage_drift`.
        forecast: `footage_forecast`; of several metrics each clip's lowest share of the clean score counts.

    Returns:
        clip_id, camera, t_s, drift, forecast, confidence (NaN where there is none).

    Raises:
        InputError: no window was measured.
    """
    both = pd.concat([windows, output], ignore_index=True)
    found = oddness.of(both, drift)[["clip_id", "camera", "t_s", "drift"]]
    found = found[found["clip_id"].isin(clips.loc[clips["status"] == "ok", "clip_id"])]
    if found.empty:
        raise InputError("The scan measured no clip, so there is no frame to adopt.")
    share = (forecast["value"] / forecast["naive"].where(forecast["naive"] > 0)).astype(float)
    share = share.where(forecast["status"] != "outside_validated", OUTSIDE)
    found["forecast"] = found["clip_id"].map(share.groupby(forecast["clip_id"]).min()).astype(float)
    sure = next((name for name in CONFIDENCE if (output["feature"] == name).any()), None)
    rows = output[output["feature"] == sure]
    known = dict(zip(zip(rows["clip_id"], rows["t_s"], strict=True), rows["value"], strict=True))
    keys = zip(found["clip_id"], found["t_s"], strict=True)
    found["confidence"] = np.array([known.get(key, np.nan) for key in keys], dtype=np.float64)
    return found.reset_index(drop=True)


def choose(
    found: pd.DataFrame, clips: pd.DataFrame, *, count: int, window_s: float, seed: int, earlier: pd.DataFrame
) -> pd.DataFrame:
    """A sample of `found`, one frame a window, taken from the strata in turn.

    Strata that were sampled less in earlier adoptions come first, and of each stratum the windows that were; among
    equals a hash decides. A window that is sampled again gives another frame.

    Args:
        found: from `units`.
        clips: `footage_clips`, for frame rates and lengths.
        count: frames, at most one for each window.
        window_s: length of a window.
        seed: of the hashes.
        earlier: `footage_sample` rows of earlier adoptions, of this scan and others.

    Returns:
        The columns of `footage_sample` but run, image_id and file_name, by camera, clip and time.
    """
    found = found.sort_values(["camera", "clip_id", "t_s"], kind="stable", ignore_index=True)
    before = Counter(earlier["stratum"])
    windows = Counter(zip(earlier["clip_id"], earlier["t_s"], strict=True))
    strata: dict[str, list[int]] = {}
    for signal in SIGNALS:
        tenth = found.groupby("camera")[signal].rank(method="max", pct=True)
        for row, (camera, share) in enumerate(zip(found["camera"], tenth, strict=True)):
            if not np.isnan(share):
                strata.setdefault(f"{camera} · {signal} {int(np.ceil(10 * share)) - 1}", []).append(row)
    if not strata:
        strata = {f"{camera} · all": list(rows) for camera, rows in found.groupby("camera").indices.items()}
    keys = list(zip(found["clip_id"], found["t_s"], strict=True))
    for rows in strata.values():
        rows.sort(key=lambda row: (windows[keys[row]], _hash(seed, *keys[row])), reverse=True)  # taken from the end
    order = sorted(strata, key=lambda name: (before[name], _hash(seed, name)))
    chosen: dict[int, str] = {}
    while len(chosen) < min(count, len(found)):
        for name in order:
            rows = strata[name]
            while rows and rows[-1] in chosen:
                rows.pop()
            if rows and len(chosen) < count:
                chosen[rows.pop()] = name
        if not any(strata.values()):
            break
    taken = found.loc[sorted(chosen)].assign(stratum=[chosen[row] for row in sorted(chosen)])
    facts = clips.set_index("clip_id")
    taken["frame_index"] = [
        _frame(facts.loc[clip_id], t_s, window_s, _hash(seed, clip_id, t_s, windows[clip_id, t_s], "frame"))
        for clip_id, t_s in zip(taken["clip_id"], taken["t_s"], strict=True)
    ]
    return taken.reset_index(drop=True)


def _frame(clip: "pd.Series[float]", t_s: float, window_s: float, share: float) -> int:
    """A frame of the window, `share` of the way through it."""
    rate, duration_s = float(clip["frame_rate"]), float(clip["duration_s"])
    last = round(duration_s * rate) if pd.isna(clip["n_frames"]) else int(clip["n_frames"])
    start, end = t_s * rate, min((t_s + window_s) * rate, last)
    return int(np.clip(np.floor(start + share * max(end - start, 0.0)), 0, max(last - 1, 0)))


def _hash(*parts: object) -> float:
    """A number in 0..1 that belongs to `parts`."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
