"""A real camera's view, covered, defocused and moved; and what weather and light do to it, which is not tampering."""

import math
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks.corruptions import corrupt
from tasks.errors import InputError
from tasks.quality.tampering import LEARNT, THRESHOLD, Background, Scores, look


def pictures(name: str) -> list[np.ndarray]:
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    with av.open(str(Path(given) / "footage" / name)) as container:
        return [
            picture.to_ndarray(format="rgb24")
            for place, picture in zip(range(240), container.decode(video=0), strict=False)
            if place % 6 == 0
        ]


@pytest.fixture(scope="module", params=["car-detection.mp4", "one-by-one-person-detection.mp4"])
def camera(request: pytest.FixtureRequest) -> tuple[Background, list[np.ndarray]]:
    """What a camera showed for 20 pictures, and six of those after."""
    seen = pictures(request.param)
    background = None
    for frame in seen[:20]:
        _, background = look(frame, background, elapsed_s=0.5)
    assert background is not None
    return background, seen[22:40:3]


def scores(camera: tuple[Background, list[np.ndarray]], change: object = None) -> Scores:
    background, frames = camera
    found = [look(change(frame) if callable(change) else frame, background, elapsed_s=0.5)[0] for frame in frames]
    return Scores(*np.mean(found, axis=0))


def above(found: Scores) -> set[str]:
    return {name for name, score in found._asdict().items() if score >= THRESHOLD[name]}


def test_traffic_is_no_tampering(camera: tuple[Background, list[np.ndarray]]) -> None:
    assert max(scores(camera)) < 0.3


def covered(frame: np.ndarray, share: float) -> np.ndarray:
    """A hand over the left part: shaded, with the noise of the sensor."""
    width = int(frame.shape[1] * share)
    shade = 70 + np.linspace(0, 25, width)[None, :, None]
    noise = np.random.default_rng(0).normal(0, 2, (frame.shape[0], width, 3))
    found = frame.copy()
    found[:, :width] = np.clip(shade + noise, 0, 255)
    return found


def test_a_covered_lens(camera: tuple[Background, list[np.ndarray]]) -> None:
    for share in (0.8, 0.95, 1.0):
        assert "cover" in above(scores(camera, lambda frame, share=share: covered(frame, share)))
    assert "cover" not in above(scores(camera, lambda frame: covered(frame, 0.2)))
    black = scores(camera, lambda frame: np.full_like(frame, 8))
    assert black == (1, 0, 0)


@pytest.mark.parametrize("severity", [2, 3, 5])
def test_a_lens_out_of_focus(camera: tuple[Background, list[np.ndarray]], severity: int) -> None:
    found = scores(camera, lambda frame: corrupt(frame[None], name="defocus_blur", severity=severity, seed=0)[0])
    assert above(found) == {"defocus"}


@pytest.mark.parametrize("share", [0.025, 0.05, 0.15])
def test_a_camera_that_moved(camera: tuple[Background, list[np.ndarray]], share: float) -> None:
    def moved(frame: np.ndarray) -> np.ndarray:
        shift = frame.shape[1] * share
        matrix = np.float32([[1, 0, shift], [0, 1, shift / 2]])
        return cv2.warpAffine(frame, matrix, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT)

    assert above(scores(camera, moved)) == {"move"}


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize(
    "name", ["fog", "rain", "snow", "low_light", "gaussian_noise", "jpeg_compression", "contrast", "brightness"]
)
def test_weather_light_and_coding_are_no_tampering(
    camera: tuple[Background, list[np.ndarray]], name: str, severity: int
) -> None:
    assert above(scores(camera, lambda frame: corrupt(frame[None], name=name, severity=severity, seed=0)[0])) == set()


def scene(seed: int, size: tuple[int, int] = (90, 160)) -> np.ndarray:
    ground = np.random.default_rng(seed).integers(20, 230, (9, 16, 3), dtype=np.uint8)
    return cv2.resize(ground, size[::-1], interpolation=cv2.INTER_NEAREST)


def test_a_reference_learns_follows_slowly_and_doubts() -> None:
    background = None
    for place in range(LEARNT):  # a bright thing passes by, over other places each time
        passing = scene(0)
        passing[:, 8 * place : 8 * place + 24] = 255
        found, background = look(passing, background, elapsed_s=0.5)
        assert all(math.isnan(score) for score in found)
        assert background.learnt == (place == LEARNT - 1)
    assert background is not None
    expected = cv2.cvtColor(scene(0), cv2.COLOR_RGB2GRAY).astype(float)
    assert np.array_equal(background.view, expected)
    brighter = np.clip(scene(0).astype(int) + 12, 0, 255).astype(np.uint8)
    own = cv2.cvtColor(brighter, cv2.COLOR_RGB2GRAY).astype(float)
    found, after = look(brighter, background, elapsed_s=60)
    assert above(found) == set()
    assert after.view == pytest.approx(expected + 0.1 * (own - expected), abs=1e-3)
    other = cv2.cvtColor(scene(1), cv2.COLOR_RGB2GRAY).astype(float)
    found, after = look(scene(1), background, elapsed_s=60)
    assert "move" in above(found)
    assert after.view == pytest.approx(expected + (other - expected) / 60, abs=1e-3)


def test_another_size_begins_anew() -> None:
    _, background = look(scene(0), None, elapsed_s=1)
    found, other = look(scene(0, (180, 320)), background, elapsed_s=1)
    assert all(math.isnan(score) for score in found)
    assert (len(other.first), other.size) == (1, (180, 320))


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    _, background = look(scene(0), None, elapsed_s=1)
    path = tmp_path / "cameras" / "north.npz"
    background.save(path)
    found = Background.load(path)
    assert (found.blur, found.size, found.learnt) == (background.blur, background.size, False)
    assert np.array_equal(found.view, background.view)
    assert np.array_equal(found.first, background.first)
    assert [file.name for file in path.parent.iterdir()] == ["north.npz"]
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no archive", b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"north\.npz"):
            Background.load(path)
    with pytest.raises(InputError, match=r"absent\.npz"):
        Background.load(tmp_path / "absent.npz")
