# ruff: noqa: NPY002 - the package draws from the global state
"""The mended copy of imagecorruptions gives the package's own pixels, and says when it is no longer needed.

How near our own corruptions come to the reference is asked beside each of them, and in test_distributions.py.
"""

import importlib.metadata
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.util
from numpy.typing import NDArray

from benchmarks import perturbers
from tasks.corruptions import CORRUPTIONS, reference
from tasks.corruptions.interface import SEVERITIES

Frame = NDArray[np.uint8]
NAMES = [name for name, corruption in CORRUPTIONS.items() if corruption.benchmark is not None]
SEED = 12345


def package(frame: Frame, name: str, severity: int, monkeypatch: pytest.MonkeyPatch) -> Frame:
    """The package's own answer, run as its users run it: with NumPy's global seed."""
    noise = skimage.util.random_noise  # scikit-image's generator cannot be seeded from outside
    monkeypatch.setattr(skimage.util, "random_noise", lambda *a, **k: noise(*a, rng=SEED, **k))
    state: Any = np.random.get_state()
    np.random.seed(SEED)
    with perturbers.imagecorruptions() as corrupt:
        out = corrupt(frame, severity, name)
    np.random.set_state(state)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_gives_the_packages_pixels(frame: Frame, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = frame[:49, :67]  # odd, and not square
    for severity in SEVERITIES:
        copied = reference.run(name, small, severity=severity, seed=SEED)
        np.testing.assert_array_equal(copied, package(small, name, severity, monkeypatch))
        assert (copied != small).any()
        monkeypatch.undo()


def test_the_19_names_are_the_packages() -> None:
    import imagecorruptions

    assert sorted(NAMES) == sorted(imagecorruptions.get_corruption_names("all"))
    common = [name for name in NAMES if CORRUPTIONS[name].benchmark == "common"]
    assert sorted(common) == sorted(imagecorruptions.get_corruption_names("common"))
    assert len(common) == 15


def test_a_spatter_without_drops_leaves_the_frame() -> None:
    # The package divides 0 by 0 there and returns black, or whatever the processor makes of not-a-number.
    grey = np.full((32, 32, 3), 77, np.uint8)
    dry = next(
        out
        for seed in range(500)
        if not ((out := reference.run("spatter", grey, severity=1, seed=seed)).astype(int) - grey).any()
    )
    np.testing.assert_array_equal(dry, grey)


def test_mending_is_still_needed() -> None:
    """When this fails, upstream (or NumPy, or scikit-image) has changed: drop that repair from reference.py."""
    from skimage.filters import gaussian

    assert importlib.metadata.version("imagecorruptions") == "1.1.2", "a new release: read what it mended"
    source = Path(reference.load().__file__ or "").read_text(encoding="utf-8")
    for flaw in ("from pkg_resources import", "scipy.ndimage.interpolation", "np.float_)", "multichannel=True"):
        assert flaw in source, f"no longer needed: {flaw}"
    assert not hasattr(np, "float_"), "NumPy has float_ again"
    assert "multichannel" not in inspect.signature(gaussian).parameters, "scikit-image has multichannel again"


def test_only_the_copy_is_mended() -> None:
    import imagecorruptions.corruptions as module

    copy = reference.load()
    assert copy is not module
    assert module.np is np
    assert module.fog is not copy.fog
    assert module.sk.util.random_noise is skimage.util.random_noise
    assert not hasattr(np, "float_")
