"""Which windows of new footage lie farthest from what the reference looked like: for thumbnails and for sampling."""

from typing import Final

import pandas as pd

MOST_TOLD: Final = 3
"""So many features are named as the reason."""

LEAST_WIDTH: Final = 1e-6
"""A band of no width (a feature that never changed) is taken to be this wide: anything else is far outside it."""

KEYS: Final = ["clip_id", "camera", "t_s"]


def of(windows: pd.DataFrame, drift: pd.DataFrame) -> pd.DataFrame:
    """How far each window lies outside the reference's bands, the oddest first.

    A feature counts 0 inside its band and 1 from a band's width outside it on, in between by its distance; `drift` is
    the mean over the features that have a band and a value.

    Args:
        windows: rows of `footage_input` or `footage_output`, of any number of clips.
        drift: `footage_drift`, for the bands of each camera's features.

    Returns:
        clip_id, camera, t_s, drift (0..1; NaN where no feature has a band), why (the features farthest out, in words).
    """
    bands = drift.loc[drift["low"].notna() & drift["high"].notna(), ["camera", "feature", "low", "high"]]
    bands = bands.drop_duplicates(["camera", "feature"])
    rows = windows.merge(bands, on=["camera", "feature"], how="left")
    rows = rows[rows["value"].notna()]
    width = (rows["high"] - rows["low"]).clip(lower=LEAST_WIDTH)
    beyond = (rows["low"] - rows["value"]).clip(lower=0) + (rows["value"] - rows["high"]).clip(lower=0)
    rows = rows.assign(_out=(beyond / width).clip(upper=1), _far=beyond / width)
    found = rows.groupby(KEYS, sort=False)["_out"].mean().rename("drift").reset_index()
    outside = rows[rows["_far"] > 0].sort_values("_far", ascending=False, kind="stable")
    outside = outside.groupby(KEYS, sort=False).head(MOST_TOLD)
    told: dict[tuple[str, str, float], list[str]] = {}
    for row in outside.to_dict("records"):
        words = str(row["feature"]).replace("_", " ")
        text = f"{words} {row['value']:.3g} (band {row['low']:.3g} to {row['high']:.3g})"
        told.setdefault((row["clip_id"], row["camera"], row["t_s"]), []).append(text)
    keys = zip(found["clip_id"], found["camera"], found["t_s"], strict=True)
    found["why"] = ["; ".join(told.get(key, [])) for key in keys]
    return found.sort_values(["drift", *KEYS], ascending=[False, True, True, True], kind="stable", ignore_index=True)
