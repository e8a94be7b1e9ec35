"""Whether two engines hurt a model alike: the rule, and the measurement on two photographs where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import corruption_effect, records

SIZE = corruption_effect.Size("quick", (1, 3, 5), seeds=5, glass_seeds=0, glass_photographs=0)


def samples(shift, spread, seeds=5):
    random = np.random.default_rng(0)
    return {
        ("fog", severity): (
            list(0.3 + spread * random.normal(size=seeds)),
            list(0.3 + shift + spread * random.normal(size=seeds)),
        )
        for severity in SIZE.severities
    }


@pytest.mark.parametrize(
    ("shift", "spread", "holds"), [(0.0, 0.015, True), (0.08, 0.015, False), (0.02, 0.0, False), (0.009, 0.0, True)]
)
def test_a_cell_holds_within_the_noise_of_its_seeds(shift, spread, holds):
    cells = corruption_effect.compared(samples(shift, spread), SIZE, 27)
    assert [cell["severity"] for cell in cells] == [1, 3, 5]
    assert {cell["holds"] for cell in cells} == {holds}
    assert len({cell["standard_error"] for cell in cells}) == 1


def test_the_standard_error_is_that_of_the_difference():
    given = {
        ("fog", 1): ([0.1, 0.3], [0.2, 0.6]),
        ("fog", 5): ([0.0, 0.0], [0.0, 0.0]),
        ("snow", 1): ([0.0, 0.0], [0.0, 0.0]),
        ("contrast", 1): ([0.2], [0.2]),
    }
    fog, _, snow, contrast = corruption_effect.compared(given, SIZE, 27)
    # Variances 0.02, 0.08, 0 and 0: 0.025 on the average; of a difference of two means of two, 2 x 0.025 / 2.
    assert fog["standard_error"] == pytest.approx(0.025**0.5)
    assert fog["difference"] == pytest.approx(0.2)
    # Two seeds that happen to agree say little: the spread of all six samples.
    assert snow["standard_error"] == pytest.approx((0.1 / 6) ** 0.5)
    assert contrast["standard_error"] == 0


def test_a_small_shift_everywhere_shows_in_the_mean():
    cells = [{"name": str(number), "difference": 0.02, "standard_error": 0.01, "holds": True} for number in range(9)]
    whole = corruption_effect.summary(cells)
    assert whole["mean_difference_errors"] == pytest.approx(6)
    assert whole["cells_outside"] == 0
    # At several severities of one name the errors go together.
    together = corruption_effect.summary([cell | {"name": "fog"} for cell in cells])
    assert together["mean_difference_errors"] == pytest.approx(2)


@pytest.mark.slow
@pytest.mark.real
def test_two_photographs_through_both(tmp_path):
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    photographs = corruption_effect.Photographs(Path(given))
    photographs.frames = dict(list(photographs.frames.items())[:2])
    size = corruption_effect.Size("quick", (3,), seeds=2, glass_seeds=0, glass_photographs=0)
    cells = corruption_effect.compared(corruption_effect.measure(photographs, size), size, 2)
    assert len(cells) == 18
    result = {"size": "quick", "cells": cells}
    path = tmp_path / "corruption_effect.csv"
    found = corruption_effect.rows(result)
    records.replace(found, path, corruption_effect.COLUMNS, ["size"], corruption_effect.page)
    assert len(records.rows(path)) == 18
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "of 18 cells outside" in text
    assert text.count("| fog ") == 1
