"""The registry: names, strengths, errors, and other packages' corruptions."""

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from tasks import corruptions
from tasks.corruptions import BENCHMARK, CORRUPTIONS, check_choice, corrupt, corrupt_stream, strength
from tasks.errors import InputError
from tasks.params import CorruptionChoice, load

COMMON = {"gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"} | {
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression")
}
FAMILIES = {"blur", "noise", "low_light", "weather", "digital", "compression"}
VALIDATION = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}

# An entry of another package, found by its entry point below.
THEIRS = replace(CORRUPTIONS["contrast"], name="haze", benchmark=None)
NOT_ONE = "haze"


def test_names_are_the_references_and_ours() -> None:
    assert len(BENCHMARK) == 15
    assert set(BENCHMARK) == COMMON
    assert {name for name, c in CORRUPTIONS.items() if c.benchmark == "validation"} == VALIDATION
    assert {*COMMON, *VALIDATION} <= set(CORRUPTIONS)
    assert {c.family for c in CORRUPTIONS.values()} == FAMILIES
    assert all(name == corruption.name for name, corruption in CORRUPTIONS.items())
    coded = {name for name, c in CORRUPTIONS.items() if c.whole_clip}
    assert {"h264", "h265", "av1", "packet_loss", "bit_errors", "frame_drop", "frame_freeze"} <= coded
    assert {CORRUPTIONS[name].family for name in coded} == {"compression"}
    assert {"glass_blur", "zoom_blur", "elastic_transform"} <= {n for n, c in CORRUPTIONS.items() if c.moves_pixels}
    assert {c.stage for c in CORRUPTIONS.values()} == set(corruptions.STAGES)


def test_importing_needs_no_heavy_package() -> None:
    # None in sys.modules makes an import fail as if the package were missing.
    code = """
import sys
missing = "av albumentations imagecorruptions skimage trackers trackeval supervision numba pkg_resources".split()
sys.modules.update(dict.fromkeys(missing))
import numpy as np
import tasks.corruptions as c
assert "torch" not in sys.modules and "PIL" not in sys.modules
grey = np.full((1, 32, 32, 3), 90, np.uint8)
assert c.corrupt(grey, name="low_light", severity=3).mean() < 60
for name in ("h264", "shadow", "frost"):
    try:
        c.corrupt(grey, name=name, severity=1)
    except c.InputError as error:
        assert "not installed" in str(error), error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("name", "severity", "expected"),
    [
        ("jpeg_compression", 5, (7.0, "quality")),
        ("defocus_blur", 2, (4.0, "radius_px")),
        ("low_light", 4, (4.0, "exposure_ev")),
        ("h264", 1, (23.0, "crf")),
        ("fog", 3, (2.5, "strength")),
    ],
)
def test_strength_of_severity(name: str, severity: int, expected: tuple[float, str]) -> None:
    assert strength(name, severity) == expected


def test_zoom_strengths_are_those_numpy_gives() -> None:
    # The tables of CORRUPTIONS give stop and step; np.arange decides what the last zoom is.
    stops = [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)]
    assert CORRUPTIONS["zoom_blur"].levels == pytest.approx([np.arange(1, *pair)[-1] for pair in stops])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "foq", "severity": 1}, "did you mean 'fog'"),
        ({"name": "clean", "severity": 1}, "no corruption"),
        ({"name": "fog", "severity": 0}, "clean frame"),
        ({"name": "fog", "severity": 6}, "from 1 to 5"),
        ({"name": "fog", "severity": True}, "from 1 to 5"),
        ({"name": "fog"}, "exactly one of severity and level"),
        ({"name": "h264", "severity": 1, "level": 30}, "exactly one of severity and level"),
        ({"name": "fog", "level": 2000.0}, "strength between"),
        ({"name": "h264", "level": 52}, "crf between 0 and 51"),
        ({"name": "low_light", "level": float("nan")}, "exposure_ev between"),
        ({"name": "jpeg_compression", "level": 10.5}, "whole number"),
    ],
)
def test_wrong_choice_is_said_at_the_call(wrong: dict[str, object], words: str) -> None:
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(InputError, match=words):
        corrupt(frames, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words):
        corrupt_stream(iter(frames), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((1, 31, 64, 3), np.uint8), "at least 32 x 32"),
        (np.zeros((32, 64, 3), np.uint8), r"\(T, H, W, 3\)"),
        (np.zeros((1, 32, 32, 4), np.uint8), r"\(T, H, W, 3\)"),
        (np.zeros((1, 32, 32, 3), np.float32), "uint8"),
        ([[0]], "NumPy array or a torch tensor"),
    ],
)
def test_wrong_frames(frames: np.ndarray, words: str) -> None:
    for name in ("contrast", "h264"):
        with pytest.raises(InputError, match=words):
            corrupt(frames, name=name, severity=1)


def test_wrong_clips() -> None:
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    with pytest.raises(InputError, match="one for each of 3"):
        corrupt(frames, name="fog", severity=1, clips=["a", "b"])
    with pytest.raises(InputError, match="index for each of 3"):
        corrupt(frames, name="fog", severity=1, first_frame=[1, 2])


def test_default_params_are_all_right() -> None:
    for choice in load(Path(corruptions.__file__).parents[2] / "params.yaml").choices():
        check_choice(choice)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"name": "jpeg"}, "corruptions.own: Unknown corruption 'jpeg'; did you mean 'jpeg_compression'"),
        ({"name": "fog", "parameter": "strength", "levels": (1.0, -3.0)}, "strength between"),
        ({"name": "h264", "parameter": "quality", "levels": (23.0,)}, "parameter 'crf', got 'quality'"),
        ({"name": "h264", "parameter": "crf", "levels": (23.0, 60.0)}, "between 0 and 51, got 60"),
        ({"name": "rain", "parameter": "drops_in_view", "levels": (50.0, 50.0)}, "once"),
    ],
)
def test_check_choice_refuses(choice: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_choice(CorruptionChoice(family="own", **choice))  # type: ignore[arg-type]


def test_check_choice_accepts_any_family_name() -> None:
    check_choice(CorruptionChoice(family="what our trucks meet", name="fog"))
    check_choice(CorruptionChoice(family="own", name="low_light", parameter="exposure_ev", levels=(0.5, 1.5)))


def entry(value: str, name: str = "haze") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=corruptions.GROUP)


def test_another_package_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "their_package", sys.modules[__name__])
    registry = corruptions.gather(CORRUPTIONS.values(), [entry("their_package:THEIRS")])
    assert registry["haze"] is THEIRS
    assert list(registry)[:-1] == list(CORRUPTIONS)
    with pytest.raises(InputError, match=r"'haze' .* taken already"):
        corruptions.gather(registry.values(), [entry("their_package:THEIRS")])
    with pytest.raises(InputError, match="expected a Corruption, got str"):
        corruptions.gather([], [entry("their_package:NOT_ONE")])
    with pytest.raises(InputError, match="does not load"):
        corruptions.gather([], [entry("no_such_package:HAZE")])
    with pytest.raises(InputError, match="taken already"):
        corruptions.gather([replace(THEIRS, name="clean")], [])


def test_a_broken_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="one of batch, frame, clip and parts"):
        replace(THEIRS, clip=CORRUPTIONS["h264"].clip)
    with pytest.raises(ValueError, match="expected 5 values of factor"):
        replace(THEIRS, table={"factor": (1.0, 2.0)})
    with pytest.raises(ValueError, match="leave its bounds"):
        replace(THEIRS, bounds=(0.0, 0.1))
