import json
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.data import prepare
from tasks.data.scene import clips, footage, optics, traffic, view, world
from tasks.data.scene.backdrop import backdrop
from tasks.params import Crossing


@pytest.fixture(scope="module")
def seen() -> view.View:
    rng = np.random.default_rng(5)
    moment = traffic.simulate(rng, classes=("car", "bus", "pedestrian"), traffic="busy", n_frames=2)[0]
    return view.look(clips.camera_named("west"), "day", moment, seed=0)


def test_the_clips_decode_and_their_truth_is_a_data_set_of_its_own(rendered: Path, tmp_path: Path) -> None:
    assert sorted(p.name for p in (rendered / "footage").iterdir()) == ["clear.mp4", "defocused.mp4", "foggy.mp4"]
    sharpness = {}
    for name in footage.NAMES:
        with av.open(str(rendered / "footage" / f"{name}.mp4")) as container:
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        assert [frame.shape for frame in frames] == [(192, 320)] * 3
        sharpness[name] = float(np.mean([np.abs(np.diff(frame.astype(float))).mean() for frame in frames]))
        card = prepare.prepare(rendered / "truth" / name, tmp_path / name, strict=True)
        assert card["splits"]["counts"][0]["frames"] == 3
        assert card["splits"]["counts"][0]["objects"] > 3
        found = json.loads((rendered / "truth" / name / "dataset.json").read_text())
        assert [image["index"] for image in found["images"]] == [0, 1, 2]
    assert sharpness["defocused"] < 0.6 * sharpness["clear"]
    assert sharpness["foggy"] < 0.8 * sharpness["clear"]


def test_depth_is_the_distance_to_the_ground_where_there_is_only_ground(seen: view.View) -> None:
    """By hand for one subsample: a ray that goes down meets z = 0 at height / slope."""
    camera = clips.camera_named("west")
    still = backdrop(camera, "day", 0)
    right, down, forward = camera.axes
    checked = 0
    for row, column in ((380, 100), (330, 300), (300, 200), (360, 60), (250, 320)):
        ray = (
            forward
            + (column + 0.5 - world.WIDTH_PX) / camera.focal_px * right
            + (row + 0.5 - world.HEIGHT_PX) / camera.focal_px * down
        )
        if still.ground[row, column] and seen.depth_m[row, column] == pytest.approx(
            1 / still.inverse_depth[row, column], rel=1e-5
        ):
            expected = camera.position[2] / -ray[2]
            assert seen.depth_m[row, column] == pytest.approx(expected, rel=1e-4)
            assert seen.range_m[row, column] == pytest.approx(expected * np.linalg.norm(ray), rel=1e-4)
            checked += 1
    assert checked >= 2


def test_fog_obeys_koschmieder_against_the_rendered_depth(seen: view.View) -> None:
    """ln((I - A) / (J - A)) over distance is -beta, pixel by pixel, in linear light."""
    beta, airlight = 0.04, (0.5, 0.6, 0.7)
    foggy = optics.fog(seen.colour, seen.range_m, beta_per_m=beta, airlight=airlight)
    clear_linear, foggy_linear = ((picture / 255.0) ** 2.2 for picture in (seen.colour, foggy))
    gap_before, gap_after = clear_linear - np.array(airlight), foggy_linear - np.array(airlight)
    firm = (np.abs(gap_after) > 0.05) & np.isfinite(seen.range_m)[..., None]  # rounding to 8 bits matters less there
    distance = np.broadcast_to(seen.range_m[..., None], firm.shape)[firm]
    through = (gap_after / gap_before)[firm]
    assert firm.mean() > 0.2
    estimate = -np.log(through) / distance
    assert np.median(estimate) == pytest.approx(beta, rel=0.01)
    assert np.percentile(np.abs(estimate - beta), 95) < 0.004
    sky = ~np.isfinite(seen.range_m)
    assert sky.any()
    assert np.abs(foggy_linear[sky] - np.array(airlight)).max() < 0.01


def test_fog_of_no_thickness_changes_nothing(seen: view.View) -> None:
    finite = np.where(np.isfinite(seen.range_m), seen.range_m, 1e4).astype(np.float32)
    assert (
        np.abs(optics.fog(seen.colour, finite, beta_per_m=0, airlight=(1, 1, 1)).astype(int) - seen.colour).max() <= 1
    )


def test_the_circle_of_confusion_is_a_thin_lens_s() -> None:
    """Against the lens equation 1/f = 1/u + 1/v, for a 50 mm lens at f/2 with pixels of 10 micrometres."""
    focal, aperture, focus = 0.050, 0.025, 2.0
    sensor = 1 / (1 / focal - 1 / focus)
    depths = np.array([1.0, 1.5, 2.0, 5.0, 40.0])
    image = 1 / (1 / focal - 1 / depths)
    expected_px = aperture * np.abs(image - sensor) / image / 10e-6
    at_infinity_px = aperture * (sensor - focal) / focal / 10e-6
    found = optics.circle_of_confusion_px(depths.astype(np.float32), focus_m=focus, strength_px=at_infinity_px)
    assert found == pytest.approx(expected_px, rel=1e-4, abs=1e-3)


def test_defocus_keeps_an_even_picture_and_spreads_a_point_over_its_disc() -> None:
    depth = np.full((61, 61), 20.0, np.float32)
    depth[0, 0] = 21.0
    even = np.full((61, 61, 3), 130, np.uint8)
    assert np.abs(optics.defocus(even, depth, focus_m=2, strength_px=10).astype(int) - 130).max() <= 1
    point = np.zeros((61, 61, 3), np.uint8)
    point[30, 30] = 255
    spread = (optics.defocus(point, depth, focus_m=2, strength_px=10) / 255.0) ** 2.2
    assert spread[..., 0].sum() == pytest.approx(1, abs=0.1)
    rows, columns = np.nonzero(spread[..., 0] > 0.002)
    assert columns.max() - columns.min() + 1 == pytest.approx(9, abs=1.1)  # 10 px * (20 - 2) / 20
    assert rows.max() - rows.min() == columns.max() - columns.min()


def test_the_effects_change_pictures_and_no_truth() -> None:
    crossing = Crossing(footage_frames=2)
    for name, effect in footage.EFFECTS.items():
        clip = footage.clip_named(crossing, name)
        plain, changed = (next(clips.frames_of(crossing, clip, effect=e)) for e in (None, effect))
        assert np.array_equal(plain.semantic, changed.semantic)
        assert [a["bbox"] for a in plain.annotations] == [a["bbox"] for a in changed.annotations]
        assert np.array_equal(plain.picture, changed.picture) == (name == "clear")
