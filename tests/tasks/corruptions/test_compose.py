"""Several corruptions at once, and bursts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import check_choice, corrupt, corrupt_stream, find, strength
from tasks.errors import InputError
from tasks.params import CorruptionChoice

Frames = NDArray[np.uint8]


def test_parts_act_in_the_order_of_the_light(clip: Frames) -> None:
    whole = find("h264 + low_light + rain + defocus_blur")
    assert [part.corruption.name for part in whole.parts] == ["rain", "defocus_blur", "low_light", "h264"]
    assert whole.whole_clip
    assert whole.temporal == "coded"
    settings = {"severity": 2, "seed": 5, "clips": "a"}
    expected = clip
    for name in ("rain", "low_light", "jpeg_compression"):
        expected = corrupt(expected, name=name, **settings)  # type: ignore[arg-type]
    out = corrupt(clip, name="low_light + jpeg_compression + rain", **settings)  # type: ignore[arg-type]
    np.testing.assert_array_equal(out, expected)


def test_a_part_may_keep_its_own_severity(clip: Frames) -> None:
    out = corrupt(clip, name="low_light 4 + contrast", severity=1)
    expected = corrupt(corrupt(clip, name="low_light", severity=4), name="contrast", severity=1)
    np.testing.assert_array_equal(out, expected)
    assert strength("low_light 4 + contrast", severity=3) == (3.0, "severity")
    fixed = find("low_light 2")
    assert fixed.name == "low_light 2"
    np.testing.assert_array_equal(
        corrupt(clip, name="low_light 2", severity=5), corrupt(clip, name="low_light", severity=2)
    )


@pytest.mark.parametrize("name", ["fog", "gaussian_noise", "h264"])
def test_a_burst_leaves_the_other_frames_alone(clip: Frames, name: str) -> None:
    burst = f"{name} during 2:5"
    out = corrupt(clip, name=burst, severity=3, clips="a")
    np.testing.assert_array_equal(out[:2], clip[:2])
    np.testing.assert_array_equal(out[5:], clip[5:])
    assert all((frame != clean).any() for frame, clean in zip(out[2:5], clip[2:5], strict=True))
    streamed = np.stack(list(corrupt_stream(iter(clip), name=burst, severity=3, clips="a")))
    np.testing.assert_array_equal(streamed, out)
    if name != "h264":  # the burst of a fog is that fog
        np.testing.assert_array_equal(out[2:5], corrupt(clip, name=name, severity=3, clips="a")[2:5])
        later = corrupt(clip[4:], name=burst, severity=3, clips="a", first_frame=4)
        np.testing.assert_array_equal(later, out[4:])
    assert strength(burst, severity=3) == strength(name, severity=3)


def test_a_burst_outside_the_frames_gives_a_copy(clip: Frames) -> None:
    for name in ("fog during 50:60", "h264 during 50:60", "fog during 50:60 + h264 during 70:80"):
        out = corrupt(clip, name=name, severity=3)
        np.testing.assert_array_equal(out, clip)
        assert not np.shares_memory(out, clip)
        assert len(list(corrupt_stream(iter(clip), name=name, severity=3))) == len(clip)


def test_stream_of_several_equals_the_whole_clip(clip: Frames) -> None:
    name = "rain + low_light during 1:6 + h264 during 3:7"
    whole = corrupt(clip, name=name, severity=2, seed=1, clips="b")
    streamed = np.stack(list(corrupt_stream(iter(clip), name=name, severity=2, seed=1, clips="b")))
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fog + foq", "did you mean 'fog'"),
        ("fog +", "joined by"),
        ("fog during", "joined by"),
        ("fog during 8:4", "ends after it starts"),
        ("fog 6 + rain", "from 1 to 5"),
        ("fog 2.5 + rain", "joined by"),
    ],
)
def test_wrong_ones_say_so(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find(name)
    with pytest.raises(InputError, match=f"corruptions.composed: .*{words}"):
        check_choice(CorruptionChoice(family="composed", name=name))


def test_what_is_the_same_at_all_severities_is_asked_for_once() -> None:
    fixed = {"family": "composed", "name": "low_light 2 + rain 3"}
    for levels in (None, (1.0, 2.0)):
        with pytest.raises(InputError, match="all severities would be the same"):
            check_choice(CorruptionChoice(parameter="severity", levels=levels, **fixed))
    check_choice(CorruptionChoice(parameter="severity", levels=(3.0,), **fixed))
    check_choice(CorruptionChoice(family="composed", name="low_light 2 + rain"))
