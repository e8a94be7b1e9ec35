"""Masks of regions against masks stacked at full size, to the byte."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.models import masks


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    count=st.integers(1, 30),
    block=st.integers(1, 7),
    seed=st.integers(0, 10**6),
)
def test_regions_equal_stacked_masks(height: int, width: int, count: int, block: int, seed: int) -> None:
    """Numbers without a pixel, in any order and not all of them, regions at every edge and over whole columns."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, count + 1, (height // block + 1, width // block + 1))
    regions = coarse.repeat(block, 0).repeat(block, 1)[:height, :width].astype(np.int32)
    before = regions.copy()
    stacked = np.stack([regions == number for number in range(1, count + 1)])
    chosen = generator.permutation(count)[: generator.integers(1, count + 1)]
    assert masks.encode_regions(regions, (chosen + 1).tolist()) == masks.encode(stacked[chosen])
    np.testing.assert_array_equal(masks.boxes_around_regions(regions, count), masks.boxes_around(stacked))
    np.testing.assert_array_equal(regions, before)


def test_no_regions_and_one_that_is_everything() -> None:
    assert masks.encode_regions(np.zeros((5, 7), np.int32), []) == []
    assert masks.boxes_around_regions(np.zeros((5, 7), np.int32), 0).shape == (0, 4)
    whole = np.ones((5, 7), np.int32)
    assert masks.encode_regions(whole, [1, 2]) == masks.encode(np.stack([whole == 1, whole == 2]))
    assert masks.boxes_around_regions(whole, 2).tolist() == [[0, 0, 7, 5], [0, 0, 0, 0]]
