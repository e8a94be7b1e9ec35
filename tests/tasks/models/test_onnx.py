import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks import models
from tasks.class_map import resolve
from tasks.errors import InputError
from tasks.models import onnx as adapter
from tasks.models import onnx_batch, quantized
from tasks.models.decoded import predictor
from tasks.params import Model
from tests.photographs import photographs

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

SIZE = 64
CELLS = 64 + 16 + 4


def write(path: Path, *, columns: int = 7) -> None:
    """A network of YOLOX's shape: at every cell a box of the cell's size, objectness 1 where the picture is bright.

    Its batch is fixed at 1, in the shapes and in a Reshape, as exporters leave it.
    """
    helper, tensor = onnx.helper, onnx.TensorProto
    kernels = {stride: np.full((1, 3, stride, stride), 1 / (3 * stride**2 * 255), np.float32) for stride in (8, 16, 32)}
    nodes, constants, parts = [], [], []
    for stride, kernel in kernels.items():
        constants.append(onnx.numpy_helper.from_array(kernel, f"kernel{stride}"))
        constants.append(onnx.numpy_helper.from_array(np.array([1, 1, -1]), f"shape{stride}"))
        nodes.append(
            helper.make_node("Conv", ["images", f"kernel{stride}"], [f"mean{stride}"], strides=[stride, stride])
        )
        nodes.append(helper.make_node("Reshape", [f"mean{stride}", f"shape{stride}"], [f"flat{stride}"]))
        parts.append(f"flat{stride}")
    nodes.append(helper.make_node("Concat", parts, ["brightness"], axis=2))
    nodes.append(helper.make_node("Transpose", ["brightness"], ["rows"], perm=[0, 2, 1]))
    weights = np.zeros((columns, 1), np.float32)
    weights[4] = 1  # objectness
    offsets = np.zeros(columns, np.float32)
    offsets[:2] = 0.5  # the cell's centre; exp(0) = 1: the cell's size
    offsets[6:7] = 1  # the second class
    constants.append(onnx.numpy_helper.from_array(weights.T.copy(), "weights"))
    constants.append(onnx.numpy_helper.from_array(offsets, "offsets"))
    nodes.append(helper.make_node("MatMul", ["rows", "weights"], ["scaled"]))
    nodes.append(helper.make_node("Add", ["scaled", "offsets"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", tensor.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output", tensor.FLOAT, [1, CELLS, columns])],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(proto.SerializeToString())


def model(**changes: object) -> Model:
    declared = {"size": [SIZE, SIZE], "resize": "letterbox_top_left", "channels": "bgr", "pad": 0}
    return Model.model_validate(
        {"adapter": "onnx", "weights": "toy.onnx", "decoder": "yolox", "input": declared, "score_threshold": 0.6}
        | changes
    )


def spot(height: int, width: int, x: int, y: int, side: int) -> np.ndarray:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[y : y + side, x : x + side] = 255
    return frame


def describe_and_load(given: Model, folder: Path) -> None:
    models.describe(given, folder=folder)
    models.load(given, folder=folder, device="cpu", threads=1)


def test_boxes_come_back_in_pixels_of_each_frame(tmp_path: Path) -> None:
    write(tmp_path / "toy.onnx")
    loaded = models.load(model(), folder=tmp_path, device="cpu", threads=1)
    assert loaded.tasks == {"detection"}
    wide, same = loaded.predict([spot(64, 128, 32, 16, 16), spot(64, 64, 8, 40, 8)])
    # At half size the spot fills one cell of stride 8.
    assert wide.boxes.tolist() == [[32, 16, 48, 32]]
    assert same.boxes.tolist() == [[8, 40, 16, 48]]
    assert wide.class_ids.tolist() == [1]
    assert wide.scores.tolist() == [pytest.approx(1)]
    assert wide.label_map is wide.probabilities is wide.masks is None


def test_batch_sizes_agree_to_the_digit(tmp_path: Path) -> None:
    write(tmp_path / "toy.onnx")
    loaded = models.load(model(score_threshold=0.01), folder=tmp_path, device="cpu", threads=1)
    given = list(np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8))
    together = loaded.predict(given)
    for one, frame in zip(together, given, strict=True):
        (alone,) = loaded.predict([frame])
        np.testing.assert_array_equal(one.boxes, alone.boxes)
        np.testing.assert_array_equal(one.scores, alone.scores)


def test_a_fixed_batch_is_made_free(tmp_path: Path) -> None:
    path = tmp_path / "toy.onnx"
    write(path)
    content = onnx_batch.freed(path)
    assert content is not None
    session = adapter.open_session(path, "cpu", threads=1)
    batched = adapter.open_session(path, "cpu", threads=1, content=content)
    assert onnx_batch.agrees(session, batched, np.float32)
    pixels = np.random.default_rng(1).uniform(0, 255, (5, 3, SIZE, SIZE)).astype(np.float32)
    together = batched.run(None, {"images": pixels})[0]
    alone = [session.run(None, {"images": pixels[i : i + 1]})[0][0] for i in range(5)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)
    described = adapter.describe(model(), path)
    detector, single = (
        predictor(adapter.Network(one, "toy"), model(), described, who="toy", device="cpu", batched=one is batched)
        for one in (batched, session)
    )
    given = [spot(64, 64, 8, 40, 8), spot(64, 64, 16, 0, 16), spot(64, 128, 32, 16, 16)]
    for one, other in zip(detector.predict(given), single.predict(given), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_what_takes_any_batch_as_it_is_needs_no_rewriting(tmp_path: Path) -> None:
    path = tmp_path / "toy.onnx"
    write(path)
    assert not adapter.Network(adapter.open_session(path, "cpu", threads=1), "toy").any_batch
    content = onnx_batch.freed(path)
    assert content is not None
    path.write_bytes(content)
    session = adapter.open_session(path, "cpu", threads=1)
    assert adapter.Network(session, "toy").any_batch
    assert onnx_batch.agrees(session, session, np.float32)


def test_tensors_beside_the_file_decide_as_well(tmp_path: Path) -> None:
    path = tmp_path / "toy.onnx"
    write(path)
    alone = models.fingerprint(model(), folder=tmp_path)
    proto = onnx.load(str(path))
    onnx.save_model(
        proto, str(path), save_as_external_data=True, location="toy.tensors", size_threshold=0, convert_attribute=True
    )
    kept = (tmp_path / "toy.tensors").read_bytes()
    first = models.fingerprint(model(), folder=tmp_path)
    assert first["weights_sha256"] != alone["weights_sha256"]
    assert models.fingerprint(model(), folder=tmp_path) == first
    (tmp_path / "toy.tensors").write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    assert models.fingerprint(model(), folder=tmp_path)["weights_sha256"] != first["weights_sha256"]
    (tmp_path / "toy.tensors").unlink()
    with pytest.raises(InputError, match=r"keeps tensors in toy\.tensors, which is not beside it"):
        models.fingerprint(model(), folder=tmp_path)


def test_a_rewriting_that_changes_the_result_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "toy.onnx"
    write(path)
    session = adapter.open_session(path, "cpu", threads=1)
    assert not onnx_batch.agrees(session, session, np.float32)  # refuses two frames

    class Off:
        def run(self, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            (pixels,) = feed.values()
            return [np.concatenate([session.run(None, {"images": p[None]})[0] for p in pixels]) + 1e-3]

    assert not onnx_batch.agrees(session, Off(), np.float32)


def test_classes_are_named_by_the_map_or_by_index(tmp_path: Path) -> None:
    write(tmp_path / "toy.onnx")
    assert models.describe(model(), folder=tmp_path)["object"] == {0: "0", 1: "1"}
    described = models.describe(model(class_map="coco80"), folder=tmp_path)
    assert described["object"] == {0: "person", 1: "bicycle"}
    assert described["tasks"] == ["detection"]


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "toy.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install stormglass\[onnx\]"):
        models.load(model(), folder=tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decoder": "yolo"}, "did you mean 'yolox'"),
        ({"decoder": None}, "needs a decoder, got none"),
        ({"input": {"resize": "letterbox"}}, r"needs input\.size"),
        ({"input": {"size": [32, 32], "resize": "letterbox"}}, r"takes an input of 64x64 px.*\[32, 32\]"),
        ({"class_map": "coco"}, "did you mean 'coco80'"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    write(tmp_path / "toy.onnx")
    with pytest.raises(InputError, match=words):
        describe_and_load(model(**changes), tmp_path)


def test_files_that_do_not_fit_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "toy.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match="not an ONNX network"):
        models.load(model(), folder=tmp_path, device="cpu")
    write(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="not an ONNX network"):
        models.load(model(), folder=tmp_path, device="cpu")
    write(path, columns=5)
    with pytest.raises(InputError, match=r"expected \(B, rows, 5 \+ K\), got output \(1, 84, 5\)"):
        models.describe(model(), folder=tmp_path)
    with pytest.raises(InputError, match=r"toy\.onnx does not fit decoder 'yolox'"):
        models.load(model(), folder=tmp_path, device="cpu")
    write(path, columns=90)
    with pytest.raises(
        InputError, match=r"ids up to 84: .*'yolox' reads \(B, rows, 5 \+ K\) from its outputs \(output"
    ):
        models.describe(model(class_map="coco80"), folder=tmp_path)


def real_folder() -> Path:
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    return Path(given)


def yolox_nano(weights: Path) -> Model:
    declared = {"size": [416, 416], "resize": "letterbox_top_left", "channels": "bgr"}
    return model(weights=str(weights), input=declared, score_threshold=0.01, class_map="coco80")


def average_precision(yolox: Model, real: Path) -> float:
    """Of a detector on the real photographs, by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(real / "coco" / "instances.json"))
    names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
    targets = resolve(yolox, models.describe(yolox, folder=real)["object"], names)
    assert None not in targets.values()
    detector = models.load(yolox, folder=real, device="cpu", threads=1)
    rows = []
    for image in truth.dataset["images"]:
        frame = np.array(Image.open(real / "coco" / "images" / image["file_name"]).convert("RGB"))
        (output,) = detector.predict([frame])
        for box, score, key in zip(output.boxes.tolist(), output.scores, output.class_ids, strict=True):
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            rows.append(
                {"image_id": image["id"], "category_id": targets[int(key)], "bbox": xywh, "score": float(score)}
            )
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.real
def test_yolox_nano_reaches_its_published_figure_on_photographs() -> None:
    """Clean AP 0.364 by pycocotools, as measured beside the file with OpenCV's resizing; 0.003 for the resizing."""
    real = real_folder()
    yolox = yolox_nano(real / "models/yolox_nano.onnx")
    assert average_precision(yolox, real) == pytest.approx(0.364, abs=0.003)
    content = onnx_batch.freed(real / yolox.weights)
    assert content is not None
    session = adapter.open_session(real / yolox.weights, "cpu", threads=1)
    batched = adapter.open_session(real / yolox.weights, "cpu", threads=1, content=content)
    assert onnx_batch.agrees(session, batched, np.float32)


@pytest.mark.real
def test_yolox_nano_can_be_quantized(tmp_path: Path) -> None:
    """Its file is of version 11, and its depthwise convolutions suffer: by the extremes alone 0.08 of 0.36 was left."""
    real = real_folder()
    yolox = yolox_nano(real / "models/yolox_nano.onnx")
    made = tmp_path / "int8.onnx"
    quantized.write(real / yolox.weights, made, models.load(yolox, folder=real, device="cpu"), photographs(16))
    assert made.stat().st_size < 0.4 * (real / yolox.weights).stat().st_size
    assert average_precision(yolox_nano(made), real) > 0.15


def kept_elsewhere(path: Path, where: str) -> None:
    """A network that adds a number which lies in other.bin: a constant's, or one of a branch's."""
    helper, kind = onnx.helper, onnx.TensorProto
    tensor = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
    tensor.ClearField("raw_data")
    tensor.data_location = kind.EXTERNAL
    tensor.external_data.add(key="location", value="other.bin")
    inner = [helper.make_node("Constant", [], ["one"], value=tensor)]
    if where == "branch":
        branch = helper.make_graph(
            [helper.make_node("Identity", ["kept"], ["one"])],
            "b",
            [],
            [helper.make_tensor_value_info("one", 1, [1])],
            [tensor],
        )
        branch.initializer[0].name = "kept"
        inner = [
            helper.make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True))),
            helper.make_node("If", ["yes"], ["one"], then_branch=branch, else_branch=branch),
        ]
    graph = helper.make_graph(
        [*inner, helper.make_node("Add", ["images", "one"], ["out"])],
        "g",
        [helper.make_tensor_value_info("images", 1, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("out", 1, [1, 3, SIZE, SIZE])],
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    (path.parent / "other.bin").write_bytes(np.ones(1, np.float32).tobytes())


@pytest.mark.parametrize("where", ["constant", "branch"])
def test_tensors_within_nodes_may_lie_elsewhere_as_well(tmp_path: Path, where: str) -> None:
    kept_elsewhere(tmp_path / "toy.onnx", where)
    assert adapter.beside(tmp_path / "toy.onnx") == [tmp_path / "other.bin"]
    first = models.fingerprint(model(), folder=tmp_path)
    (tmp_path / "other.bin").write_bytes(np.zeros(1, np.float32).tobytes())
    assert models.fingerprint(model(), folder=tmp_path) != first


def striding(path: Path, size: list[int | str]) -> None:
    """Logits of pixels by a network of stride 64, which takes no other sizes."""
    helper, kind = onnx.helper, onnx.TensorProto
    weights = np.zeros((2, 3, 64, 64), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "kernel"], ["small"], strides=[64, 64]),
            helper.make_node("Resize", ["small", "", "scales"], ["large"], mode="nearest"),
            helper.make_node("Slice", ["images", "start", "stop", "axis"], ["two"]),
            helper.make_node("Add", ["large", "two"], ["out"]),
        ],
        "g",
        [helper.make_tensor_value_info("images", kind.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info("out", kind.FLOAT, [1, 2, *size])],
        [
            onnx.numpy_helper.from_array(weights, "kernel"),
            onnx.numpy_helper.from_array(np.array([1, 1, 64, 64], np.float32), "scales"),
            *(onnx.numpy_helper.from_array(np.array([n]), k) for k, n in (("start", 0), ("stop", 2), ("axis", 1))),
        ],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


@pytest.mark.parametrize(
    ("size", "declared"),
    [
        (["h", "w"], {}),
        (["h", "w"], {"tile": [128, 128]}),
        ([64, 128], {"resize": "shorter_side", "shorter_side": 64}),
    ],
)
def test_frames_alone_decide_whether_a_size_fits(tmp_path: Path, size: list[int | str], declared: dict) -> None:
    """Of a network that takes multiples of 64, or one size alone."""
    striding(tmp_path / "toy.onnx", size)
    given = model(decoder="semantic_logits", classes=["a", "b"], input=declared)
    (output,) = models.load(given, folder=tmp_path, device="cpu", threads=1).predict(
        [np.zeros((128, 256, 3), np.uint8)]
    )
    assert output.label_map.shape == (128, 256)


def test_an_output_without_a_batch_is_not_freed(tmp_path: Path) -> None:
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["images"], ["out"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("images", kind.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("out", kind.FLOAT, [])],
    )
    (tmp_path / "toy.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert onnx_batch.freed(tmp_path / "toy.onnx") is None
