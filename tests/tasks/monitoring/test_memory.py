"""What scans learn of cameras: it counts once, whenever they are killed, and says only what it may."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import tables
from tasks.errors import InputError
from tasks.monitoring import memory
from tasks.monitoring.memory import FIRST_FRAMES, STAGED, Memory, settle, untouched
from tasks.monitoring.observe import Facts, Observed
from tasks.quality import FEATURES
from tasks.quality.tampering import Background
from tests.footage_scans import write_video

FACTS = Facts(10.0, 250, 250, 0, 0, 64, 48, 25.0, "h264", 100.0, None)


def seen(n_frames: int, *, shade: float = 0.0, cover: float = 0.1) -> Observed:
    frames = pd.DataFrame({"t_s": np.arange(n_frames) / 2, **{name: shade + np.arange(n_frames) for name in FEATURES}})
    windows = pd.DataFrame([(0.0, "cover", cover), (0.0, "move", 0.1)], columns=["t_s", "feature", "value"])
    background = Background(np.full((4, 6), shade, np.float32), shade, (48, 64), np.zeros((0, 4, 6), np.uint8))
    return Observed(FACTS, windows, frames.astype(float), background, ())


def test_what_a_scan_learns_counts_for_others_once_it_is_whole(tmp_path: Path) -> None:
    kept, hidden, whole = tmp_path / ".kept", tmp_path / ".20261122T031500Z", tmp_path / "20261122T031500Z"
    scan, other = Memory(kept, hidden / STAGED), Memory(kept, tmp_path / ".other" / STAGED)
    scan.learn("Nord Süd", seen(4, shade=9))
    scan.learn_first("a" * 16, "Nord Süd", "2026-11-22T03:00:00Z", seen(4))
    own = scan.background("Nord Süd")
    assert own is not None
    assert own.view[0, 0] == 9
    assert len(scan.first("Nord Süd")) == 4
    settle(tmp_path, kept)
    assert other.background("Nord Süd") is None, "the scan may yet be killed, and its clips taken again"
    assert other.first("Nord Süd").empty
    hidden.rename(whole)
    settle(tmp_path, kept)
    after = other.background("Nord Süd")
    assert after is not None
    assert after.view[0, 0] == 9
    tables.to_arrow("footage_first", other.first("Nord Süd"))
    assert other.first("Nord Sud").empty
    assert not (whole / STAGED).exists()


def test_first_clips_are_those_received_first_and_are_full_some_day(tmp_path: Path) -> None:
    known = Memory(tmp_path / "kept", tmp_path / "staged")
    known.learn_first("b" * 16, "north", "2026-11-22T04:00:00Z", seen(FIRST_FRAMES - 10))
    known.learn_first("a" * 16, "north", "2026-11-22T03:00:00Z", seen(100))
    known.learn_first("a" * 16, "north", "2026-11-22T03:00:00Z", seen(100))  # learnt again: the same clip
    known.learn_first("c" * 16, "north", "2026-11-22T05:00:00Z", seen(100))
    frames = known.first("north")
    assert frames.groupby("clip_id").size().to_dict() == {"a" * 16: 10, "b" * 16: FIRST_FRAMES - 10}
    assert frames["clip_id"].iloc[0] == "a" * 16
    assert known.first("south").empty


def test_what_is_damaged_is_learnt_anew(tmp_path: Path) -> None:
    known = Memory(tmp_path / "kept", tmp_path / "staged")
    known.learn("north", seen(4))
    known.learn_first("a" * 16, "north", "2026-11-22T03:00:00Z", seen(4))
    for path in [path for path in (tmp_path / "staged").rglob("*") if path.is_file()]:
        path.write_bytes(b"half")
    assert known.background("north") is None
    assert known.first("north").empty


@pytest.mark.parametrize(
    ("facts", "cover", "good"),
    [({}, 0.1, True), ({}, 0.5, False), ({"n_damaged": 1}, 0.1, False), ({"error": "it ends"}, 0.1, False)],
)
def test_a_clip_that_was_covered_or_damaged_is_no_reference(facts: dict, cover: float, good: bool) -> None:
    one = seen(4, cover=cover)
    assert untouched(replace(one, facts=replace(one.facts, **facts))) is good


def test_a_clip_that_is_given_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "good/north/a.mp4", frames=8)
    known = Memory(tmp_path / "kept", tmp_path / "staged")
    ask = {"camera": "north", "received_utc": "2026-11-22T03:00:00Z", "sample_per_s": 100.0, "window_s": 1.0}
    first = known.given(path, stamp="1", **ask)
    assert (len(first), set(first["camera"])) == (8, {"north"})
    path.write_bytes(b"no film")
    pd.testing.assert_frame_equal(known.given(path, stamp="1", **ask), first)
    with pytest.raises(InputError, match=r"footage\.reference: .*a\.mp4.* Put a whole clip there"):
        known.given(path, stamp="2", **ask)
    monkeypatch.setattr(memory, "_GIVEN", "given-of-another-version")
    with pytest.raises(InputError, match="Put a whole clip there"):
        known.given(path, stamp="1", **ask)
