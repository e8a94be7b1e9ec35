import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.models.yolox import decode


def reference(output: np.ndarray, size: int, threshold: float) -> list[tuple[float, ...]]:
    """The published description, cell by cell in plain Python."""
    rows = iter(output.tolist())
    found = []
    for stride in (8, 16, 32):
        for y in range(size // stride):
            for x in range(size // stride):
                dx, dy, w, h, objectness, *classes = next(rows)
                best = max(range(len(classes)), key=classes.__getitem__)
                score = objectness * classes[best]
                if score > threshold:
                    cx, cy = (dx + x) * stride, (dy + y) * stride
                    w, h = math.exp(w) * stride, math.exp(h) * stride
                    found.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, score, best))
    assert next(rows, None) is None
    return found


def test_equals_the_slow_reference() -> None:
    generator = np.random.default_rng(0)
    output = generator.normal(0, 1, (64 + 16 + 4, 5 + 7)).astype(np.float32)
    output[:, 4:] = generator.uniform(0, 1, (84, 8))
    boxes, scores, classes = decode(output, height_px=64, width_px=64, score_threshold=0.3)
    expected = np.array(reference(output, 64, 0.3))
    assert 10 < len(expected) < 84
    np.testing.assert_allclose(boxes, expected[:, :4], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(scores, expected[:, 4], rtol=1e-6)
    assert classes.tolist() == expected[:, 5].tolist()


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6), most=st.sampled_from([0.02, 1.0, 1.001, 1.9]), threshold=st.sampled_from([0, 0.01, 0.6])
)
def test_no_row_above_the_threshold_is_lost(seed: int, most: float, threshold: float) -> None:
    """To the bit what finding the best class of every row gives: values a little above 1 and below 0 included."""
    generator = np.random.default_rng(seed)
    output = generator.normal(0, 1, (84, 5 + 7)).astype(np.float32)
    output[:, 4:] = generator.uniform(0, most, (84, 8)) * generator.choice([1, 0.02], (84, 1))
    output[generator.random(84) < 0.1, 4:] *= -1  # of logits both are below 0 in most rows
    classes = output[:, 5:].argmax(axis=1)
    scores = output[:, 4] * output[np.arange(84), 5 + classes]
    _, found, found_classes = decode(output, height_px=64, width_px=64, score_threshold=threshold)
    np.testing.assert_array_equal(found, scores[scores > threshold])
    np.testing.assert_array_equal(found_classes, classes[scores > threshold])


def test_a_score_of_nan_is_refused_where_it_could_be_a_find() -> None:
    output = np.zeros((84, 12), np.float32)
    output[5, 4:6] = 0.9, np.nan
    with pytest.raises(InputError, match="gave NaN in its scores"):
        decode(output, height_px=64, width_px=64, score_threshold=0.3)
    output[5, 4:6] = np.nan, 0.9
    with pytest.raises(InputError, match="gave NaN in its scores"):
        decode(output, height_px=64, width_px=64, score_threshold=0.3)
    output[5, 4:6] = 0.1, np.nan  # below the threshold, whatever its class is
    assert len(decode(output, height_px=64, width_px=64, score_threshold=0.3)[0]) == 0


def test_inputs_need_not_be_square() -> None:
    output = np.zeros((8 * 4 + 4 * 2 + 2 * 1, 6), np.float32)
    output[8 * 4 + 5, 4:] = 1  # stride 16, grid 2 x 4: second row, second column
    boxes, _, _ = decode(output, height_px=32, width_px=64, score_threshold=0.5)
    assert boxes.tolist() == [[8, 8, 24, 24]]


@pytest.mark.parametrize("shape", [(83, 12), (84, 5), (84,), (1, 84, 12)])
def test_another_networks_output_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"decoder 'yolox'.*84 rows"):
        decode(np.zeros(shape, np.float32), height_px=64, width_px=64, score_threshold=0.1)
