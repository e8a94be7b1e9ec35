"""Shards: by the data alone."""

from pathlib import Path

import pandas as pd
import pytest

from tasks.errors import InputError
from tasks.inference import shards


def frames(sizes: list[int], *, width: int = 1000, height: int = 1000) -> pd.DataFrame:
    """Clips of these lengths."""
    rows = [
        {"clip_id": f"clip-{clip}", "frame_index": frame, "source_file": f"{clip}.bin"}
        for clip, size in enumerate(sizes)
        for frame in range(size)
    ]
    table = pd.DataFrame(rows).assign(source_member=None, width_px=width, height_px=height)
    table["source_index"] = pd.array(table["frame_index"], dtype="Int32")
    return table.assign(frame_id=range(1, len(table) + 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for clip in range(40):
        (tmp_path / f"{clip}.bin").write_bytes(b"clip %d" % clip)
    return tmp_path


@pytest.mark.parametrize(
    ("sizes", "width", "expected"),
    [
        ([20, 3, 20], 1000, [20, 23]),  # closed at once; a short clip waits for company
        ([10] * 5, 1000, [20, 20, 10]),  # 16 frames at least
        ([1] * 40, 4000, [16, 16, 8]),  # stills
        ([12] * 12, 122, [72, 72]),  # 8 megapixels at least: 0.122 a frame, whole clips of 12
        ([500], 1000, [500]),  # a clip is never cut
    ],
)
def test_sizes(folder: Path, sizes: list[int], width: int, expected: list[int]) -> None:
    cut = shards.cut(frames(sizes, width=width), folder)
    assert [len(shard.frames) for shard in cut] == expected
    assert [shard.name for shard in cut] == [f"shard-{place:04d}" for place in range(len(expected))]
    together = pd.concat([shard.frames for shard in cut])
    assert together["frame_id"].tolist() == list(range(1, sum(sizes) + 1))
    assert not set.intersection(*[{*shard.frames["clip_id"]} for shard in cut]) or len(cut) == 1


def test_a_limit_keeps_the_shards_before_it(folder: Path) -> None:
    all_frames = frames([20, 20, 20])
    first = shards.cut(all_frames, folder)
    limited = shards.cut(all_frames[:40], folder)
    assert [shard.digest for shard in limited] == [shard.digest for shard in first[:2]]


@pytest.mark.parametrize("column", ["frame_id", "clip_id", "frame_index", "source_index", "width_px", "height_px"])
def test_the_digest_follows_every_fact(folder: Path, column: str) -> None:
    table = frames([20])
    (before,) = shards.cut(table, folder)
    changed = table.copy()
    changed[column] = "another" if column == "clip_id" else changed[column] + 1
    (after,) = shards.cut(changed, folder)
    assert after.digest != before.digest


def test_the_digest_follows_the_file_and_not_its_name_or_attributes(folder: Path) -> None:
    table = frames([20, 20])
    first, second = shards.cut(table, folder)
    (folder / "moved.bin").write_bytes((folder / "0.bin").read_bytes())
    table.loc[table["clip_id"] == "clip-0", "source_file"] = "moved.bin"
    (folder / "1.bin").write_bytes(b"another picture")
    again = shards.cut(table.assign(weather="rain"), folder)
    assert again[0].digest == first.digest
    assert again[1].digest != second.digest


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "1.bin").unlink()
    with pytest.raises(InputError, match=r"1\.bin.*prepare"):
        shards.cut(frames([2, 2]), folder)
