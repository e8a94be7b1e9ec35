"""Two real cameras with a real detector: each looks like itself and unlike the other. Needs STORMGLASS_REAL_DATA."""

import itertools
import os
from pathlib import Path

import pandas as pd
import pytest

from tasks import models, quality
from tasks.data import video
from tasks.inference.rows import Rows, with_tracks
from tasks.monitoring import drift, outputs, windows
from tasks.params import Model, Tracker

REAL = os.environ.get("STORMGLASS_REAL_DATA")
SECONDS = 30.0
YOLOX = Model.model_validate(
    {
        "adapter": "onnx",
        "weights": "models/yolox_nano.onnx",
        "decoder": "yolox",
        "input": {"size": [416, 416], "resize": "letterbox_top_left", "channels": "bgr"},
        "score_threshold": 0.05,
        "class_map": "coco80",
    }
)


def halves(name: str, folder: Path) -> list[dict[str, pd.DataFrame]]:
    """Windows of a second of what the first and the second half of a clip look like and of what YOLOX-nano says."""
    facts = video.examine(folder / "footage" / name)
    detector = models.load(YOLOX, folder=folder, device="cpu", threads=1)
    frames, looks, found = [], [], []
    for place, timed in enumerate(video.read(folder / "footage" / name)):
        t_s = float(timed.ticks * facts.time_base)
        if t_s >= SECONDS:
            break
        height, width = timed.pixels.shape[:2]
        frames.append((place, name, place, width, height, t_s))
        found += detector.predict([timed.pixels])
        if place % 5 == 0:
            looks.append({"clip_id": name, "t_s": t_s, **quality.features(timed.pixels)._asdict()})
    table = pd.DataFrame(frames, columns=["frame_id", "clip_id", "frame_index", "width_px", "height_px", "timestamp_s"])
    rows = Rows(table["frame_id"].tolist())
    rows.add(range(len(table)), found)
    tracked = with_tracks(rows.table(), table, Tracker(name="bytetrack"))
    names = models.describe(YOLOX, folder=folder)
    told = {
        "input": windows.of_frames(pd.DataFrame(looks), window_s=1.0),
        "output": outputs.describe(tracked, table, window_s=1.0, names=names, tracked=True),
    }
    first = {kind: rows["t_s"] < SECONDS / 2 for kind, rows in told.items()}
    return [
        {kind: rows[first[kind] == side].assign(camera="street") for kind, rows in told.items()}
        for side in (True, False)
    ]


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(REAL is None, reason="STORMGLASS_REAL_DATA is not set")
def test_real_cameras_look_like_themselves_and_unlike_each_other() -> None:
    """By the share of features outside, the unit being a second of a clip, of which each half has fifteen."""
    given = {clip: halves(f"{clip}.mp4", Path(str(REAL))) for clip in ("car-detection", "one-by-one-person-detection")}
    same: dict[str, list[float]] = {"input": [], "output": []}
    other: dict[str, list[float]] = {"input": [], "output": []}
    distance: dict[bool, list[float]] = {True: [], False: []}
    for (one, new), (two, old) in itertools.product(
        [(clip, half) for clip, both in given.items() for half in both], repeat=2
    ):
        if new is old:
            continue
        found = drift.compare(new, old, block_s=1.0).table
        share = drift.signals(found)["street"]
        for kind in ("input", "output"):
            (same if one == two else other)[kind].append(share[f"{kind}_drift"])
        moved = found[(found["kind"] == "output") & (found["statistic"] == "ks")]
        distance[one == two].append(float(moved["value"].mean()))
    print("same clip:", same, "other clip:", other, "mean KS of outputs:", distance)
    assert max(same["input"]) <= 0.2 < 0.3 <= min(other["input"])
    assert max(same["output"]) <= 0.1
    assert max(distance[True]) < min(distance[False])
