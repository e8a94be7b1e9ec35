"""The adapter against the library's own path: its image processor, its network called, its post-processing."""

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.execution import Execution
from tasks.models.outputs import Output, watched
from tasks.models.wording import settings
from tasks.params import Model
from tests.photographs import photographs

hf = pytest.importorskip("transformers", reason="needs the extra `transformers`")
from tests.tasks.models.transformers_factory import BUILT, save  # noqa: E402  # imports it

RUNS = [*(kind for kind in BUILT if kind != "mask2former"), "mask2former instance", "mask2former semantic"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("transformers")
    for kind in BUILT:
        save(kind, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Any:
    """A directory of that kind to spoil; keys of its JSON files set on the way."""

    def copied(kind: str, config: dict[str, Any] | None = None, processor: dict[str, Any] | None = None) -> Path:
        shutil.copytree(root / kind, tmp_path / "m")
        for name, changes in (("config.json", config), ("preprocessor_config.json", processor)):
            path = tmp_path / "m" / name
            path.write_text(json.dumps(json.loads(path.read_text()) | (changes or {})))
        return tmp_path

    return copied


def model(run: str, **changes: Any) -> Model:
    kind, _, output = run.partition(" ")
    options = {"output": output} if output else {}
    finds = "det" in kind or kind in ("d_fine", "yolos") or output == "instance"
    given = {
        "adapter": "transformers",
        "weights": kind,
        "options": options,
        **({"score_threshold": 0} if finds else {}),
    }
    return Model.model_validate(given | changes)


def made_up() -> list[np.ndarray]:
    """Frames of coloured blocks, wide, tall and thin."""
    rng = np.random.default_rng(3)
    sizes = [(120, 170), (170, 110), (40, 200)]
    blocks = [rng.integers(0, 255, (-(-h // 20), -(-w // 20), 3)).repeat(20, 0).repeat(20, 1)[:h, :w] for h, w in sizes]
    return [(block + rng.normal(0, 9, block.shape)).clip(0, 255).astype(np.uint8) for block in blocks]


@torch.inference_mode()
def expected(
    run: str, root: Path, frames: list[np.ndarray], *, threshold: float = 0.0, **loading: Any
) -> list[dict[str, Any]]:
    """What a user of the library writes, one frame at a time."""
    kind, _, output = run.partition(" ")
    network = getattr(hf, BUILT[kind][0]).from_pretrained(root / kind, dtype=torch.float32)
    processor = hf.AutoImageProcessor.from_pretrained(root / kind, **loading)
    results = []
    for frame in frames:
        said = network(**processor(images=Image.fromarray(frame), return_tensors="pt"))
        size = [frame.shape[:2]]
        if output == "instance":
            (found,) = processor.post_process_instance_segmentation(
                said, threshold=threshold, target_sizes=size, return_binary_maps=True
            )
            rows = found["segments_info"]
            masks = found["segmentation"].numpy().astype(bool)
            scores, labels = (np.array([row[name] for row in rows]) for name in ("score", "label_id"))
            results.append({"masks": masks, "scores": scores, "labels": labels})
        elif output == "semantic" or kind == "segformer":
            (found,) = processor.post_process_semantic_segmentation(said, target_sizes=size)
            results.append({"map": found.numpy()})
        elif kind in ("vit", "resnet"):
            results.append({"probabilities": said.logits[0].softmax(0).numpy()})
        else:
            (found,) = processor.post_process_object_detection(said, threshold=threshold, target_sizes=size)
            results.append({name: value.numpy() for name, value in found.items()})
    return results


def compare(theirs: dict[str, Any], ours: Output, shape: tuple[int, ...]) -> None:
    if "map" in theirs:
        assert ours.label_map is not None
        assert (ours.label_map == theirs["map"]).all()
    elif "probabilities" in theirs:
        np.testing.assert_allclose(ours.probabilities, theirs["probabilities"], atol=1e-4)
    else:
        order = np.argsort(-theirs["scores"], kind="stable")
        np.testing.assert_allclose(ours.scores, theirs["scores"][order], atol=1e-4)
        assert ours.class_ids.tolist() == theirs["labels"][order].tolist()
        if "boxes" in theirs:
            assert ours.masks is None
            boxes = theirs["boxes"][order]
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])  # D-FINE's sides may cross: such a box has no size
            np.testing.assert_allclose(ours.boxes, boxes, atol=0.5)
            return
        assert ours.masks is not None
        found, masks = run_length.decode(ours.masks, height_px=shape[0], width_px=shape[1]), theirs["masks"][order]
        assert ((masks & found).sum((1, 2)) / (masks | found).sum((1, 2))).min() > 0.99
        np.testing.assert_array_equal(ours.boxes, run_length.boxes_around(masks))


def has_something_to_say(given: list[dict[str, Any]]) -> None:
    """Else anything would compare as equal."""
    first, second = given[:2]
    if "map" in first:
        assert len(np.unique(first["map"])) > 1
    elif "probabilities" in first:
        assert np.abs(first["probabilities"] - second["probabilities"]).max() > 0.01
    else:
        assert len(first["scores"]) > 9
        assert len(np.unique(np.concatenate([first["labels"], second["labels"]]))) > 1
        spread = first["boxes"].std(axis=0) if "boxes" in first else 300 * first["masks"].std(axis=0)
        assert spread.max() > 10


def run_and_compare(run: str, root: Path, frames: list[np.ndarray]) -> None:
    theirs = expected(run, root, frames)
    has_something_to_say(theirs)
    ours = models.load(model(run), folder=root, device="cpu").predict(frames)
    for frame, one, other in zip(frames, ours, theirs, strict=True):
        compare(other, one, frame.shape)


@pytest.mark.parametrize("run", RUNS)
def test_made_up_frames_as_the_library_itself(run: str, root: Path) -> None:
    run_and_compare(run, root, made_up())


@pytest.mark.real
@pytest.mark.parametrize("run", RUNS)
def test_photographs_as_the_library_itself(run: str, root: Path) -> None:
    run_and_compare(run, root, photographs(2))


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("run", RUNS)
def test_twenty_photographs_as_the_library_itself(run: str, root: Path) -> None:
    run_and_compare(run, root, photographs(20))


@pytest.mark.parametrize("backend", ["pil", "torchvision"])
def test_what_the_processor_computes_with_may_be_chosen(backend: str, root: Path) -> None:
    frames = made_up()
    chosen = models.load(model("vit", options={"backend": backend}), folder=root, device="cpu").predict(frames)
    for frame, one, other in zip(frames, chosen, expected("vit", root, frames, backend=backend), strict=True):
        compare(other, one, frame.shape)


@pytest.mark.parametrize("run", ["detr", "rt_detr", "mask2former instance"])
def test_thresholds_are_those_of_params(run: str, root: Path) -> None:
    frame = made_up()[0]
    scores = np.sort(expected(run, root, [frame])[0]["scores"])
    threshold = float(scores[-4:-2].mean())
    given = model(run, score_threshold=threshold)
    (ours,) = models.load(given, folder=root, device="cpu").predict([frame])
    assert len(ours.scores) == (scores > threshold).sum() < len(scores)
    compare(expected(run, root, [frame], threshold=threshold)[0], ours, frame.shape)


def test_no_instance_at_all(root: Path) -> None:
    (ours,) = models.load(model("mask2former instance", score_threshold=1), folder=root, device="cpu").predict(
        made_up()[:1]
    )
    assert (ours.boxes.shape, ours.masks) == ((0, 4), [])


@pytest.mark.parametrize("run", ["detr", "segformer"])
def test_a_frame_stays_as_it_is_and_is_told_apart_from_its_batch(run: str, root: Path) -> None:
    frames = made_up()[:2]
    before = [frame.copy() for frame in frames]
    for frame in frames:
        frame.flags.writeable = False
    loaded = models.load(model(run), folder=root, device="cpu")
    together = loaded.predict([frames[0], frames[1], frames[0]])
    for frame, one in zip([*frames, frames[0]], together, strict=True):
        (alone,) = loaded.predict([frame])
        np.testing.assert_array_equal(one.boxes, alone.boxes)
        np.testing.assert_array_equal(one.scores, alone.scores)
        np.testing.assert_array_equal(np.asarray(one.label_map), np.asarray(alone.label_map))
    assert all((frame == old).all() for frame, old in zip(frames, before, strict=True))
    stages: list[str] = []
    with watched(stages.append):
        loaded.predict(frames[:1])
    assert stages == ["preprocess", "infer", "postprocess"]


def test_classes_are_those_of_the_config_unless_params_name_them(root: Path) -> None:
    own = models.describe(model("detr"), folder=root)
    assert own["object"] == {0: "car", 1: "bus", 2: "cyclist", 3: "pedestrian", 4: "lamp"}
    assert own["tasks"] == ["detection"]
    named = models.describe(model("mask2former semantic", classes=list("abcde")), folder=root)
    assert (named["semantic"][4], named["object"], named["tasks"]) == ("e", {}, ["semantic"])
    assert models.describe(model("mask2former instance"), folder=root)["tasks"] == ["detection", "instance"]


def test_the_sentence_says_how_the_directory_prepares_frames(root: Path) -> None:
    given = model("detr", score_threshold=0.2, input={"tile": [300, 200]})
    described = models.describe(given, folder=root)
    assert settings(model("detr", score_threshold=0.2), described) == (
        "transformers; frames by DetrImageProcessor: resized to a shorter side of 128 px, the longer at most 160, "
        "bilinear, times 0.00392157, less (0.485, 0.456, 0.406) over (0.229, 0.224, 0.225); boxes above 0.2, "
        "none suppressed"
    )
    tiled = settings(given, described)
    assert "frames in tiles of 200x300 px that overlap by 0.2, by DetrImageProcessor: resized" in tiled


def test_every_file_and_setting_decides_but_trust(copy: Any) -> None:
    folder = copy("segformer")
    base = models.fingerprint(model("segformer", weights="m"), folder=folder)
    trusted = model("segformer", weights="m", options={"trust_pickle": True})
    assert models.fingerprint(trusted, folder=folder) == base
    other = models.fingerprint(model("segformer", weights="m", options={"backend": "pil"}), folder=folder)
    path = folder / "m" / "preprocessor_config.json"
    path.write_text(path.read_text().replace("128", "160"))
    changed = models.fingerprint(model("segformer", weights="m"), folder=folder)
    assert len({str(one) for one in (base, other, changed)}) == 3


def test_weights_in_half_precision_are_run_in_single(root: Path, tmp_path: Path) -> None:
    network = hf.ViTForImageClassification.from_pretrained(root / "vit").half()
    network.save_pretrained(tmp_path / "vit")
    shutil.copy(root / "vit" / "preprocessor_config.json", tmp_path / "vit")
    assert json.loads((tmp_path / "vit" / "config.json").read_text())["dtype"] == "float16"
    frames = made_up()
    ours = models.load(model("vit"), folder=tmp_path, device="cpu").predict(frames)
    for one, other in zip(ours, expected("vit", tmp_path, frames), strict=True):
        np.testing.assert_allclose(one.probabilities, other["probabilities"], atol=1e-6)


def test_pickled_weights_want_trust(copy: Any) -> None:
    folder = copy("vit")
    torch.save(hf.ViTForImageClassification.from_pretrained(folder / "m").state_dict(), folder / "m/pytorch_model.bin")
    frames = made_up()
    before = models.load(model("vit", weights="m"), folder=folder, device="cpu").predict(frames)
    (folder / "m" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"as a pickle, pytorch_model\.bin"):
        models.describe(model("vit", weights="m"), folder=folder)
    trusted = model("vit", weights="m", options={"trust_pickle": True})
    after = models.load(trusted, folder=folder, device="cpu").predict(frames)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)


def test_nothing_is_downloaded_and_no_code_is_run(copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory may name code of its own: the library's is run."""
    reached: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: reached.append(address))
    auto = {"AutoConfig": "evil.C", "AutoModelForObjectDetection": "evil.M"}
    folder = copy("detr", config={"auto_map": auto}, processor={"auto_map": {"AutoImageProcessor": "evil.P"}})
    (folder / "m" / "evil.py").write_text("raise SystemExit('run')")
    assert len(models.load(model("detr", weights="m"), folder=folder, device="cpu").predict(made_up())) == 3
    (folder / "m" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="has no weights"):
        models.load(model("detr", weights="m"), folder=folder, device="cpu")
    assert reached == []


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("detr", {"variant": "detr"}, "leaves that to the directory's files: remove variant"),
        ("detr", {"input": {"resize": "stretch", "size": [64, 64]}}, r"remove input \(but for tile and overlap\)"),
        ("detr", {"nms_iou": 0.5}, "remove nms_iou"),
        ("detr", {"options": {"outputs": "semantic"}}, "did you mean 'output'"),
        ("detr", {"options": {"trust_pickle": 1}}, "options.trust_pickle: expected true or false, got 1"),
        ("detr", {"options": {"output": "semantic"}}, "DetrForObjectDetection does detection alone; remove it"),
        ("mask2former", {}, "trained for one of instance, semantic, and its files do not say"),
        ("mask2former semantic", {"score_threshold": 0.1}, "finds no boxes in task semantic: remove score_threshold"),
        ("segformer", {"score_threshold": 0.1}, "finds no boxes in task semantic: remove score_threshold"),
        ("vit", {"classes": ["a"]}, "classes gives 1 names, the model has 5 label classes"),
        ("nothing", {}, "Expected weights at .*nothing"),
        ("detr/config.json", {}, "is a file: adapter 'transformers' takes the directory"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(root: Path, kind: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        models.describe(model(kind, **changes), folder=root)


@pytest.mark.parametrize(
    ("kind", "config", "processor", "words"),
    [
        ("vit", {"architectures": ["ViTModel"]}, {}, r"runs DetrForObjectDetection, .* got architecture ViTModel"),
        ("vit", {"architectures": None}, {}, "got no architectures"),
        ("vit", {"architectures": ["MyForImageClassification"]}, {}, "has no MyForImageClassification"),
        ("vit", {"problem_type": "multi_label_classification"}, {}, "gives no probabilities of one label"),
        ("vit", {"model_type": "unheard"}, {}, r"cannot be run by transformers \(.*unheard"),
        (
            "vit",
            {"hidden_size": 32},
            {},
            r"the weights' 'classifier.weight' has the shape \(5, 16\), config.json makes it \(5, 32\)",
        ),
        (
            "vit",
            {"id2label": {0: "a"}},
            {},
            r"'classifier\.bias' has the shape \(5,\), config.json makes it \(1,\); 1 more",
        ),
        ("vit", {"num_hidden_layers": 3}, {}, r"lack \d+ tensor\(s\) of the network, such as 'vit"),
        ("vit", {}, {"size": {"height": 32, "width": 32}}, r"cannot be run by transformers \(.*32"),
        ("segformer", {}, {"do_center_crop": True}, "do_center_crop leaves parts of the frame unseen"),
        ("rt_detr", {}, {"do_pad": True, "pad_size": {"height": 128, "width": 128}}, "its image processor pads frames"),
    ],
)
def test_directories_that_do_not_fit_are_one_sentence(
    copy: Any, kind: str, config: dict[str, Any], processor: dict[str, Any], words: str
) -> None:
    folder = copy(kind, config, processor)
    with pytest.raises(InputError, match=words):
        models.load(model(kind, weights="m"), folder=folder, device="cpu").predict(made_up())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", None, r"has no config\.json: a directory that save_pretrained writes"),
        ("preprocessor_config.json", None, r"has no preprocessor_config\.json, which says how frames are prepared"),
        ("config.json", "{", r"config\.json is not readable JSON"),
        ("config.json", "[]", "expected a JSON object, got list"),
        ("model.safetensors", "broken", "cannot be run by transformers"),
    ],
)
def test_files_that_are_missing_or_broken_are_named(copy: Any, name: str, content: str | None, words: str) -> None:
    folder = copy("vit")
    (folder / "m" / name).unlink()
    if content is not None:
        (folder / "m" / name).write_text(content)
    with pytest.raises(InputError, match=words):
        models.load(model("vit", weights="m"), folder=folder, device="cpu")


def test_the_processor_may_lie_in_a_file_for_text_and_pictures(copy: Any) -> None:
    folder = copy("vit")
    path = folder / "m" / "preprocessor_config.json"
    (folder / "m" / "processor_config.json").write_text(json.dumps({"image_processor": json.loads(path.read_text())}))
    path.unlink()
    given = model("vit", weights="m")
    assert "ViTImageProcessor: resized to 64x64 px" in models.describe(given, folder=folder)["frames"]
    assert len(models.load(given, folder=folder, device="cpu").predict(made_up())) == 3


def test_the_missing_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install stormglass\[transformers\]"):
        models.describe(model("vit"), folder=root)


@pytest.mark.parametrize("run", [one for one in RUNS if one not in ("vit", "segformer")])
def test_bfloat16_says_nearly_the_same(run: str, root: Path) -> None:
    frame = made_up()[0]
    full, reduced = (
        models.load(model(run), folder=root, device="cpu", execution=one).predict([frame])[0]
        for one in (Execution(), Execution("bfloat16"))
    )
    if full.label_map is not None:
        assert reduced.label_map is not None
        assert (full.label_map == reduced.label_map).mean() > 0.8  # random networks are undecided
    elif full.probabilities is not None:
        assert reduced.probabilities is not None
        assert 0 < np.abs(full.probabilities - reduced.probabilities).max() < 0.05
    else:
        assert reduced.boxes.dtype == np.float32
        assert len(reduced.scores) == len(full.scores) > 0
        assert 0 < np.abs(full.scores - reduced.scores).max() < 0.15  # random networks make much of little


@pytest.mark.parametrize("run", RUNS)
def test_a_network_of_nan_is_refused(run: str, root: Path) -> None:
    """It would find nothing, or see class 0 everywhere."""
    loaded = models.load(model(run), folder=root, device="cpu")
    for name, parameter in loaded._network.named_parameters():
        if any(part in name for part in ("class", "predictor", "decode_head")):
            parameter.data.fill_(torch.nan)
    with pytest.raises(InputError, match="gave NaN in its logits: it is broken"):
        loaded.predict(made_up()[:1])
