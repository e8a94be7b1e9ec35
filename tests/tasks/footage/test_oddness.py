"""How far windows lie outside the bands, against what can be worked out by hand."""

import pandas as pd
import pytest

from tasks.footage import oddness


def table(*rows: tuple[str, str, float, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["clip_id", "camera", "t_s", "feature", "value"])


BANDS = pd.DataFrame(
    [("a", "haze", 0.0, 1.0), ("a", "noise", 2.0, 4.0), ("b", "haze", 10.0, 20.0)],
    columns=["camera", "feature", "low", "high"],
)


def test_inside_is_nothing_and_a_width_outside_is_all() -> None:
    found = oddness.of(
        table(
            ("x", "a", 0.0, "haze", 0.5),
            ("x", "a", 0.0, "noise", 3.0),
            ("x", "a", 10.0, "haze", 1.5),  # half a width above
            ("x", "a", 10.0, "noise", -7.0),  # many widths below
            ("y", "b", 0.0, "haze", 1.5),  # another camera's band
        ),
        pd.concat([BANDS, BANDS]),  # drift has a row for each statistic
    )
    told = {(row["clip_id"], row["t_s"]): row for row in found.to_dict("records")}
    assert told["x", 0.0]["drift"] == 0
    assert told["x", 0.0]["why"] == ""
    assert told["x", 10.0]["drift"] == pytest.approx((0.5 + 1) / 2)
    assert told["x", 10.0]["why"] == "noise -7 (band 2 to 4); haze 1.5 (band 0 to 1)"
    assert told["y", 0.0]["drift"] == pytest.approx(0.85)
    assert list(found["drift"]) == sorted(found["drift"], reverse=True)


def test_without_a_band_nothing_is_said() -> None:
    found = oddness.of(table(("x", "c", 0.0, "haze", 0.5)), BANDS)
    assert found["drift"].isna().all()
    found = oddness.of(table(("x", "a", 0.0, "qp", 30.0), ("x", "a", 0.0, "haze", 3.0)), BANDS)
    assert list(found["drift"]) == [1.0]  # a feature without a band takes no part
