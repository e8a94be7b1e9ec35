from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import tables
from tasks.errors import InputError


def frames() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "frame_id": [7, 9, 11],
            "clip_id": ["a", "a", "b"],
            "frame_index": [0, 1, 0],
            "split": ["test", "test", "train"],
            "source_file": ["a/0.png", "a/1.png", "b.mp4"],
            "source_member": None,
            "source_index": [None, None, 4],
            "width_px": 320,
            "height_px": 192,
            "label_id": [1, None, 0],
            "camera": ["north", None, "south"],
            "wet": [True, False, True],
        }
    )


def test_frames_without_times_are_frames_with_none(tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    tables.write("frames", frames(), path)
    assert pq.read_table(path)["timestamp_s"].null_count == 3
    pq.write_table(pq.read_table(path).drop_columns("timestamp_s"), path)
    back = tables.read("frames", path)
    assert back["timestamp_s"].isna().all()
    assert tables.attributes("frames", back) == ["camera", "wet"]
    timed = frames().assign(timestamp_s=[0.0, 0.1, None])
    tables.write("frames", timed, path)
    assert tables.read("frames", path)["timestamp_s"].tolist()[:2] == [0.0, 0.1]


def test_round_trip_keeps_values_nulls_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "frames.parquet"
    tables.write("frames", frames(), path)
    back = tables.read("frames", path)
    assert tables.attributes("frames", back) == ["camera", "wet"]
    assert back["label_id"].tolist() == [1, pd.NA, 0]
    assert back["source_index"].isna().tolist() == [True, True, False]
    assert back["camera"].tolist() == ["north", None, "south"]
    assert [p.name for p in path.parent.iterdir()] == ["frames.parquet"]


def test_same_rows_same_bytes(tmp_path: Path) -> None:
    tables.write("frames", frames(), tmp_path / "one.parquet")
    tables.write("frames", tables.read("frames", tmp_path / "one.parquet"), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frames().drop(columns="width_px"), r"lacks the column\(s\) width_px"),
        (frames().assign(clip_id=["a", None, "b"]), "column 'clip_id' of 'frames' is empty in row 1"),
        (frames().assign(frame_id=["x", "y", "z"]), "column 'frame_id' of 'frames' is not int64"),
        (frames().assign(camera=["a", 1, 2.5]), "attribute 'camera' of 'frames' mixes types"),
    ],
)
def test_bad_tables_are_refused_and_nothing_is_written(table: pd.DataFrame, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        tables.write("frames", table, tmp_path / "frames.parquet")
    assert not list(tmp_path.iterdir())


def test_a_stream_writes_what_one_write_does_and_nothing_when_it_breaks_off(tmp_path: Path) -> None:
    classes = pd.DataFrame({"kind": ["object"] * 3, "class_id": [1, 2, 3], "name": ["car", "bus", "van"]})
    with tables.stream("classes", tmp_path / "classes.parquet") as append:
        append(classes[:2])
        append(classes[2:])
        assert not (tmp_path / "classes.parquet").exists()
    pd.testing.assert_frame_equal(tables.read("classes", tmp_path / "classes.parquet"), classes, check_dtype=False)

    def broken() -> None:
        with tables.stream("classes", tmp_path / "none.parquet") as append:
            append(classes)
            append(classes.assign(name=["car", None, "van"]))

    with pytest.raises(InputError, match="is empty in row 1"):
        broken()
    assert [path.name for path in tmp_path.iterdir()] == ["classes.parquet"]


def test_closed_tables_take_no_further_columns(tmp_path: Path) -> None:
    table = pd.DataFrame({"frame_id": [1], "label_map": [b"x"], "more": [1]})
    with pytest.raises(InputError, match=r"has no column\(s\) more"):
        tables.write("semantic", table, tmp_path / "semantic.parquet")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no file: run the stage"):
        tables.read("frames", tmp_path / "frames.parquet")
    (tmp_path / "frames.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        tables.read("frames", tmp_path / "frames.parquet")
    tables.write("semantic", pd.DataFrame({"frame_id": [1], "label_map": [b"x"]}), tmp_path / "semantic.parquet")
    with pytest.raises(InputError, match="lacks the column clip_id"):
        tables.read("frames", tmp_path / "semantic.parquet")


def test_select_takes_whole_clips() -> None:
    assert tables.select(frames(), split="test")["frame_id"].tolist() == [7, 9]
    assert tables.select(frames(), limit=1)["frame_id"].tolist() == [7, 9]
    assert tables.select(frames(), limit=3)["frame_id"].tolist() == [7, 9, 11]
    with pytest.raises(InputError, match="'val' holds no frame; splits of this data set: test, train"):
        tables.select(frames(), split="val")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_label_maps_come_back_to_the_pixel(height: int, width: int, seed: int) -> None:
    label_map = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    np.testing.assert_array_equal(tables.decode_label_map(tables.encode_label_map(label_map)), label_map)
