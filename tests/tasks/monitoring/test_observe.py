"""Clips made here with known faults, and real footage, seen in one pass."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks import quality
from tasks.data.frames import UnreadableFrame
from tasks.monitoring.observe import THUMBNAIL_PX, WINDOW_FEATURES, Observed, observe
from tasks.quality.tampering import TAMPERING

SIZE = (180, 320)
RATE = 10


def camera(place: int, *, noise: float = 3.0) -> np.ndarray:
    """A still view with a box that drives through, as a sensor sees it."""
    ground = np.random.default_rng(0).integers(40, 200, (12, 20, 3), dtype=np.uint8)
    pixels = cv2.resize(ground, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    left = 5 * place % 280
    cv2.rectangle(pixels, (left, 60), (left + 40, 90), (220, 30, 30), -1)
    seen = pixels + np.random.default_rng(place).normal(0, noise, pixels.shape)
    return np.clip(seen, 0, 255).astype(np.uint8)


def write(path: Path, frames: list[tuple[int, np.ndarray]], *, codec: str = "libx264", **options: str) -> Path:
    """A video of (time in frames, pixels)."""
    options = options if "qp" in options else {"crf": "18"} | options
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE, options={"preset": "veryfast"} | options)
        video.height, video.width = frames[0][1].shape[:2]
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, RATE)
        for at, pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def table(found: Observed) -> dict[tuple[float, str], float]:
    return {(row.t_s, row.feature): row.value for row in found.windows.itertuples()}


def still(place: int) -> np.ndarray:
    """Nothing moves in front of the sensor."""
    noise = np.random.default_rng(1000 + place).normal(0, 3, (*SIZE, 3))
    return np.clip(camera(0, noise=0) + noise, 0, 255).astype(np.uint8)


def test_frames_dropped_doubled_and_frozen(tmp_path: Path) -> None:
    """Windows of 5 s: whole; five frames dropped; 2.5 s frozen; three doubles; nothing moves, and noise says so."""
    shown = {at: camera(at) if at < 200 else still(at) for at in range(250)}
    for at in range(120, 145):
        shown[at] = shown[119]
    for at in (160, 170, 180):
        shown[at] = shown[at - 1]
    for at in (71, 72, 73, 74, 90):
        del shown[at]
    path = write(tmp_path / "clip.mp4", sorted(shown.items()), qp="0")
    found = observe(path, sample_per_s=2, window_s=5)
    facts = found.facts
    assert (facts.n_frames, facts.n_stated, facts.n_missing, facts.n_damaged, facts.error) == (245, 245, 5, 0, None)
    assert (facts.width_px, facts.height_px, facts.codec) == (320, 180, "h264")
    assert (facts.duration_s, facts.frame_rate) == pytest.approx((25, 10))
    values = table(found)
    assert [values[5.0 * n, "drop_share"] for n in range(5)] == pytest.approx([0, 5 / 50, 0, 0, 0])
    assert [values[5.0 * n, "freeze_share"] for n in range(5)] == pytest.approx([0, 0, 25 / 50, 0, 0])
    assert [values[5.0 * n, "duplicate_share"] for n in range(5)] == pytest.approx([0, 0, 25 / 50, 3 / 50, 0])
    assert [values[5.0 * n, "decode_errors"] for n in range(5)] == [0] * 5


def test_a_freeze_that_is_coded_like_all_else_and_a_still_scene(tmp_path: Path) -> None:
    """The coder improves a frozen picture for half a second, and codes it anew in every second key frame of it."""
    shown = [camera(at) for at in range(50)] + [camera(49)] * 50 + [still(at) for at in range(50)]
    path = write(tmp_path / "clip.mp4", list(enumerate(shown)), crf="23", bf="0", g="20", sc_threshold="0")
    values = table(observe(path, sample_per_s=2, window_s=5))
    assert values[0.0, "freeze_share"] == values[10.0, "freeze_share"] == 0
    assert values[5.0, "freeze_share"] >= 0.4


def test_bits_and_features_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", [(at, camera(at)) for at in range(60)], qp="28", bf="0")
    found = observe(path, sample_per_s=2.5, window_s=2)
    bits = [0.0, 0.0, 0.0]
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                bits[int(packet.pts * packet.time_base // 2)] += 8 * packet.size
    values = table(found)
    assert [values[2.0 * n, "bitrate_kbps"] for n in range(3)] == pytest.approx([one / 2000 for one in bits])
    assert found.facts.bitrate_kbps == pytest.approx(sum(bits) / 6000)
    assert all(abs(values[2.0 * n, "qp"] - 28) <= 3 for n in range(3))  # key frames get 3 less

    assert found.frames["t_s"].tolist() == pytest.approx([n * 0.4 for n in range(15)])
    with av.open(str(path)) as container:
        pixels = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    for row in found.frames.itertuples(index=False):
        assert row[1:] == quality.features(pixels[round(10 * row.t_s)])
    for column in quality.FEATURES:
        means = found.frames.groupby(found.frames["t_s"] // 2)[column].mean()
        assert [values[2.0 * n, column] for n in range(3)] == pytest.approx(means.tolist())
    assert list(dict.fromkeys(found.windows["feature"])) == [one for one in WINDOW_FEATURES if one not in TAMPERING]

    assert [small.t_s for small in found.thumbnails] == pytest.approx([1.2, 3.2, 5.2])
    assert [small.window_s for small in found.thumbnails] == [0, 2, 4]
    small = cv2.cvtColor(cv2.imdecode(np.frombuffer(found.thumbnails[0].webp, np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert np.abs(small.astype(int) - pixels[12]).mean() < 6


def test_more_samples_than_frames_and_a_large_frame(tmp_path: Path) -> None:
    frames = [(at, cv2.resize(camera(at), (640, 360))) for at in range(7)]
    found = observe(write(tmp_path / "clip.mkv", frames), sample_per_s=99, window_s=10)
    assert found.frames["t_s"].tolist() == pytest.approx([n / 10 for n in range(7)], abs=1e-3)
    assert cv2.imdecode(np.frombuffer(found.thumbnails[0].webp, np.uint8), 1).shape == (180, THUMBNAIL_PX, 3)
    one = observe(write(tmp_path / "one.mp4", frames[:1]), sample_per_s=2, window_s=10)
    assert (one.facts.n_frames, len(one.frames), len(one.thumbnails)) == (1, 1, 1)
    assert ("bitrate_kbps" in set(one.windows["feature"])) == (one.facts.duration_s > 0)


def test_damaged_packets_are_counted_where_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", [(at, camera(at)) for at in range(60)], bf="0")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = {
            round(10 * packet.pts * packet.time_base): (packet.pos, packet.size)
            for packet in container.demux(video=0)
            if packet.size
        }
    for at in (5, 23, 31):
        start, size = places[at]
        for offset in range(start + size // 3, start + size, 7):
            data[offset] ^= 0xFF
    path.write_bytes(data)
    found = observe(path, sample_per_s=2, window_s=2)
    assert found.facts.error is None
    assert found.facts.n_damaged >= 3
    errors = [table(found)[2.0 * n, "decode_errors"] for n in range(3)]
    assert sum(errors) == found.facts.n_damaged
    assert errors[0] >= 1
    assert errors[1] >= 2
    assert errors[2] == 0


def test_a_file_that_ends_too_early_and_ones_that_are_no_video(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", [(at, camera(at)) for at in range(60)], g="10")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found = observe(path, sample_per_s=2, window_s=2)
    assert 15 < found.facts.n_frames < 45
    assert found.windows["t_s"].max() < 4
    (tmp_path / "text.mp4").write_text("no video")
    path.write_bytes(whole[:600])
    for name in ("text.mp4", "absent.mp4", "clip.mkv"):
        with pytest.raises(UnreadableFrame, match=name):
            observe(tmp_path / name, sample_per_s=2, window_s=2)


def test_the_background_goes_from_clip_to_clip(tmp_path: Path) -> None:
    first = observe(write(tmp_path / "first.mp4", [(at, camera(at)) for at in range(120)]), sample_per_s=2, window_s=4)
    assert set(first.windows.loc[first.windows["feature"] == "cover", "t_s"]) == {8.0}  # learnt from twenty pictures
    assert first.background.learnt
    black = [
        (at, np.clip(np.random.default_rng(at).normal(9, 3, (*SIZE, 3)), 0, 255).astype(np.uint8)) for at in range(40)
    ]
    path = write(
        tmp_path / "second.mp4", [(at, camera(at)) for at in range(40)] + [(40 + at, one) for at, one in black]
    )
    values = table(observe(path, sample_per_s=2, window_s=4, background=first.background))
    assert values[0.0, "cover"] < 0.1
    assert values[4.0, "cover"] > 0.9
    unknown = table(observe(path, sample_per_s=2, window_s=4))
    assert (0.0, "cover") not in unknown


def test_real_footage() -> None:
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    found = observe(Path(given) / "footage" / "car-detection.mp4", sample_per_s=2, window_s=10)
    facts = found.facts
    assert (facts.n_frames, facts.n_missing, facts.n_damaged, facts.error) == (377, 0, 0, None)
    assert (facts.width_px, facts.height_px, facts.frame_rate) == pytest.approx((768, 432, 12.5))
    assert facts.bitrate_kbps == pytest.approx(614.933, abs=0.01)  # as the file states
    values = table(found)
    assert sorted({t_s for t_s, _ in values}) == [0, 10, 20]
    for t_s in (0.0, 10.0, 20.0):
        assert values[t_s, "freeze_share"] == values[t_s, "drop_share"] == values[t_s, "decode_errors"] == 0
        assert 15 < values[t_s, "qp"] < 30
    assert all(values[t_s, name] < 0.5 for t_s in (10.0, 20.0) for name in ("cover", "move"))
    assert all(values[t_s, "defocus"] < 0.2 for t_s in (10.0, 20.0))
