"""Contact sheets show the pixels that a run makes, at every severity."""

import cv2
import numpy as np
import pytest

from tasks.corruptions import corrupt
from tasks.errors import InputError
from tasks.gallery import sheet

WIDTH, HEIGHT = 96, 64


def clip(count: int) -> list[np.ndarray]:
    ground = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    return [np.roll(cv2.resize(ground, (WIDTH, HEIGHT)), 4 * at, axis=1) for at in range(count)]


def cell(drawn: np.ndarray, row: int, column: int) -> np.ndarray:
    top = sheet.HEAD_PX + row * (HEIGHT + sheet.LABEL_PX + sheet.GAP_PX) + sheet.LABEL_PX
    left = sheet.GAP_PX + column * (WIDTH + sheet.GAP_PX)
    return drawn[top : top + HEIGHT, left : left + WIDTH]


def test_every_cell_is_what_corrupt_makes() -> None:
    frames = clip(4)
    names = ["gaussian_noise", "h264", "low_light 2 + gamma"]
    drawn = sheet.draw(frames, names, seed=5, clip="a", first_frame=7)
    assert drawn.dtype == np.uint8
    for row, name in enumerate(names):
        np.testing.assert_array_equal(cell(drawn, row, 0), frames[-1])
        for severity in range(1, 6):
            made = corrupt(np.stack(frames), name=name, severity=severity, seed=5, clips="a", first_frame=7)
            np.testing.assert_array_equal(cell(drawn, row, severity), made[-1])


def test_labels_are_drawn_and_large_frames_scaled_down() -> None:
    large = cv2.resize(clip(1)[0], (640, 480))
    drawn = sheet.draw([large], ["gamma"], seed=0, clip="a")
    assert drawn.shape[1] == sheet.GAP_PX + 6 * (320 + sheet.GAP_PX)
    head = drawn[: sheet.HEAD_PX + sheet.LABEL_PX]
    assert all((part < 128).any() for part in np.array_split(head, 6, axis=1))


def test_scale_to_reaches_the_corruption() -> None:
    frames = clip(1)
    plain = sheet.draw(frames, ["defocus_blur"], seed=0, clip="a")
    scaled = sheet.draw(frames, ["defocus_blur"], seed=0, clip="a", scale_to=32)
    assert (cell(plain, 0, 1) != cell(scaled, 0, 1)).any()


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(InputError, match="'gama'; did you mean 'gamma'"):
        sheet.draw(clip(1), ["gama"], seed=0, clip="a")
