"""How training frames of the augmented variant are altered: by albumentations, with none of the benchmark's transforms.

Left out on purpose are the transforms that imitate corruptions the default report measures: Defocus, MotionBlur,
ZoomBlur, GlassBlur, RandomFog, RandomRain, RandomSnow, ImageCompression, ElasticTransform, Spatter. What is used still
resembles some corruptions of the full set; `RESEMBLED` names them, and what a model gains is to be read on the others.
"""

import os
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError
from tasks.params import Mix

RESEMBLED: Final = (
    "gaussian_noise",
    "shot_noise",
    "speckle_noise",
    "gaussian_blur",
    "brightness",
    "contrast",
    "saturate",
    "pixelate",
    "low_light",
)
"""Benchmark names that a transform below resembles: noise, Gaussian blur, tone and colour shifts, low resolution."""

FORBIDDEN: Final = frozenset(
    {
        "Defocus",
        "ElasticTransform",
        "GlassBlur",
        "ImageCompression",
        "MotionBlur",
        "RandomFog",
        "RandomRain",
        "RandomSnow",
        "Spatter",
        "ZoomBlur",
    }
)
"""Transforms of albumentations that are the benchmark's own corruptions under another name."""


def light() -> list[Any]:
    """Transforms for most samples: one or two mild shifts of tone, colour or sharpness."""
    a = _albumentations()
    return [
        a.OneOf(
            [
                a.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.25),
                a.RandomGamma(gamma_limit=(70, 145)),
                a.CLAHE(clip_limit=(1.0, 3.0)),
                a.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=25, val_shift_limit=15),
            ],
            p=0.8,
        ),
        a.OneOf(
            [
                a.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 0.9)),
                a.GaussNoise(std_range=(0.01, 0.04)),
                a.ISONoise(color_shift=(0.01, 0.03), intensity=(0.1, 0.3)),
                a.Downscale(scale_range=(0.7, 0.95)),
            ],
            p=0.6,
        ),
    ]


def heavy() -> list[Any]:
    """Transforms for a smaller share: strong shifts of tone, then blur, noise, colour and gaps."""
    a = _albumentations()
    return [
        a.OneOf(
            [
                a.RandomBrightnessContrast(brightness_limit=(-0.4, 0.4), contrast_limit=(-0.7, 0.3)),
                a.RandomGamma(gamma_limit=(40, 280)),
                a.CLAHE(clip_limit=(2.0, 6.0)),
            ],
            p=0.8,
        ),
        a.OneOf(
            [
                a.GaussianBlur(blur_limit=0, sigma_limit=(0.8, 2.2)),
                a.MedianBlur(blur_limit=(3, 7)),
                a.Downscale(scale_range=(0.35, 0.6)),
            ],
            p=0.6,
        ),
        a.OneOf(
            [
                a.GaussNoise(std_range=(0.04, 0.14)),
                a.ISONoise(color_shift=(0.02, 0.08), intensity=(0.3, 0.9)),
                a.MultiplicativeNoise(multiplier=(0.7, 1.3), per_channel=True, elementwise=True),
            ],
            p=0.5,
        ),
        a.OneOf(
            [
                a.HueSaturationValue(hue_shift_limit=15, sat_shift_limit=60, val_shift_limit=30),
                a.ToGray(),
                a.ChannelShuffle(),
            ],
            p=0.3,
        ),
        a.CoarseDropout(
            num_holes_range=(4, 24), hole_height_range=(2, 12), hole_width_range=(2, 12), fill="random_uniform", p=0.25
        ),
    ]


class Augmenter:
    """Alters training frames: `mix.light` of them lightly, `mix.heavy` of them heavily, the rest not at all."""

    def __init__(self, mix: Mix) -> None:
        """Ready to be called from several threads.

        Raises:
            InputError: albumentations is not installed.
        """
        _albumentations()
        self._mix = mix
        self._own = threading.local()  # a pipeline holds its random state

    def __call__(self, frame: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
        """The frame, uint8 RGB (H, W, 3), altered as `seed` alone decides; the one given is left as it is."""
        generator = np.random.default_rng([seed, 2])
        share = float(generator.random())
        if share >= self._mix.light + self._mix.heavy:
            return frame
        pipeline = self._pipelines()[share >= self._mix.light]
        _reseed(pipeline, generator)
        altered: npt.NDArray[np.uint8] = pipeline(image=frame)["image"]
        return altered

    def _pipelines(self) -> tuple[Any, Any]:
        """The light and the heavy one of this thread."""
        if not hasattr(self._own, "pipelines"):
            a = _albumentations()
            self._own.pipelines = (a.Compose(light()), a.Compose(heavy()))
        found: tuple[Any, Any] = self._own.pipelines
        return found


def _reseed(node: Any, generator: np.random.Generator) -> None:
    """Give every transform of a pipeline a seed of its own.

    `Compose.set_random_seed` gives them all the same one, so that they all draw the same number: groups would be
    applied together or not at all, and always with the same choice.
    """
    node.set_random_seed(int(generator.integers(2**32)))
    for child in getattr(node, "transforms", ()):
        _reseed(child, generator)


def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import asks the network for news
    try:
        import albumentations
    except ImportError:
        raise InputError("Training with `train.mix` needs albumentations: pip install albumentations.") from None
    return albumentations
