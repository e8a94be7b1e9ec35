"""A validated run without pixels: features that corruptions shift, and figures that fall with the shift."""

import numpy as np
import pandas as pd

from tasks.quality import FEATURES

STRENGTHS = {
    "clean": (0.0,),
    "fog": (2.0, 4.0, 6.0),
    "blur": (2.0, 4.0, 6.0),
    "dark": (2.0, 4.0, 6.0),
    "jpeg": (2.0, 4.0),
}
MOVED = {"clean": "contrast", "fog": "contrast", "blur": "blur", "dark": "entropy", "jpeg": "detail"}
CAMERAS = ("north", "south", "east")


def quality(*, n_clips: int = 24, seed: int = 0, cameras: tuple[str | None, ...] = CAMERAS) -> pd.DataFrame:
    """The table `cell_quality`: two frames of each clip; logarithms move, so that features stay above 0."""
    rng = np.random.default_rng(seed)
    own = pd.DataFrame(rng.normal(0, 0.4, (n_clips * 2, len(FEATURES))), columns=list(FEATURES))
    rows = []
    for corruption, strengths in STRENGTHS.items():
        for severity, strength in enumerate(strengths, start=int(corruption != "clean")):
            for place in range(n_clips * 2):
                clip = place // 2
                raw = own.iloc[place].copy()
                raw[MOVED[corruption]] -= strength * rng.uniform(0.9, 1.1)
                cell = {"corruption": corruption, "family": corruption, "severity": severity, "frame_id": place}
                rows.append(
                    {**cell, "clip_id": f"c{clip:02d}", "camera": cameras[clip % len(cameras)], **np.exp(raw / 4)}
                )
    return pd.DataFrame(rows)


def figures(groups: dict[str, str], *, noise: float = 0.02, seed: int = 1) -> pd.DataFrame:
    """What `tasks.metrics.grouped.figures` would give: 0.6 when clean, a twelfth less for each step of strength."""
    rng = np.random.default_rng(seed)
    rows = [
        ("detection", "map", corruption, severity, group, 0.6 * (1 - strength / 12) + rng.normal(0, noise))
        for corruption, strengths in STRENGTHS.items()
        for severity, strength in enumerate(strengths, start=int(corruption != "clean"))
        for group in dict.fromkeys(groups.values())
    ]
    return pd.DataFrame(rows, columns=["task", "metric", "corruption", "severity", "group", "value"])
