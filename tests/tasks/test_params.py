import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import init
from tasks import params
from tasks.errors import InputError

ROOT = Path(__file__).parents[2]
SMALLEST: dict[str, Any] = {"models": {"a": {"adapter": "small", "weights": "a.safetensors"}}}


def test_shipped_file_is_valid_and_declares_the_eight() -> None:
    shipped = params.load(ROOT / "params.yaml")
    assert [choice.name for choice in shipped.choices()] == [
        "defocus_blur", "motion_blur", "low_light", "fog", "rain", "snow", "jpeg_compression", "h264",
    ]  # fmt: skip
    assert shipped.severities == (1, 2, 3, 4, 5)
    assert list(shipped.models) == ["crossing-v1", "crossing-v2"]
    assert shipped.folder == ROOT


def test_full_set_of_the_comment_is_valid() -> None:
    """The commented line is one uncomment away: it must parse and name only registered corruptions."""
    from tasks.corruptions import CORRUPTIONS

    line = next(ln for ln in (ROOT / "params.yaml").read_text().splitlines() if ln.strip().startswith("# {noise:"))
    full = params.parse(SMALLEST | {"corruptions": yaml.safe_load(line.strip().lstrip("# "))})
    names = {choice.name for choice in full.choices()}
    assert names == set(CORRUPTIONS)


def test_composed_example_of_the_comment_is_valid() -> None:
    from tasks.corruptions import check_choice

    for text in ((ROOT / "params.yaml").read_text(), init.PARAMS):
        line = next(ln for ln in text.splitlines() if ln.strip().startswith("# composed:"))
        asked = params.parse(SMALLEST | {"corruptions": yaml.safe_load(line.strip().lstrip("# "))})
        assert len(asked.choices()) == 3
        assert asked.bursts == ((4, 8),)
        for choice in asked.choices():
            check_choice(choice)


def test_names_of_several_are_spaced_alike() -> None:
    asked = params.parse(
        SMALLEST | {"corruptions": {"a": ["low_light  2+rain", {"fog during 4:8 +  h264": {"severity": [2]}}]}}
    )
    assert [choice.name for choice in asked.choices()] == ["low_light 2 + rain", "fog during 4:8 + h264"]
    assert [choice.levels for choice in asked.choices()] == [None, (2,)]
    assert asked.bursts == ((4, 8),)
    with pytest.raises(InputError, match=r"low_light \+ rain stands twice"):
        params.parse(SMALLEST | {"corruptions": {"a": ["low_light + rain", "low_light+rain"]}})


def test_what_imitates_a_shift_is_spaced_alike_and_may_be_left_out_of_a_part_of_the_run() -> None:
    shift = {"where": "dark", "like": ["low_light+rain", "low_light  + rain"]}
    asked = params.parse(
        SMALLEST | {"corruptions": {"a": ["low_light +rain", "fog"]}, "slices": {"shifted": {"night": shift}}}
    )
    assert asked.slices.shifted["night"].like == ("low_light + rain",)
    assert asked.only("fog").slices.shifted == asked.slices.shifted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severities": 3}, "'severities': expected a list, got 3."),
        ({"metrics": {"resamples": "many"}}, "'metrics.resamples': expected a whole number, got 'many'."),
        ({"models": ["x.onnx"]}, "'models': expected names with values, got "),
        ({"severites": [1]}, "unknown key 'severites'; did you mean 'severities'"),
        ({"run": {"bach_size": 1}}, "unknown key 'run.bach_size'; did you mean 'batch_size'"),
        ({"models": {"a": {"adapter": "x", "weights": "w", "score_treshold": 1}}}, "did you mean 'score_threshold'"),
        ({"models": {"a": {"adapter": "x", "weights": "w", "input": {"siz": 1}}}}, "did you mean 'size'"),
        (
            {"models": {"a": {"adapter": "x", "weights": "w", "input": {"std": [0, 1, 1]}}}},
            r"'models\.a\.input\.std\.0': .*greater than 0, got 0",
        ),
        ({"gates": [{"metric": "map", "mn": 1}]}, "did you mean 'min'"),
        ({"gates": [{"metric": "map"}]}, "exactly one of min, max, max_drop"),
        ({"gates": [{"metric": "map", "max_drop": 0.1}]}, "max_drop and against go together"),
        ({"gates": [{"metric": "map", "max_drop": 0.1, "against": "baseline"}]}, "needs a baseline"),
        ({"severities": [0]}, "greater than or equal to 1"),
        ({"severities": [3, 1]}, "severities must rise"),
        ({"scale_to": 0}, "'scale_to'.*greater than or equal to 1, got 0"),
        ({"scale_too": 480}, "did you mean 'scale_to'"),
        ({"baseline": "b"}, "baseline 'b' is not among the models: a"),
        ({"corruptions": {"blur": ["fog"], "weather": ["fog"]}}, "fog stands twice"),
        ({"corruptions": {"blur": [{"h264": {"crf": []}}]}}, "at least one level"),
        ({"corruptions": {"blur": [{"h264": {"crf": [1], "qp": [2]}}]}}, "expected one parameter"),
        ({"models": {}}, "at least 1 item"),
        ({"models": {"../a": {"adapter": "x", "weights": "w"}}}, "should match pattern"),
        ({"train": {"mix": {"light": 0.9, "heavy": 0.3}}}, "light + heavy must be at most 1, got 1.2"),
        ({"run": {"workers": 0}}, "expected 'auto' or at least 1, got 0"),
        ({"policy": {"act_presicion": 0.5}}, "did you mean 'act_precision'"),
        ({"policy": {"act_precision": 0.5}}, "at most act_precision, got 0.6 > 0.5"),
        ({"policy": {"act_precision": 1}}, "less than 1"),
        ({"policy": {"evidence": [4, 3]}}, r"1 <= M <= N, got \[4, 3\]"),
        ({"policy": {"evidence": [0, 3]}}, r"1 <= M <= N, got \[0, 3\]"),
        ({"policy": {"mix": {"car": -1}}}, "greater than or equal to 0"),
        ({"policy": {"mix": {"car": 0}}}, "shares of 0 alone"),
        ({"policy": {"mix": {"traffic light": math.inf}}}, "finite number"),
        ({"slices": {"shifted": {"night": {"wher": "x"}}}}, "'slices.shifted.night.wher'; did you mean 'where'"),
        ({"slices": {"shifted": {"none": {"where": "x"}}}}, "'none' names the frames outside every shift"),
        (
            {"corruptions": {"a": ["low_light"]}, "slices": {"shifted": {"n": {"where": "x", "like": ["lowlight"]}}}},
            "slices.shifted.n.like: 'lowlight' is not among the corruptions: low_light; did you mean 'low_light'",
        ),
        (
            {"slices": {"shifted": {"n": {"where": "x", "like": ["fog"]}}}},
            "slices.shifted.n.like: 'fog' is not among the corruptions: none",
        ),
        ({"realtime": {"latency_ms": {"b": 20}}}, "realtime.latency_ms: 'b' is not among the models: a"),
        ({"realtime": {"latency_ms": "fast"}}, "latency_ms': expected milliseconds, 0 or more, .* got 'fast'.$"),
        ({"realtime": {"latency_ms": {"a": -5}}}, "latency_ms': expected milliseconds, .* got -5.$"),
        ({"models": {"a": {"adapter": "x", "weights": "w", "input": {"overlap": 0.5}}}}, "overlap is that of tiles"),
        ({"realtime": {"percentile": 90}}, "realtime.percentile"),
        ({"realtime": {"frames_per_s": 0}}, "realtime.frames_per_s"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("+", r"\+")) as caught:
        params.parse(SMALLEST | change)
    assert "\n" not in str(caught.value)


def test_missing_file_and_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected a params file"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("models: [")
    with pytest.raises(InputError, match="not valid YAML"):
        params.load(tmp_path / "params.yaml")


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(SMALLEST))
    loaded = params.load(tmp_path / "params.yaml")
    assert loaded.resolve("weights.onnx") == tmp_path / "weights.onnx"
    assert loaded.resolve("/elsewhere/w.onnx") == Path("/elsewhere/w.onnx")
    assert loaded.limited(3).resolve("x") == tmp_path / "x"
    assert loaded.limited(3).dataset.limit == 3


def test_the_validation_split_is_never_the_one_that_is_scored(tmp_path: Path) -> None:
    def held_out(**dataset: object) -> params.Params | None:
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(SMALLEST | {"dataset": dataset, "slices": {"attributes": ["camera"]}}))
        return params.load(path).on_validation()

    found = held_out(split="test", limit=3)
    assert found is not None
    assert (found.dataset.split, found.dataset.limit, found.slices.attributes) == ("validation", 3, ())
    assert found.resolve("x") == tmp_path / "x"
    named = held_out(split="test", validation="val")
    assert named is not None
    assert named.dataset.split == "val"
    assert held_out() is held_out(split="validation") is held_out(split="test", validation=None) is None


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.parse(SMALLEST).run.seed = 1  # type: ignore[misc]


def test_own_levels_number_their_severities() -> None:
    parsed = params.parse(
        SMALLEST | {"corruptions": {"codec": [{"h264": {"crf": [20, 40]}}, "fog"]}, "severities": [3]}
    )
    h264, fog = parsed.choices()
    assert h264.severities(parsed.severities) == (1, 2)
    assert fog.severities(parsed.severities) == (3,)


@pytest.mark.parametrize(("pattern", "names"), [("f*", ["fog"]), ("codec", ["h264"]), (None, ["h264", "fog"])])
def test_only(pattern: str | None, names: list[str]) -> None:
    parsed = params.parse(SMALLEST | {"corruptions": {"codec": [{"h264": {"crf": [20]}}], "weather": ["fog"]}})
    assert [choice.name for choice in parsed.only(pattern).choices()] == names


def test_only_that_matches_nothing() -> None:
    with pytest.raises(InputError, match="matches no corruption of params: fog"):
        params.parse(SMALLEST | {"corruptions": {"weather": ["fog"]}}).only("rain")
