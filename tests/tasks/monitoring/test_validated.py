"""The validated run as `infer` leaves it, read into what footage is compared with."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import params, tables
from tasks.errors import InputError
from tasks.inference.rows import Rows
from tasks.layout import Layout
from tasks.models.outputs import Output
from tasks.monitoring import validated
from tasks.params import Params
from tasks.quality import FEATURES

CLIPS = ("a", "b", "c")
NAMES = {"object": {"0": "car"}, "semantic": {}, "label": {}, "tasks": ["detection"]}


def given(tmp_path: Path) -> tuple[Params, Layout]:
    """Three clips of twelve frames in two parts, the last of which is empty, and a clip of another split."""
    layout = Layout(tmp_path)
    frames = pd.DataFrame(
        {
            "frame_id": np.arange(48),
            "clip_id": np.repeat([*CLIPS, "d"], 12),
            "frame_index": np.tile(np.arange(12), 4),
            "split": np.repeat(["test", "train"], [36, 12]),
            "source_file": "x.mp4",
            "source_member": None,
            "source_index": None,
            "width_px": 100,
            "height_px": 50,
            "label_id": None,
            "timestamp_s": np.tile(np.arange(12) / 10, 4),
            "camera": np.repeat(["north", "south", "south", "north"], 12),
        }
    )
    tables.write("frames", frames, layout.tables / "frames.parquet")
    cells = []
    for shard, ids in (("shard-0000", range(12)), ("shard-0001", range(12, 36))):
        rows = Rows(list(ids))
        for place, frame in enumerate(ids):
            n = 0 if frame >= 24 else 1 + frame // 12
            box = np.tile(np.array([0, 0, 10, 10], np.float32), (n, 1))
            rows.add([place], [Output(boxes=box, scores=np.full(n, 0.5, np.float32), class_ids=np.zeros(n, np.int64))])
        tables.write("predictions", rows.table(), layout.predictions / "m" / f"{shard}.parquet")
        cells.append(("m", "clean", "clean", 0, None, None, shard, f"m/{shard}.parquet", "ok", None))
    cells = pd.DataFrame(cells, columns=tables.SCHEMAS["cells"].names)
    tables.write("cells", cells, layout.predictions / "cells.parquet")
    (layout.predictions / "models.json").write_text(json.dumps({"m": NAMES}))
    quality = pd.DataFrame(
        [
            (kind, kind, severity, clip, camera, frame, 100.0 * severity + frame)
            for kind, severity in (("clean", 0), ("fog", 3))
            for clip, camera, frame in (("a", "north", 0), ("a", "north", 6), ("c", None, 24))
        ],
        columns=["corruption", "family", "severity", "clip_id", "camera", "frame_id", "brightness"],
    )
    quality = quality.assign(**{name: None for name in FEATURES if name not in quality.columns})
    tables.write("cell_quality", quality, layout.predictions / "quality.parquet")
    asked = {
        "dataset": {"split": "test"},
        "models": {"m": {"adapter": "small", "weights": "m.safetensors", "tracker": {"name": "bytetrack"}}},
        "footage": {"model": "m", "interval_s": 900, "window_s": 10},
    }
    return params.parse(asked), layout


def test_windows_are_as_long_as_the_clips_of_the_run(tmp_path: Path) -> None:
    assert validated.window_s(*given(tmp_path)) == pytest.approx(1.2)


def test_outputs_of_every_clip_of_the_split(tmp_path: Path) -> None:
    asked, layout = given(tmp_path)
    found = validated.outputs(asked, layout, "m", window_s=1.2, act={0: 0.9})
    told = found.pivot(index="clip_id", columns="feature", values="value")
    assert told["boxes_per_frame"].to_dict() == {"a": 1.0, "b": 2.0, "c": 0.0}
    assert told["empty_share"].to_dict() == {"a": 0.0, "b": 0.0, "c": 1.0}
    assert told["tracks_per_frame"].to_dict() == {"a": 0.0, "b": 0.0, "c": 0.0}  # a tracker ran, and gave no id
    assert told["below_act_share"].dropna().to_dict() == {"a": 1.0, "b": 1.0}
    assert found.groupby("clip_id")["camera"].first().to_dict() == {"a": "north", "b": "south", "c": "south"}


def test_inputs_of_clean_frames(tmp_path: Path) -> None:
    asked, layout = given(tmp_path)
    found = validated.inputs(asked, layout, window_s=1.2)
    expected = [("a", "north", 0.0, "brightness", 3.0), ("c", "all", 0.0, "brightness", 24.0)]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert validated.frames(asked, layout)["t_s"].tolist() == [0.0, 0.6, 0.0]


def test_what_the_run_has_not_is_said(tmp_path: Path) -> None:
    asked, layout = given(tmp_path)
    with pytest.raises(InputError, match=r"Expected what other is in .*models\.json"):
        validated.outputs(asked, layout, "other", window_s=1.2)
    (layout.predictions / "m" / "shard-0001.parquet").unlink()
    with pytest.raises(InputError, match="no clean predictions of m"):
        validated.outputs(asked, layout, "m", window_s=1.2)
    with pytest.raises(InputError, match="no section `footage`"):
        validated.window_s(asked.model_copy(update={"footage": None}), layout)
