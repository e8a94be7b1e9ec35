"""By rate factor: as many frames as went in, worse with CRF, true in colour, the same each time."""

import hashlib
import io
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import corrupt, corrupt_stream
from tasks.corruptions.codec import coding, priority
from tasks.corruptions.codec.colour import Colour, pyav
from tasks.data.scene.clips import frames_of, plan
from tasks.errors import InputError
from tasks.params import Crossing

Frames = NDArray[np.uint8]
CODECS = ("h264", "h265", "av1")
Through = Callable[..., tuple[Frames, dict[str, float]]]


def psnr_db(truth: Frames, seen: Frames) -> float:
    return float(10 * np.log10(255**2 / np.mean((truth.astype(float) - seen) ** 2)))


def gradient(height: int, width: int) -> Frames:
    """Smooth in all three colours, so that half as many chroma values lose little."""
    rows, columns = np.mgrid[:height, :width]
    planes = [columns / width, rows / height, 1 - (rows + columns) / (height + width)]
    return (np.stack(planes, axis=-1) * 255).astype(np.uint8)


def test_quality_falls_with_crf(clip: Frames) -> None:
    quality = [psnr_db(clip, corrupt(clip, name="h264", level=crf)) for crf in (0, 10, 23, 30, 37, 44, 51)]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] - quality[-1] > 10


@pytest.mark.parametrize(("name", "worst"), [("h265", 51), ("av1", 63)])
def test_quality_falls_with_crf_in_others(street: Frames, through: Through, name: str, worst: int) -> None:
    clip = street[:12]
    quality = [psnr_db(clip, through(name, clip, level=crf)[0]) for crf in (1, 15, 27, 39, worst)]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] - quality[-1] > 10


@pytest.mark.parametrize("name", CODECS)
def test_bits_fall_and_qp_rises_with_severity(street: Frames, through: Through, name: str) -> None:
    facts = [through(name, street, severity=severity)[1] for severity in (1, 2, 3, 4, 5)]
    qps, bits = [fact["qp_mean"] for fact in facts], [fact["bits_per_pixel"] for fact in facts]
    assert qps == sorted(set(qps))
    assert bits == sorted(set(bits), reverse=True)
    # The coder's quantiser is that of the rate factor, but for what a frame's type and its content shift.
    assert qps[2] == pytest.approx({"h264": 37, "h265": 39, "av1": 46}[name], abs=6)
    for fact in facts:
        assert fact["bitrate_kbps"] == pytest.approx(fact["bits_per_pixel"] * 96 * 128 * 25 / 1000)


@pytest.mark.parametrize("name", CODECS)
def test_bits_are_those_of_the_packets(street: Frames, through: Through, name: str) -> None:
    """Against bits counted by writing the same frames into a file with PyAV's own muxer."""
    import av
    import av.bitstream

    used = {"h264": coding.H264, "h265": coding.H265, "av1": coding.AV1}[name]
    colour, file = Colour(pyav(name)), io.BytesIO()
    with priority.kept(), av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(used.encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 128, 96, "yuv420p", 1
        stream.options = {**used.options, "crf": "40"}
        for at, frame in enumerate(street[:20]):
            picture = colour.to_yuv(frame)
            picture.pts = at
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        packets = list(container.demux(video=0))
        if name == "h264":  # the coder's name, 600 bytes, is no part of the pictures
            bare = av.bitstream.BitStreamFilterContext("filter_units=remove_types=6", in_stream=container.streams[0])
            packets = [kept for packet in packets for kept in bare.filter(packet)]
        bits = 8 * sum(packet.size for packet in packets)
    facts = through(name, street[:20], level=40)[1]
    # A file keeps parameter sets once, beside the frames.
    assert facts["bits_per_pixel"] * 20 * 96 * 128 == pytest.approx(bits, rel=0.15)


def test_severities_are_the_table(clip: Frames) -> None:
    for severity, crf in enumerate((23, 30, 37, 44, 51), start=1):
        np.testing.assert_array_equal(
            corrupt(clip, name="h264", severity=severity), corrupt(clip, name="h264", level=crf)
        )


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 70])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 45), (48, 35)])
def test_as_many_frames_as_went_in(frames: int, height: int, width: int) -> None:
    still = gradient(height, width)
    moving = np.stack([np.roll(still, 3 * t, axis=1) for t in range(frames)])
    out = corrupt(moving, name="h264", level=15)
    assert out.shape == moving.shape
    # In order: each frame is nearer to its own than to any other.
    for at, frame in enumerate(out[:: max(1, frames // 8)]):
        at *= max(1, frames // 8)
        errors = [np.abs(frame.astype(int) - other).mean() for other in moving[:11]]
        if at < 11:
            assert int(np.argmin(errors)) == at


@pytest.mark.parametrize("name", ["h265", "av1"])
@pytest.mark.parametrize("frames", [1, 3, 70])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 45)])
def test_as_many_frames_in_others(through: Through, name: str, frames: int, height: int, width: int) -> None:
    still = gradient(height, width)
    moving = np.stack([np.roll(still, 3 * at, axis=1) for at in range(frames)])
    out, _ = through(name, moving, level=15)
    assert out.shape == moving.shape
    for at in range(min(frames, 3)):
        assert int(np.argmin([np.abs(out[at].astype(int) - other).mean() for other in moving[:11]])) == at


@pytest.mark.parametrize("name", ["h265", "av1"])
def test_best_rate_keeps_colour_in_others(through: Through, name: str) -> None:
    truth = gradient(48, 64)
    out = through(name, truth[None], level=1)[0][0].astype(float) - truth
    assert np.abs(out).max() <= 5
    assert np.abs(out.mean(axis=(0, 1))).max() < 0.4


def test_lossless_rate_keeps_colour() -> None:
    truth = gradient(48, 64)
    out = corrupt(truth[None], name="h264", level=0)[0].astype(float) - truth
    # 8-bit YUV of limited range and halved chroma: at most a few levels, and no shift of any channel. A wrong matrix
    # or range shifts them by 5 and more; chroma that comes back half a pixel aside by 1.5, on this gradient.
    assert np.abs(out).max() <= 4
    assert np.abs(out.mean(axis=(0, 1))).max() < 0.3


@pytest.mark.parametrize("rgb", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 100, 50)])
def test_colour_is_bt709_limited(rgb: tuple[int, int, int]) -> None:
    colour = Colour(pyav("h264"))
    flat = np.full((32, 32, 3), rgb, np.uint8)
    planes = [int(np.asarray(plane)[0]) for plane in colour.to_yuv(flat).planes]
    # ITU-R BT.709-6, sections 3 and 4.
    red, green, blue = np.array(rgb) / 255
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748)
    np.testing.assert_allclose(planes, expected, atol=1)
    np.testing.assert_allclose(colour.to_rgb(colour.to_yuv(flat), flat.shape)[8, 8], rgb, atol=2)


def test_each_clip_is_coded_by_itself(clip: Frames) -> None:
    mixed = np.empty((16, *clip.shape[1:]), np.uint8)
    mixed[0::2], mixed[1::2] = clip, clip[::-1]
    out = corrupt(mixed, name="h264", severity=3, clips=["a", "b"] * 8)
    np.testing.assert_array_equal(out[0::2], corrupt(clip, name="h264", severity=3))
    np.testing.assert_array_equal(out[1::2], corrupt(clip[::-1], name="h264", severity=3))


def test_a_still_is_an_intra_frame_and_a_clip_is_not(clip: Frames) -> None:
    stills = corrupt(clip, name="h264", severity=3, clips=[str(at) for at in range(8)])
    np.testing.assert_array_equal(stills[2], corrupt(clip[2:3], name="h264", severity=3)[0])
    assert (corrupt(clip, name="h264", severity=3)[2] != stills[2]).any()


def test_same_bits_each_time(clip: Frames) -> None:
    first = corrupt(clip, name="h264", severity=2, seed=1, clips="a")
    np.testing.assert_array_equal(corrupt(clip, name="h264", severity=2, seed=2, clips="b", first_frame=9), first)


@pytest.mark.parametrize(("name", "crf"), [("h264", 23), ("h264", 37), ("h265", 30), ("av1", 40)])
def test_same_bits_on_a_used_heap(through: Through, name: str, crf: int) -> None:
    """An encoder that reads memory it never wrote gives other bits once blocks of other sizes were freed."""
    random = np.random.default_rng(5)
    scene = Crossing(test_clips=1, test_frames=12)
    rendered = [frame.picture for frame in frames_of(scene, next(c for c in plan(scene) if c.split == "test"))]
    moving = np.stack(rendered)  # a picture as rich as these is what brought it out
    seen = set()
    for _ in range(5):
        used = [random.integers(0, 255, int(random.integers(10_000, 3_000_000)), dtype=np.uint8) for _ in range(12)]
        del used[::2]
        seen.add(hashlib.sha256(through(name, moving, level=crf)[0].tobytes()).hexdigest())
    assert len(seen) == 1


@pytest.mark.parametrize(("name", "bound"), [("h264", 64), ("h265", 64), ("av1", 100)])
def test_stream_holds_a_bounded_number_of_frames(name: str, bound: int) -> None:
    still = gradient(32, 40)
    taken = 0

    def source() -> Iterator[Frames]:
        nonlocal taken
        for at in range(400):
            taken += 1
            yield np.roll(still, at, axis=1)

    held = []
    for given, _ in enumerate(corrupt_stream(source(), name=name, severity=2), start=1):
        held.append(taken - given)
    assert len(held) == 400
    assert max(held) <= bound


def test_frames_of_two_sizes_are_refused() -> None:
    frames = [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 34, 3), np.uint8)]
    with pytest.raises(InputError, match="one size"):
        list(corrupt_stream(frames, name="h264", severity=1))


def test_real_footage_gets_worse(cars: Frames, through: Through) -> None:
    frames = cars[:15]
    for name in CODECS:
        outs = [through(name, frames, severity=severity) for severity in (1, 3, 5)]
        quality = [psnr_db(frames, out) for out, _ in outs]
        assert quality == sorted(quality, reverse=True)
        assert outs[0][1]["bits_per_pixel"] > 4 * outs[2][1]["bits_per_pixel"]


def test_without_pyav_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="h265 needs the package av"):
        pyav("h265")
