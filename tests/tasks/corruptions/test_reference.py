# ruff: noqa: NPY002 - the reference draws from the global state
"""The 19 names against imagecorruptions itself, run as its users run it: with NumPy's global seed."""

import importlib.metadata
import inspect
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import CORRUPTIONS, corrupt, engine, reference

NAMES = [name for name, corruption in CORRUPTIONS.items() if corruption.benchmark is not None]
SEED, CLIP, INDEX = 3, "north-1", 5


def expected(frame: NDArray[np.uint8], name: str, severity: int) -> NDArray[np.uint8]:
    """The package's own answer, with the two names that newer releases took away put back, as a user would mend it."""
    import imagecorruptions
    import skimage.util

    module = imagecorruptions.corruptions
    gaussian, noise = module.gaussian, skimage.util.random_noise
    moment = engine.moment(name, SEED, CLIP, INDEX)
    seed = moment.clip_seed if CORRUPTIONS[name].temporal == "clip" else moment.frame_seed

    def mended(*given: Any, multichannel: bool = False, **options: Any) -> Any:
        return gaussian(*given, channel_axis=-1 if multichannel else None, **options)

    state = np.random.get_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "float_", np.float64, raising=False)
        patch.setattr(module, "gaussian", mended)
        if name == "snow":  # the wind is the clip's, the flakes are the frame's
            patch.setattr(np.random, "uniform", np.random.RandomState(moment.clip_seed).uniform)
        if name == "impulse_noise":  # scikit-image's generator cannot be seeded from outside
            patch.setattr(skimage.util, "random_noise", lambda *a, **k: noise(*a, rng=seed, **k))
        np.random.seed(seed)
        out: NDArray[np.uint8] = imagecorruptions.corrupt(frame, severity, name)
        np.random.set_state(state)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_reference_to_the_bit(frame: NDArray[np.uint8], name: str) -> None:
    small = frame[:49, :67]  # odd, and not square
    for severity in range(1, 6):
        ours = corrupt(small[None], name=name, severity=severity, seed=SEED, clips=CLIP, first_frame=INDEX)[0]
        np.testing.assert_array_equal(ours, expected(small, name, severity))
        assert (ours != small).any()


@pytest.mark.parametrize("name", [name for name in NAMES if CORRUPTIONS[name].accepts_levels])
def test_own_levels_at_the_table_equal_the_reference(frame: NDArray[np.uint8], name: str) -> None:
    small = frame[:49, :67]
    for severity, level in enumerate(CORRUPTIONS[name].levels, start=1):
        ours = corrupt(small[None], name=name, level=level, seed=SEED, clips=CLIP, first_frame=INDEX)[0]
        np.testing.assert_array_equal(ours, expected(small, name, severity))


@pytest.mark.real
@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "fog", "snow", "frost", "jpeg_compression", "spatter"])
def test_equals_the_reference_on_photographs(name: str) -> None:
    from PIL import Image

    folder = os.environ.get("STORMGLASS_REAL_DATA")
    if not folder:
        pytest.skip("STORMGLASS_REAL_DATA is not set")
    for path in sorted((Path(folder) / "coco" / "images").glob("*.jpg"))[:3]:
        photo = np.array(Image.open(path).convert("RGB"))
        ours = corrupt(photo[None], name=name, severity=4, seed=SEED, clips=CLIP, first_frame=INDEX)[0]
        np.testing.assert_array_equal(ours, expected(photo, name, 4))


def test_a_spatter_without_drops_leaves_the_frame() -> None:
    # The reference divides 0 by 0 there and returns black, or whatever the processor makes of not-a-number.
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
    assert not hasattr(np, "float_")
