"""A model over a video file: the same as the model, its tracker and the video by themselves."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tasks import tables
from tasks.data import video
from tasks.data.frames import UnreadableFrame
from tasks.inference import clip
from tasks.models import load, tracking
from tasks.models.outputs import Output, Predictor
from tasks.params import Tracker
from tests import tiny

COUNT = 21
TRACKER = Tracker(name="sort", track_activation_threshold=0.0, minimum_consecutive_frames=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving picture at 12.5 frames/s."""
    path = tmp_path_factory.mktemp("film") / "in.mp4"
    ground = np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8)
    facts = video.Facts(Fraction(25, 2), Fraction(1, 12800), None)
    frames = (video.Timed(ground[:, at : at + 64], 1024 * at) for at in range(COUNT))
    video.write(path, frames, facts, container=".mp4")
    return path


class Masks:
    """A model whose one mask and label map say which frame it was given, counted from the first."""

    tasks = frozenset({"instance", "semantic"})

    def __init__(self) -> None:
        self.seen = 0

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        found = []
        for frame in frames:
            self.seen += 1
            found.append(
                Output(
                    boxes=np.array([[0, 0, 8, 8]], np.float32),
                    scores=np.array([0.5], np.float32),
                    class_ids=np.array([1]),
                    masks=[b"x" * 100],
                    label_map=np.full(frame.shape[:2], self.seen, np.uint8),
                )
            )
        return found


class Sure:
    """A model with random weights, as sure as trackers want it."""

    tasks = frozenset({"detection"})

    def __init__(self, model: Predictor) -> None:
        self.model = model

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        return [replace(one, scores=one.scores / one.scores.max()) for one in self.model.predict(frames)]


def test_it_says_what_the_model_and_the_tracker_say(film: Path, tmp_path: Path) -> None:
    params = tiny.change(tiny.write(tmp_path, models=1))
    model = Sure(load(params.models["m0"], folder=tmp_path, device="cpu"))
    heard: list[int] = []
    found = clip.predict(film, model, tracker=TRACKER, clip_id="abc", camera="north", batch_size=8, done=heard.append)
    expected = [model.predict([frame.pixels])[0] for frame in video.read(film)]
    (ids,) = tracking.track([[(one.boxes, one.scores, one.class_ids) for one in expected]], tracker=TRACKER)
    assert sum(len(one.scores) for one in expected) > COUNT, "a model that finds nothing proves nothing"
    assert sum(int((~held.isna()).sum()) for held in ids) > 0
    for number, (one, held) in enumerate(zip(expected, ids, strict=True)):
        rows = found.predictions[(found.predictions["frame_id"] == number) & found.predictions["class_id"].notna()]
        order = np.argsort(-one.scores, kind="stable")
        np.testing.assert_allclose(rows["score"], one.scores[order], atol=1e-5)
        np.testing.assert_allclose(rows[["x0_px", "y0_px", "x1_px", "y1_px"]], one.boxes[order], atol=1e-3)
        assert rows["track_id"].isna().sum() == held.isna().sum()
    tables.write("predictions", found.predictions, tmp_path / "predictions.parquet")
    tables.write("frames", found.frames, tmp_path / "frames.parquet")
    assert found.frames["timestamp_s"].tolist() == pytest.approx([at / 12.5 for at in range(COUNT)])
    assert set(found.frames["camera"]) == {"north"}
    assert set(found.frames["clip_id"]) == {"abc"}
    assert sum(heard) == COUNT
    assert found.whole


def test_memory_does_not_grow_with_masks_and_maps(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "_PIECE", 4)
    monkeypatch.setattr(clip, "KEPT_BYTES", 600)  # the first piece alone has more
    found = clip.predict(film, Masks(), tracker=None, clip_id="abc", camera="all", batch_size=3)
    with_map = found.predictions[found.predictions["label_map"].notna()]
    seen = [int(tables.decode_label_map(data)[0, 0]) for data in with_map["label_map"]]
    assert 0 < len(seen) < COUNT
    assert seen == list(range(1, len(seen) + 1))
    assert found.predictions["mask"].notna().sum() == len(seen)
    assert found.predictions["class_id"].notna().sum() == COUNT, "boxes of all frames stay"
    assert not found.whole
    assert len(found.frames) == COUNT


def test_masks_that_a_tracker_follows_are_kept(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "_PIECE", 4)
    monkeypatch.setattr(clip, "KEPT_BYTES", 1)
    seen: list[int] = []
    monkeypatch.setattr(clip, "with_tracks", lambda rows, frames, tracker, images: seen.append(1) or rows)
    tracker = Tracker(boxes="masks")
    found = clip.predict(film, Masks(), tracker=tracker, clip_id="abc", camera="all", batch_size=3)
    assert found.predictions["mask"].notna().sum() == COUNT
    assert 0 < found.predictions["label_map"].notna().sum() < COUNT
    assert seen == [1]


def test_a_broken_video_is_refused(film: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(film.read_bytes()[:1500])
    with pytest.raises(UnreadableFrame, match=r"broken\.mp4"):
        clip.predict(broken, Masks(), tracker=None, clip_id="abc", camera="all", batch_size=3)
