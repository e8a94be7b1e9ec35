"""Pixels and versions go together: `python tests/tasks/corruptions/test_golden.py` writes the golden file anew."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.corruptions import CORRUPTIONS, corrupt
from tasks.corruptions.interface import SEVERITIES

GOLDEN = Path(__file__).parents[2] / "golden" / "corruptions.json"
# Grids of 8 x 8 means and deviations of 48 values each. Another processor or a library's other build may change the
# last bit of a float; where that crosses a whole number, a pixel changes by one. 0.35 lets a third of a cell's pixels
# do so; what is meant to change pixels (a constant, a seed, an order of draws) moves cells by several levels.
TOLERANCE = 0.35


def small_clip() -> np.ndarray:
    """Three frames of 64 x 48, by integer arithmetic alone: the same on every machine."""
    rows, columns = np.mgrid[:48, :64]
    frames = []
    for at in range(3):
        x, y = columns + 3 * at, rows + at
        planes = [(x * 4 + y) % 256, (y * 5 + (x // 8 % 2) * 60) % 256, (x * y // 8 + (y // 6 % 2) * 90) % 256]
        frames.append(np.stack(planes, axis=-1))
    return np.stack(frames).astype(np.uint8)


def measure(name: str) -> dict[str, Any]:
    """The version, and for each severity the grids of the last frame's mean and deviation, (8, 8, 3) flat."""
    grids = []
    for severity in SEVERITIES:
        out = corrupt(small_clip(), name=name, severity=severity, seed=7, clips="golden")[-1].astype(float)
        cells = out.reshape(8, 6, 8, 8, 3).transpose(0, 2, 4, 1, 3).reshape(192, 48)
        grids.append({"mean": cells.mean(axis=1).round(2).tolist(), "std": cells.std(axis=1).round(2).tolist()})
    return {"version": CORRUPTIONS[name].version, "severities": grids}


def test_every_corruption_has_its_golden_values() -> None:
    assert set(json.loads(GOLDEN.read_text())) == set(CORRUPTIONS)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pixels_change_with_the_version_alone(name: str) -> None:
    golden, now = json.loads(GOLDEN.read_text())[name], measure(name)
    assert golden["version"] == now["version"], f"version of {name} changed: update the golden file (see its README)"
    for severity, (then, today) in enumerate(zip(golden["severities"], now["severities"], strict=True), start=1):
        for kind in ("mean", "std"):
            np.testing.assert_allclose(
                today[kind],
                then[kind],
                atol=TOLERANCE,
                err_msg=f"{name}, severity {severity}: its pixels changed; raise its version, then update the file",
            )


def write() -> None:
    """Write the golden file; refuse where pixels changed and the version did not."""
    old = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    new = {name: measure(name) for name in CORRUPTIONS}
    for name, values in new.items():
        if name in old and old[name]["version"] == values["version"]:
            for then, today in zip(old[name]["severities"], values["severities"], strict=True):
                if not all(np.allclose(today[kind], then[kind], atol=TOLERANCE) for kind in ("mean", "std")):
                    raise SystemExit(f"{name}: its pixels changed; raise its version in the registry first")
            new[name] = old[name]  # no churn from last bits
    lines = [f"{json.dumps(name)}: {json.dumps(values, separators=(',', ':'))}" for name, values in new.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    write()
