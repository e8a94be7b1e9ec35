from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks import models
from tasks.errors import InputError
from tasks.models import small
from tasks.models.network import Heads, SmallNetwork
from tasks.models.peaks import MAX_DETECTIONS, decode_boxes
from tasks.params import Model, ModelInput

CLASSES = {
    "object": {3: "car", 7: "bus", 9: "person"},
    "semantic": {0: "sky", 5: "road", 200: "tree"},
    "label": {1: "go", 2: "stop"},
}


def model(**changes: object) -> Model:
    return Model.model_validate({"adapter": "small", "weights": "w.safetensors", **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random weights that answer something: lively heads, settled batch statistics."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = small.build(CLASSES)
    with torch.no_grad():
        network.train()
        for _ in range(5):
            network(torch.rand(4, 3, 64, 96) * 255)
        network.heat.weight.mul_(4)
        network.heat.bias.fill_(-1.0)  # type: ignore[operator]
    small.save(network, CLASSES, folder / "w.safetensors")
    return folder


def frames(n: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    generator = np.random.default_rng(4)
    return list(generator.integers(0, 255, (n, height, width, 3), dtype=np.uint8))


def test_under_half_a_million_parameters() -> None:
    network = SmallNetwork(n_objects=5, n_semantic=8, n_labels=3)
    assert sum(tensor.numel() for tensor in network.parameters()) < 500_000


def test_outputs_keep_their_contract(folder: Path) -> None:
    given = frames(3)
    before = [frame.copy() for frame in given]
    loaded = models.load(model(), folder=folder, device="cpu")
    assert loaded.tasks == {"detection", "semantic", "classification"}
    outputs = loaded.predict(given)
    assert sum(len(output.scores) for output in outputs) > 20
    for frame, copy, output in zip(given, before, outputs, strict=True):
        np.testing.assert_array_equal(frame, copy)
        assert output.boxes.dtype == output.scores.dtype == np.float32
        assert output.boxes.shape == (len(output.scores), 4)
        assert len(output.scores) <= MAX_DETECTIONS
        assert (np.diff(output.scores) <= 0).all()
        assert (output.scores > 0.01).all()
        assert (output.boxes >= 0).all()
        assert (output.boxes <= [96, 64, 96, 64]).all()
        assert (output.boxes[:, 2:] > output.boxes[:, :2]).all()
        assert set(output.class_ids.tolist()) <= {3, 7, 9}
        assert output.label_map is not None
        assert output.label_map.shape == (64, 96)
        assert output.label_map.dtype == np.uint8
        assert set(np.unique(output.label_map).tolist()) <= {0, 5, 200}
        assert output.probabilities is not None
        assert output.probabilities.shape == (2,)
        assert output.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_what_is_said_of_a_frame_does_not_depend_on_its_batch(folder: Path) -> None:
    loaded = models.load(model(), folder=folder, device="cpu")
    given = frames(32)
    whole = loaded.predict(given)
    for size in (1, 7):
        parts = [output for start in range(0, 32, size) for output in loaded.predict(given[start : start + size])]
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(one.boxes, other.boxes)
            np.testing.assert_array_equal(one.scores, other.scores)
            np.testing.assert_array_equal(one.class_ids, other.class_ids)
            np.testing.assert_array_equal(one.label_map, other.label_map)
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_folding_and_padding_leave_the_networks_answer(folder: Path) -> None:
    """A frame of 50 x 70 equals the plain network on the frame padded by hand."""
    frame = frames(1, 50, 70)[0]
    (output,) = models.load(model(nms_iou=1.0), folder=folder, device="cpu").predict([frame])
    network = small.build(CLASSES)
    network.load_state_dict(load_file(folder / "w.safetensors"))
    padded = np.full((64, 96, 3), 114, np.uint8)
    padded[:50, :70] = frame
    with torch.inference_mode():
        heads = network.eval()(torch.from_numpy(padded).permute(2, 0, 1)[None].float())
    assert output.probabilities is not None
    np.testing.assert_allclose(output.probabilities, heads.label.softmax(1)[0], atol=1e-5)
    ((boxes, scores, _),) = decode_boxes(heads, 0.01)
    inside = (boxes[:, 0] < 70) & (boxes[:, 1] < 50) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    np.testing.assert_allclose(output.scores[:5], scores[inside][:5], atol=1e-5)
    assert output.label_map is not None
    assert output.label_map.shape == (50, 70)
    full = torch.nn.functional.interpolate(heads.semantic, scale_factor=4.0, mode="bilinear", align_corners=False)
    expected = np.array([0, 5, 200], np.uint8)[full[0].argmax(0).numpy()][:50, :70]
    assert (output.label_map != expected).mean() < 1e-3


def test_thresholds_of_params_are_followed(folder: Path) -> None:
    given = frames(2)
    every = models.load(model(), folder=folder, device="cpu").predict(given)
    high = models.load(model(score_threshold=0.4), folder=folder, device="cpu").predict(given)
    apart = models.load(model(nms_iou=0.05), folder=folder, device="cpu").predict(given)
    assert sum(map(len, (o.scores for o in every))) > sum(map(len, (o.scores for o in high)))
    assert all((output.scores > 0.4).all() for output in high)
    assert sum(map(len, (o.scores for o in every))) > sum(map(len, (o.scores for o in apart)))


def test_boxes_are_read_off_a_peak() -> None:
    """One peak at cell (2, 3) whose sides and those of its neighbours say the same box."""
    heat = torch.full((1, 2, 6, 8), -9.0)
    heat[0, 1, 2, 3] = 2.0
    ys, xs = torch.meshgrid(torch.arange(6) * 4 + 2.0, torch.arange(8) * 4 + 2.0, indexing="ij")
    sides = torch.stack([xs - 5, ys - 3, 25 - xs, 21 - ys])[None].clamp(min=0.1)
    heads = Heads(heat, sides, torch.zeros(1, 0, 6, 8), torch.zeros(1, 0))
    ((boxes, scores, classes),) = decode_boxes(heads, 0.5)
    torch.testing.assert_close(boxes, torch.tensor([[5.0, 3.0, 25.0, 21.0]]))
    assert scores.tolist() == [pytest.approx(torch.tensor(2.0).sigmoid().item())]
    assert classes.tolist() == [1]


def test_a_kind_without_classes_has_no_output(tmp_path: Path) -> None:
    classes: dict[str, dict[int, str]] = {"object": {}, "semantic": {0: "sky", 1: "road"}, "label": {}}
    small.save(small.build(classes), classes, tmp_path / "w.safetensors")
    assert models.describe(model(), folder=tmp_path)["tasks"] == ["semantic"]
    (output,) = models.load(model(), folder=tmp_path, device="cpu").predict(frames(1))
    assert len(output.boxes) == len(output.class_ids) == 0
    assert output.probabilities is None
    assert output.label_map is not None


def test_classes_come_from_the_weights(folder: Path) -> None:
    described = models.describe(model(), folder=folder)
    assert described == {**CLASSES, "tasks": ["detection", "semantic", "classification"]}


def broken(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.safetensors"
    content = (folder / "w.safetensors").read_bytes()
    tensors = load_file(folder / "w.safetensors")
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        path.write_text("not weights at all")
    elif kind == "foreign":
        save_file({"layer": torch.zeros(3)}, path)
    else:
        if kind == "shape":
            tensors["heat.weight"] = torch.zeros(4, 1, 1, 1)
        elif kind == "missing":
            del tensors["sides.bias"]
        elif kind == "extra":
            tensors["more"] = torch.zeros(1)
        network = SmallNetwork(n_objects=3, n_semantic=3, n_labels=2)
        network.state_dict = lambda: tensors  # type: ignore[method-assign, assignment]
        small.save(network, CLASSES, path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "not a readable safetensors file"),
        ("text", "not a readable safetensors file"),
        ("foreign", "expected metadata format"),
        ("shape", r"'heat.weight' has shape \(4, 1, 1, 1\), expected \(3, 32, 1, 1\)"),
        ("missing", "'sides.bias' is missing"),
        ("extra", "'more' too many"),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(folder: Path, tmp_path: Path, kind: str, words: str) -> None:
    broken(folder, tmp_path, kind)
    with pytest.raises(InputError, match=words) as caught:
        models.load(model(), folder=tmp_path, device="cpu")
    assert "w.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_it_cannot_follow_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="takes no decoder"):
        models.load(model(decoder="yolox"), folder=folder, device="cpu")
    with pytest.raises(InputError, match="takes frames as they are"):
        models.load(model(input=ModelInput(channels="bgr").model_dump()), folder=folder, device="cpu")


def test_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    """Parts are found by the hash of the file: training again to the same weights must not compute them again."""
    network = SmallNetwork(n_objects=3, n_semantic=3, n_labels=2)
    for turn in range(8):
        small.save(network, CLASSES, tmp_path / f"{turn}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_saving_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        small.save(small.build(CLASSES), CLASSES, path)
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_network_of_nan_is_refused(folder: Path) -> None:
    """It would find nothing, and see class 0 everywhere."""
    loaded = models.load(model(), folder=folder, device="cpu")
    loaded.network.semantic.bias.data[0] = torch.nan  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"w\.safetensors gave NaN in its outputs: it is broken"):
        loaded.predict([np.zeros((50, 70, 3), np.uint8)])
