"""imagecorruptions 1.1.2, mended: a private copy of its module, read when first used.

The package is the reference for the 19 names of the benchmark (Michaelis et al. 2019, after Hendrycks and Dietterich
2019): ours are held against it, and none runs it. But it does not run as it is. Its source is executed here once,
unchanged, with these names replaced in that copy alone; NumPy, scikit-image and the package itself stay as they are for
everybody else:

- `pkg_resources`, gone from newer setuptools: only its `resource_filename` is used, for the frost pictures;
- `scipy.ndimage.interpolation`, a deprecated alias of `scipy.ndimage`;
- `np.float_`, gone from NumPy 2 (fog);
- `gaussian(..., multichannel=)`, gone from scikit-image (gaussian_blur, glass_blur);
- `np.random`: the source draws from NumPy's global state; here it finds the caller's own generator, kept per thread,
  so that nothing global is seeded, locked or restored;
- `skimage.util.random_noise`, which draws from a generator of its own, unseeded (impulse_noise): it gets our seed;
- `print`, which it calls for odd image sizes.
"""

import builtins
import functools
import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.interface import Pixels
from tasks.errors import InputError

SOURCE = "imagecorruptions 1.1.2"

_drawing = threading.local()  # .random: what the reference finds as np.random in this thread; .seed: where it started


class _NumPy:
    """NumPy as the reference expects it: with `float_`, and with a `random` that is ours."""

    float_ = np.float64

    @property
    def random(self) -> Any:
        return _drawing.random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@functools.cache
def load() -> ModuleType:
    """The mended copy of imagecorruptions' module.

    Raises:
        InputError: imagecorruptions is not installed.
    """
    package = importlib.util.find_spec("imagecorruptions")
    if package is None or package.origin is None:
        raise InputError("This corruption needs the package imagecorruptions, which is not installed: install it.")
    path = Path(package.origin).with_name("corruptions.py")
    module = ModuleType("tasks.corruptions.reference.copy")
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import, "print": lambda *_: None}
    module.__dict__["__file__"] = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    changes: dict[str, Any] = {
        "np": _NumPy(),
        "gaussian": _with_channel_axis(module.gaussian),
        "resource_filename": lambda _module, name: str(path.parent / name),
        "sk": SimpleNamespace(
            color=module.sk.color, util=SimpleNamespace(random_noise=_seeded(module.sk.util.random_noise))
        ),
    }
    module.__dict__.update(changes)
    return module


def run(name: str, frame: Pixels, *, severity: int, seed: int) -> Pixels:
    """`frame` as the reference's function `name` leaves it, with `np.random.seed(seed)` beforehand.

    Args:
        name: One of the 19 names.
        frame: uint8 RGB (H, W, 3), at least 32 x 32; not changed.
        severity: 1..5.
        seed: 32 bits.
    """
    from PIL import Image  # the reference takes PIL pictures

    function = getattr(load(), name)
    _drawing.random, _drawing.seed = np.random.RandomState(seed), seed
    with np.errstate(invalid="ignore", divide="ignore"):
        out = np.asarray(function(Image.fromarray(frame), severity))
    if out.dtype.kind == "f":
        # spatter divides by its largest drop: with no drop at all, as in small frames, it is 0/0 and nothing is hit.
        missing = np.isnan(out)
        if missing.any():
            out = np.where(missing, frame, out)
    return np.asarray(out.astype(np.uint8))  # cut, not rounded: as the reference


def disk(*, radius_px: int, alias_blur: float) -> NDArray[np.float32]:
    """The reference's anti-aliased disk kernel, of sum 1."""
    kernel: NDArray[np.float32] = load().disk(radius=radius_px, alias_blur=alias_blur)
    return kernel


def _import(
    name: str,
    scope: Mapping[str, object] | None = None,
    names: Mapping[str, object] | None = None,
    wanted: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """`import` as the reference's source sees it."""
    if name == "pkg_resources":
        return SimpleNamespace(resource_filename=None)
    if name == "scipy.ndimage.interpolation":
        name = "scipy.ndimage"
    return builtins.__import__(name, scope, names, wanted or (), level)


def _with_channel_axis(filter_image: Callable[..., Any]) -> Callable[..., Any]:
    def gaussian(image: Any, *args: Any, multichannel: bool = False, **options: Any) -> Any:
        return filter_image(image, *args, channel_axis=-1 if multichannel else None, **options)

    return gaussian


def _seeded(random_noise: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: random_noise(*args, rng=_drawing.seed, **options)
