"""The tools that corruptions are compared with, called as their users call them."""

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Perturb = Callable[[Pixels], Any]


@contextlib.contextmanager
def imagecorruptions() -> Iterator[Callable[[Pixels, int, str], Pixels]]:
    """The package's own `corrupt(image, severity, name)`, while the names that newer releases took away are back.

    NumPy 2 has no `float_` (fog), scikit-image no `multichannel` (gaussian_blur, glass_blur). Nothing else is touched.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pkg_resources, scipy.ndimage.interpolation
        import imagecorruptions as package
    module = package.corruptions
    gaussian = module.gaussian

    def mended(*given: Any, multichannel: bool = False, **options: Any) -> Any:
        return gaussian(*given, channel_axis=-1 if multichannel else None, **options)

    with mock.patch.object(np, "float_", np.float64, create=True), mock.patch.object(module, "gaussian", mended):
        yield lambda image, severity, name: package.corrupt(image, severity=severity, corruption_name=name)


@dataclass(frozen=True)
class Perturber:
    """One transform of another package, and which of ours does the like.

    Attributes:
        package: Whose.
        name: What it is called there.
        setting: Its setting, in words.
        corruption: Ours.
        severity: Ours, of the setting nearest to theirs.
        make: Gives the call to be timed; raises ImportError where something that it needs is not installed.
    """

    package: str
    name: str
    setting: str
    corruption: str
    severity: int
    make: Callable[[], Perturb]


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def _albumentations(name: str, **options: Any) -> Callable[[], Perturb]:
    def make() -> Perturb:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or it asks the network for a newer version
        import albumentations

        transform = getattr(albumentations, name)(p=1.0, **options)
        return lambda image: transform(image=image)["image"]

    return make


def _nrtk(module: str, name: str, at_call: dict[str, float] | None = None, **options: Any) -> Callable[[], Perturb]:
    def make() -> Perturb:
        perturber = getattr(importlib.import_module(f"nrtk.impls.perturb_image.{module}"), name)(**options)
        return lambda image: perturber(image=image, **(at_call or {}))[0]

    return make


PERTURBERS: Final = (
    Perturber(
        *("albumentations", "MotionBlur", "kernel of 15 px, any direction", "motion_blur", 3),
        make=_albumentations("MotionBlur", blur_limit=(15, 15)),
    ),
    Perturber(
        *("albumentations", "Defocus", "radius 6 px, alias blur 0.5", "defocus_blur", 3),
        make=_albumentations("Defocus", radius=(6, 6), alias_blur=(0.5, 0.5)),
    ),
    Perturber(
        *("albumentations", "ZoomBlur", "zooms up to 1.21 by 0.02", "zoom_blur", 3),
        make=_albumentations("ZoomBlur", max_factor=(1.21, 1.21), step_factor=(0.02, 0.02)),
    ),
    Perturber(
        *("albumentations", "GlassBlur", "sigma 1 px, 2 px, 3 passes, mode fast", "glass_blur", 3),
        make=_albumentations("GlassBlur", sigma=1.0, max_delta=2, iterations=3),
    ),
    Perturber(
        *("albumentations", "ImageCompression", "JPEG quality 15", "jpeg_compression", 3),
        make=_albumentations("ImageCompression", quality_range=(15, 15)),
    ),
    Perturber(
        *("albumentations", "RandomRain", "heavy", "rain", 3),
        make=_albumentations("RandomRain", rain_type="heavy"),
    ),
    Perturber(
        *("albumentations", "RandomFog", "coefficient 0.6", "fog", 3),
        make=_albumentations("RandomFog", fog_coef_range=(0.6, 0.6)),
    ),
    Perturber(
        *("albumentations", "RandomSnow", "texture", "snow", 3),
        make=_albumentations("RandomSnow", method="texture"),
    ),
    Perturber(
        *("nrtk", "GaussianNoisePerturber", "variance 0.18^2", "gaussian_noise", 3),
        make=_nrtk("photometric.noise", "GaussianNoisePerturber", var=0.18**2),
    ),
    Perturber(
        *("nrtk", "SaltAndPepperNoisePerturber", "amount 0.09", "impulse_noise", 3),
        make=_nrtk("photometric.noise", "SaltAndPepperNoisePerturber", amount=0.09),
    ),
    Perturber(
        *("nrtk", "SpeckleNoisePerturber", "variance 0.35^2", "speckle_noise", 3),
        make=_nrtk("photometric.noise", "SpeckleNoisePerturber", var=0.35**2),
    ),
    Perturber(
        *("nrtk", "GaussianBlurPerturber", "kernel of 19 px (sigma 3.2 px)", "gaussian_blur", 3),
        make=_nrtk("photometric.blur", "GaussianBlurPerturber", ksize=19),
    ),
    Perturber(
        *("nrtk", "BrightnessPerturber", "factor 1.5", "brightness", 3),
        make=_nrtk("photometric.enhance", "BrightnessPerturber", factor=1.5),
    ),
    Perturber(
        *("nrtk", "ContrastPerturber", "factor 0.2", "contrast", 3),
        make=_nrtk("photometric.enhance", "ContrastPerturber", factor=0.2),
    ),
    Perturber(
        *("nrtk", "ColorPerturber", "factor 2", "saturate", 3),
        make=_nrtk("photometric.enhance", "ColorPerturber", factor=2.0),
    ),
    Perturber(
        *("nrtk", "HazePerturber", "factor 1", "fog", 3),
        make=_nrtk("environment", "HazePerturber", factor=1.0),
    ),
    Perturber(
        *("nrtk", "WaterDropletPerturber", "20 drops", "spatter", 3),
        make=_nrtk("environment", "WaterDropletPerturber", size_range=(0.1, 1.0)),
    ),
    Perturber(
        *("nrtk", "JitterPerturber", "its default sensor, 5 cm a pixel", "motion_blur", 3),
        make=_nrtk("optical.otf", "JitterPerturber", {"img_gsd": 0.05}),
    ),
    Perturber(
        *("nrtk", "DefocusPerturber", "its default sensor, 5 cm a pixel", "defocus_blur", 3),
        make=_nrtk("optical.otf", "DefocusPerturber", {"img_gsd": 0.05}),
    ),
)
