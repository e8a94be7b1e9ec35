import ast
import inspect

import numpy as np

from tasks.models import augment
from tasks.models.augment import RESEMBLED, Augmenter, _reseed, heavy, light
from tasks.params import Mix

BENCHMARK = {
    "AtmosphericFog", "Defocus", "ElasticTransform", "GlassBlur", "ImageCompression", "MotionBlur", "RandomFog",
    "RandomRain", "RandomSnow", "Spatter", "ZoomBlur",
}  # fmt: skip
"""Transforms of albumentations that are corruptions of the benchmark, or of ours, under another name."""


def names(transforms: list[object]) -> set[str]:
    """Class names of all transforms, inside groups too."""
    found = set()
    for one in transforms:
        found |= names(one.transforms) if hasattr(one, "transforms") else {type(one).__name__}
    return found


def frame() -> np.ndarray:
    ramp = np.linspace(30, 200, 64, dtype=np.uint8)
    return np.stack([np.tile(ramp, (48, 1)), np.tile(ramp[::-1], (48, 1)), np.full((48, 64), 90, np.uint8)], axis=2)


def test_no_transform_is_the_benchmarks_own() -> None:
    used = names(light() + heavy())
    assert len(used) >= 10
    assert not used & BENCHMARK
    assert names(light()) != names(heavy())
    # Nor does the module call one elsewhere.
    called = {node.attr for node in ast.walk(ast.parse(inspect.getsource(augment))) if isinstance(node, ast.Attribute)}
    assert not called & BENCHMARK


def test_the_default_report_keeps_corruptions_that_training_never_resembled() -> None:
    default = {"defocus_blur", "motion_blur", "low_light", "fog", "rain", "snow", "jpeg_compression", "h264"}
    assert default - set(RESEMBLED) >= {
        "defocus_blur",
        "motion_blur",
        "fog",
        "rain",
        "snow",
        "jpeg_compression",
        "h264",
    }


def test_the_seed_alone_decides_and_the_frame_is_left_as_it_is() -> None:
    given = frame()
    before = given.copy()
    augmenter = Augmenter(Mix())
    forward = [augmenter(given, seed) for seed in range(60)]
    backward = [Augmenter(Mix())(given, seed) for seed in reversed(range(60))][::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == given.shape
        assert one.dtype == np.uint8
    np.testing.assert_array_equal(given, before)
    assert len({one.tobytes() for one in forward}) > 30


def test_transforms_draw_numbers_of_their_own() -> None:
    """With one seed for all, as albumentations gives, a group's choice would settle the other groups' too."""
    augmenter = Augmenter(Mix(light=1, heavy=0))
    first, second = augmenter._pipelines()[0].transforms
    drawn = set()
    for seed in range(300):
        augmenter(frame(), seed)
        _reseed(augmenter._pipelines()[0], np.random.default_rng(seed))
        drawn.add(tuple(int(one.random_generator.choice(4)) for one in (first, second)))
    assert len(drawn) == 16


def test_shares_follow_the_mix() -> None:
    given = frame()
    untouched = [np.array_equal(Augmenter(Mix(light=0, heavy=0))(given, seed), given) for seed in range(20)]
    assert all(untouched)
    augmenter = Augmenter(Mix(light=0.3, heavy=0.3))
    kept = np.mean([augmenter(given, seed) is given for seed in range(400)])
    # Of the light share neither group applies to 8 %, of the heavy share none of five to 2 %.
    assert abs(kept - (0.4 + 0.3 * 0.08 + 0.3 * 0.02)) < 0.07

    def change(mix: Mix) -> float:
        altering = Augmenter(mix)
        return float(np.mean([np.abs(altering(given, s).astype(int) - given).mean() for s in range(80)]))

    assert change(Mix(light=0, heavy=1)) > 1.5 * change(Mix(light=1, heavy=0)) > 0
