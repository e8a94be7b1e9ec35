"""Which corruption footage is taken for: on made-up features by hand, and on real photographs and real footage."""

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from tasks import corruptions
from tasks.errors import InputError
from tasks.monitoring.likeness import Looks, Signatures, Space, expected, transformed
from tasks.quality import FEATURES, features
from tests.photographs import photographs
from tests.tasks.monitoring import weather

WIDTH_PX = 320


def space(points: dict[tuple[str, int], list[float]]) -> Space:
    given = np.array(list(points.values()), dtype=float)
    size = given.shape[1]
    return Space(tuple(points), np.zeros(size), np.ones(size, dtype=bool), np.eye(size), given)


PLANE = space({("clean", 0): [0, 0], ("fog", 1): [4, 0], ("fog", 3): [8, 0], ("blur", 1): [0, 4], ("blur", 2): [0, 8]})


@pytest.mark.parametrize(
    ("point", "name", "severity", "distance"),
    [
        ([0.2, 0.1], "clean", 0, 0.2236),
        ([5.0, 1.0], "fog", 1, 5**0.5),  # the square of CHOSEN is 4
        ([7.0, 1.0], "fog", 3, 5**0.5),
        ([11.0, 0.0], "fog", 3, 2.0),  # stronger than any severity, by less than half
        ([15.0, 0.0], "fog", 3, 13**0.5),  # by more: 12 is the end
        ([0.5, 6.5], "blur", 2, (0.25 + 4) ** 0.5),
    ],
)
def test_footage_is_nearest_to_the_path_that_it_lies_on(point, name, severity, distance):
    names, severities, distances = PLANE.nearest(np.array([point]))
    best = int(distances[0].argmin())
    assert (names[best], severities[0, best]) == (name, severity)
    assert distances[0, best] == pytest.approx(distance, abs=1e-3)


def test_what_is_expected_is_that_of_the_cells_and_in_between_in_between():
    values = np.array([1.0, 0.8, 0.4, 0.9, 0.2])
    at_cells = expected(PLANE, PLANE.points, values)
    assert np.abs(at_cells - values).max() < 0.05
    between = expected(PLANE, np.array([[6.0, 0.0]]), values)[0]
    assert 0.45 < between < 0.75
    assert expected(PLANE, np.array([[1e6, 1e6]]), values)[0] == pytest.approx(values.mean())
    assert np.isfinite(expected(PLANE, PLANE.points, np.array([1.0, np.nan, 0.4, 0.9, np.nan]))).all()


def test_ordinary_differences_have_variance_one():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(4000, 3)) * [1.0, 5.0, 0.2]
    means = np.stack([clean, clean + [1.0, 0.0, 0.0] + 0.01 * rng.normal(size=clean.shape)])
    looks = Looks(
        ("a", "b", "c"),
        (("clean", 0), ("fog", 1)),
        tuple(map(str, range(4000))),
        np.array([""] * 4000, dtype=object),
        means,
        clean,
        np.arange(4000),
    )
    every = np.ones(4000, dtype=bool)
    found = Signatures.of(looks, every, np.ones(2, dtype=bool)).against(None)
    assert found.place(clean).var(axis=0) == pytest.approx(np.ones(3), abs=0.1)
    assert found.points[0] == pytest.approx(np.zeros(3))
    assert np.linalg.norm(found.points[1]) == pytest.approx(1, abs=0.1)  # one standard deviation of that feature


def test_a_table_without_clean_frames_is_refused():
    row = dict.fromkeys(FEATURES, 1.0)
    with pytest.raises(InputError, match="clean frames"):
        Looks.of(pd.DataFrame([{"corruption": "fog", "severity": 1, "clip_id": "a", "camera": None, **row}]))


def small(frame: np.ndarray) -> np.ndarray:
    height = round(frame.shape[0] * WIDTH_PX / frame.shape[1] / 2) * 2
    return cv2.resize(frame, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)


def measured(frames: list[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame([features(frame)._asdict() for frame in frames])


@pytest.fixture(scope="module")
def signatures():
    """Of photographs and five corruptions, as `infer` would store them."""
    rows = []
    for place, frame in enumerate(map(small, photographs(12))):
        cells = [("clean", 0), *((name, s) for name in CORRUPTIONS for s in (1, 3, 5))]
        for name, severity in cells:
            seen = frame if not severity else corruptions.corrupt(frame[None], name=name, severity=severity)[0]
            cell = {"corruption": name, "severity": severity, "clip_id": str(place), "camera": None}
            rows.append({**cell, **features(seen)._asdict()})
    looks = Looks.of(pd.DataFrame(rows))
    assert "blockiness" not in looks.features
    return Signatures.of(looks, np.ones(12, dtype=bool), np.ones(len(looks.cells), dtype=bool))


CORRUPTIONS = ("fog", "defocus_blur", "gaussian_noise", "low_light", "jpeg_compression")


@pytest.fixture(scope="module")
def footage():
    """A real camera's frames before and after, some seconds each."""
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    path = Path(given) / "footage" / "one-by-one-person-detection.mp4"
    with av.open(str(path)) as container:
        frames = [
            small(frame.to_ndarray(format="rgb24"))
            for place, frame in zip(range(370), container.decode(video=0), strict=False)
            if place % 8 == 0
        ]
    return frames[:23], frames[23:]


@pytest.mark.real
@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda frame: frame, "clean"),
        (lambda frame: weather.fog(frame, 0.3), "fog"),
        (lambda frame: weather.fog(frame, 0.6), "fog"),
        (lambda frame: weather.defocus(frame, 1.5), "defocus_blur"),
        (lambda frame: weather.defocus(frame, 2.5), "defocus_blur"),
        (lambda frame: (0.3 * frame).astype(np.uint8), "low_light"),
    ],
)
def test_real_footage_is_taken_for_what_was_done_to_it(signatures, footage, change, wanted, tmp_path):
    before, after = footage
    space = signatures.against(transformed(measured(before), signatures.features))
    seen = weather.through_an_encoder([change(frame) for frame in after], tmp_path / "new.mp4")
    point = space.place(transformed(measured(seen), signatures.features).mean(axis=0, keepdims=True))
    names, _, distances = space.nearest(point)
    assert names[int(distances[0].argmin())] == wanted, dict(zip(names, distances[0].round(1), strict=True))
