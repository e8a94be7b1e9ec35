"""What a stream went through: tapes written by hand, and the quantisers of real coders."""

import io
import math

import av
import numpy as np
import pytest

from tasks.quality import stream
from tasks.quality.stream import Tape


def test_frames_that_are_missing_are_counted_where_they_were_due() -> None:
    rng = np.random.default_rng(0)
    due = np.arange(200) / 30 + rng.uniform(-0.008, 0.008, 200)  # a clock off by up to a quarter of a frame
    kept = np.ones(200, bool)
    kept[[20, 21, 22, 90, 150, 152]] = False
    expected = {int(kept[:place].sum()): n for place, n in ((23, 3), (91, 1), (151, 1), (153, 1))}
    found = stream.missing(due[kept])
    assert {int(place): int(found[place]) for place in np.flatnonzero(found)} == expected
    assert stream.missing(np.array([0.0])).tolist() == [0]
    assert stream.missing(np.array([])).tolist() == []


def test_a_freeze_lasts_and_a_duplicate_does_not() -> None:
    times = np.arange(60) / 10
    repeated = np.zeros(60, bool)
    repeated[3] = repeated[10:29] = repeated[40:60] = True  # 0.1 s, 1.9 s and 2 s after the picture before
    frozen = stream.freezes(times, repeated)
    assert np.flatnonzero(frozen).tolist() == list(range(40, 60))


def test_key_frames_are_judged_by_their_neighbours() -> None:
    changes = np.array([math.inf, 0.0, 0.001, 0.9, 0.0, 1.2, 0.9, 0.0])
    keys = np.array([True, False, False, True, False, False, True, False])
    assert stream.same(changes, keys).tolist() == [False, True, True, True, True, False, False, True]


def test_windows_of_a_tape() -> None:
    times = [n / 10 for n in range(100) if n not in (31, 32)]
    tape = Tape(
        times_s=times,
        changes=[0.0 if 6 <= t_s < 8 else 1.0 for t_s in times],
        keys=[False] * len(times),
        quantisers=[math.nan if t_s >= 5 else 20 + t_s for t_s in times],
        damaged=[t_s in (1.0, 6.0) for t_s in times],
        packets=[(t_s, 500 if t_s < 5 else 250) for t_s in times],
        errors_s=[6.5],
    )
    found = stream.windows(tape, 5)
    assert list(found) == [0, 1]
    assert found[0] == pytest.approx(
        {
            "bitrate_kbps": 48 * 500 * 8 / 5 / 1000,
            "qp": np.mean([20 + t_s for t_s in times if t_s < 5]),
            "drop_share": 2 / 50,
            "freeze_share": 0,
            "duplicate_share": 0,
            "decode_errors": 1,
        }
    )
    second = found[1]
    assert math.isnan(second.pop("qp"))
    assert second == pytest.approx(
        {
            "bitrate_kbps": 20,
            "drop_share": 0,
            "freeze_share": 0.4,
            "duplicate_share": 0.4,
            "decode_errors": 2,
        }
    )


def test_what_is_left_over_joins_the_last_window() -> None:
    times = [n / 10 for n in range(123)]  # 12.3 s: windows of 5 and 7.3
    steady = Tape(times, [1.0] * 123, [False] * 123, [30.0] * 123, [False] * 123, [(t_s, 125) for t_s in times], [])
    found = stream.windows(steady, 5)
    assert list(found) == [0, 1]
    assert found[1]["bitrate_kbps"] == pytest.approx(10)
    assert list(stream.windows(steady, 4)) == [0, 1, 2]
    assert list(stream.windows(steady, 100)) == [0]


def coded(encoder: str, options: dict[str, str], kind: str) -> io.BytesIO:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        video = container.add_stream(encoder, rate=10, options=options)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for _ in range(6):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    file.seek(0)
    return file


def quantisers(file: io.BytesIO) -> list[float]:
    with av.open(file) as container:
        container.streams.video[0].codec_context.options = {"export_side_data": "venc_params"}
        return [stream.quantiser(picture) for picture in container.decode(video=0)]


@pytest.mark.parametrize("qp", [12, 37])
def test_the_quantiser_is_the_coders(qp: int) -> None:
    fixed = {"x264-params": f"qp={qp}:ipratio=1:pbratio=1", "bf": "0"}
    assert quantisers(coded("libx264", fixed, "mp4")) == [qp] * 6


def test_a_codec_that_tells_no_quantiser() -> None:
    assert all(math.isnan(found) for found in quantisers(coded("ffv1", {}, "matroska")))
