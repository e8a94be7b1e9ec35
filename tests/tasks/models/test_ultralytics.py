"""The adapter against the library's own `predict` on the same checkpoints, and what it leaves behind in the process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models import ultralytics as adapter
from tasks.models.execution import Execution
from tasks.models.outputs import Output, watched
from tasks.models.preprocess import prepare_inputs
from tasks.params import Model, ModelInput
from tests.photographs import photographs

NAMES = {0: "car", 1: "bus", 2: "cyclist", 3: "pedestrian", 4: "van"}
VARIANTS = {"yolo11": "11/yolo11.yaml", "yolo11-seg": "11/yolo11-seg.yaml", "yolo26": "26/yolo26.yaml"}
FINDS = 12  # a frame: masks take their time

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """The library's own `predict` sets variables."""
    environment = dict(os.environ)
    yield
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


@pytest.fixture(scope="session")
def library() -> Any:
    if find_spec("ultralytics") is None:
        pytest.skip("the extra ultralytics is not installed")
    with adapter._contained():
        import ultralytics
    return ultralytics


@pytest.fixture(scope="session")
def folder(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("ultralytics")

    def with_weights(variant: str) -> Path:
        path = root / f"{variant}.pt"
        if not path.exists():
            make(library, variant, path)
        return root

    return with_weights


def make(library: Any, variant: str, path: Path) -> None:
    """A narrow network of the library's own description, its weights seeded and its head with something to say."""
    given = yaml.safe_load((Path(library.__file__).parent / "cfg" / "models" / VARIANTS[variant]).read_text())
    del given["scales"]
    description = path.with_suffix(".yaml")
    description.write_text(yaml.safe_dump({**given, "nc": len(NAMES), "depth_multiple": 0.33, "width_multiple": 0.125}))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        made = library.YOLO(description)
        network = made.model
        for module in network.modules():  # one pass sets the statistics
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        seen = np.stack([made_up(192, 192, seed) for seed in range(4)])
        network.train()(torch.from_numpy(seen).permute(0, 3, 1, 2) / 255)
        network.eval()
        head = network.model[-1]
        for branch in [*head.cv3, *getattr(head, "one2one_cv3", [])]:
            branch[-1].weight *= 2
            branch[-1].bias[:] = -2
        if head.reg_max == 1:  # without distributions, sides may else fall below 0
            for branch in [*head.cv2, *head.one2one_cv2]:
                branch[-1].weight *= 0.3
    network.names = NAMES
    made.save(path)


def model(variant: str, /, **changes: Any) -> Model:
    options = {"trust_pickle": True, "max_det": FINDS, "imgsz": 160, **changes.pop("options", {})}
    given = {"adapter": "ultralytics", "weights": f"{variant}.pt", "score_threshold": 0, "options": options}
    return Model.model_validate(given | changes)


def made_up(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coloured blocks with noise: edges and areas."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (-(-height // 40), -(-width // 40), 3)).repeat(40, 0).repeat(40, 1)[:height, :width]
    return (blocks + rng.normal(0, 9, (height, width, 3))).clip(0, 255).astype(np.uint8)


FRAMES = [made_up(120, 210), made_up(230, 130, 1), made_up(120, 210, 2)]


def compare(library: Any, path: Path, frames: list[np.ndarray], given: list[Output], **settings: Any) -> None:
    """`given` and what the library's `predict` says of each frame alone, which is `least` boxes and more."""
    least = settings.pop("least", settings.get("max_det", FINDS) / 2)
    settings = {"conf": 0.0, "iou": 0.7, "imgsz": 160, "max_det": FINDS, "retina_masks": True} | settings
    reference = library.YOLO(path)
    assert len(given) == len(frames)
    for frame, ours in zip(frames, given, strict=True):
        bgr = np.ascontiguousarray(frame[:, :, ::-1])
        (theirs,) = reference.predict(bgr, verbose=False, device="cpu", **settings)
        boxes = theirs.boxes.xyxy.numpy().copy()
        boxes[:, 2:] = boxes[:, 2:].clip(boxes[:, :2])  # of sides below 0
        assert len(boxes) > least
        np.testing.assert_allclose(ours.boxes, boxes, atol=0.5)
        np.testing.assert_allclose(ours.scores, theirs.boxes.conf.numpy(), atol=1e-4)
        assert ours.class_ids.tolist() == theirs.boxes.cls.tolist()
        assert (ours.boxes[:, 2:] - ours.boxes[:, :2]).max() > 10  # there is something to compare
        if theirs.masks is None:
            assert ours.masks is None
            continue
        masks = theirs.masks.data
        if not settings["retina_masks"]:  # those of the letterboxed input
            masks = library.utils.ops.scale_masks(masks[None].float(), frame.shape[:2])[0] > 0.5
        masks = masks.numpy().astype(bool)
        found = run_length.decode(ours.masks or [], height_px=frame.shape[0], width_px=frame.shape[1])
        both, either = (masks & found).sum((1, 2)), (masks | found).sum((1, 2))
        assert (both / either).min() > 0.99
        assert either.max() > 500


@pytest.mark.parametrize("variant", VARIANTS)
def test_as_the_library_itself(variant: str, library: Any, folder: Callable[[str], Path]) -> None:
    root = folder(variant)
    loaded = models.load(model(variant), folder=root, device="cpu")
    assert loaded.tasks == {"detection", *(["instance"] if "seg" in variant else [])}
    for frame in FRAMES:
        frame.flags.writeable = False
    together = loaded.predict(FRAMES)
    compare(library, root / f"{variant}.pt", FRAMES, together)
    for frame, among in zip(FRAMES, together, strict=True):
        (alone,) = loaded.predict([frame])
        np.testing.assert_array_equal(alone.boxes, among.boxes)
        np.testing.assert_array_equal(alone.scores, among.scores)
        assert alone.masks == among.masks


def test_a_letterbox_of_params_is_the_library_s(library: Any) -> None:
    """Networks that it exported are run by other adapters, on frames that our own letterbox prepares."""
    with adapter._contained():
        from ultralytics.data.augment import LetterBox
        from ultralytics.utils.ops import scale_boxes
    rng = np.random.default_rng(0)
    for height, width, rows, columns in [(616, 616, 640, 640), *rng.integers(8, 700, (300, 4)).tolist()]:
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = LetterBox((rows, columns), auto=False)(image=noise)
        (pixels,), placement = prepare_inputs([noise], ModelInput(size=(rows, columns), resize="letterbox"))
        np.testing.assert_array_equal(pixels.numpy().transpose(1, 2, 0), expected)
        boxes = np.array([[columns / 3, rows / 3, columns / 2, rows / 2]])
        inside = placement.to_frame(boxes).clip(0, [width, height] * 2)
        np.testing.assert_allclose(inside, scale_boxes((rows, columns), boxes, (height, width)), atol=1e-6)


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_library_exported_as_the_library_runs_it(
    variant: str, to: str, library: Any, folder: Callable[[str], Path]
) -> None:
    """Boxes that end with the frame, and no find without a pixel of a mask."""
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    root = folder(variant)
    decoder = {"yolo11-seg": "yolo11_masks", "yolo26": "yolo_end_to_end"}.get(variant, "yolo11")
    with adapter._contained():
        path = Path(library.YOLO(root / f"{variant}.pt").export(format=to, imgsz=160, nms=False))
    given = Model.model_validate(
        {
            "adapter": to,
            "weights": path.name,
            "decoder": decoder,
            "classes": list(NAMES.values()),
            "input": {"resize": "letterbox", "size": [160, 160], "scale": 1 / 255},
            "score_threshold": 0.05,
            "nms_iou": 0.7,
        }
    )
    loaded = models.load(given, folder=root, device="cpu")
    ours = loaded.predict(FRAMES)
    compare(library, path, FRAMES, ours, least=5, conf=0.05, max_det=1000)


@pytest.mark.real
@pytest.mark.parametrize("variant", VARIANTS)
def test_photographs_as_the_library_itself(variant: str, library: Any, folder: Callable[[str], Path]) -> None:
    root, frames = folder(variant), photographs(20)
    options = {"imgsz": 192, "max_det": 5 if "seg" in variant else 100}
    ours = models.load(model(variant, options=options), folder=root, device="cpu").predict(frames)
    compare(library, root / f"{variant}.pt", frames, ours, **options)


@pytest.mark.parametrize(
    ("variant", "changes", "settings"),
    [
        ("yolo11", {"options": {"imgsz": [128, 200], "rect": False}}, {"imgsz": [128, 200], "rect": False}),
        ("yolo11", {"nms": "agnostic", "nms_iou": 0.3}, {"agnostic_nms": True, "iou": 0.3}),
        ("yolo26", {"options": {"end2end": True}}, {"nms": False}),
        ("yolo26", {"options": {"end2end": True}, "nms": "agnostic"}, {"nms": False, "agnostic_nms": True}),
        ("yolo11-seg", {"options": {"retina_masks": False}}, {"retina_masks": False}),
    ],
)
def test_settings_as_the_library_itself(
    variant: str, changes: Any, settings: Any, library: Any, folder: Callable[[str], Path]
) -> None:
    root = folder(variant)
    frames = FRAMES[:2]
    ours = models.load(model(variant, **changes), folder=root, device="cpu").predict(frames)
    compare(library, root / f"{variant}.pt", frames, ours, **settings)
    plain = models.load(model(variant), folder=root, device="cpu").predict(frames)
    assert any(
        one.boxes.tolist() != two.boxes.tolist() or one.masks != two.masks for one, two in zip(ours, plain, strict=True)
    )


def test_what_is_left_open_is_the_library_s_own(library: Any, folder: Callable[[str], Path]) -> None:
    given = Model(adapter="ultralytics", weights=Path("yolo11.pt"), options={"trust_pickle": True})
    settled = models.settle(given)
    assert (settled.nms_iou, settled.options["max_det"]) == (0.7, 300)
    root = folder("yolo11")
    (ours,) = models.load(given, folder=root, device="cpu").predict(FRAMES[:1])
    bgr = np.ascontiguousarray(FRAMES[0][:, :, ::-1])
    (theirs,) = library.YOLO(root / "yolo11.pt").predict(bgr, conf=0.01, verbose=False, device="cpu")  # at 640 px
    assert len(theirs.boxes) > FINDS
    np.testing.assert_allclose(ours.boxes, theirs.boxes.xyxy.numpy(), atol=0.5)


def test_the_fingerprint_holds_what_was_settled(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"x")
    base = models.fingerprint(model("w"), folder=tmp_path)
    assert '"retina_masks": true' in str(base["settings"])
    assert "trust_pickle" not in str(base["settings"])
    assert base == models.fingerprint(model("w", nms_iou=0.7), folder=tmp_path)
    assert base != models.fingerprint(model("w", options={"imgsz": 192}), folder=tmp_path)


def test_nothing_above_the_threshold_is_an_empty_output(folder: Callable[[str], Path]) -> None:
    loaded = models.load(model("yolo11-seg", score_threshold=1), folder=folder("yolo11-seg"), device="cpu")
    (output,) = loaded.predict(FRAMES[:1])
    assert (output.boxes.shape, output.scores.shape, output.masks) == ((0, 4), (0,), [])


def test_boxes_turned_inside_out_have_no_area(folder: Callable[[str], Path]) -> None:
    """A head without distributions may say sides below 0, which the library leaves as they are."""
    loaded: Any = models.load(model("yolo26"), folder=folder("yolo26"), device="cpu")
    rows = torch.tensor([[90.0, 20, 40, 60, 0.9, 1]])
    read = loaded._read(rows, None, (96, 160), (120, 210))
    assert (read["boxes"][:, 2:] >= read["boxes"][:, :2]).all()
    assert read["boxes"][0, 0] == read["boxes"][0, 2] > 100


def test_names_are_the_checkpoint_s_or_those_of_params(folder: Callable[[str], Path]) -> None:
    root = folder("yolo11")
    assert models.describe(model("yolo11"), folder=root)["object"] == NAMES
    named = models.describe(model("yolo11", classes=["a", "b", "c", "d", "e"]), folder=root)
    assert (named["object"][4], named["tasks"]) == ("e", ["detection"])
    assert named["frames"] == "letterboxed into at most 160x160 px, padded to multiples of 32"
    square = models.describe(model("yolo11", options={"imgsz": [100, 200], "rect": False}), folder=root)
    assert square["frames"] == "letterboxed into 224x128 px"
    with pytest.raises(InputError, match="classes gives 1 names, the model has 5 object classes"):
        models.describe(model("yolo11", classes=["a"]), folder=root)


def test_stages_are_told_in_order(folder: Callable[[str], Path]) -> None:
    loaded = models.load(model("yolo11"), folder=folder("yolo11"), device="cpu")
    stages: list[str] = []
    with watched(stages.append):
        loaded.predict(FRAMES[:1])
    assert stages == ["preprocess", "infer", "postprocess"]


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_file_that_is_not_trusted_is_not_opened(tmp_path: Path) -> None:
    torch.save({"model": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    for trust in ({}, {"trust_pickle": False}):
        given = Model(adapter="ultralytics", weights=Path("evil.pt"), options=trust)
        for action in (models.describe, models.fingerprint):
            with pytest.raises(InputError, match=r"trust_pickle: true, for a \.pt checkpoint is a Python pickle"):
                action(given, folder=tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variant": "yolo11n"}, "reads that from the checkpoint: remove variant"),
        ({"decoder": "yolox"}, "remove decoder"),
        (
            {"input": {"size": [64, 64], "resize": "letterbox"}},
            "remove input .but for tile and overlap.; options.imgsz",
        ),
        ({"nms": "soft"}, "remove nms: soft"),
        ({"options": {"max_dets": 3}}, "has no 'max_dets'; did you mean 'max_det'"),
        ({"options": {"max_det": 0}}, "options.max_det: expected a whole number, at least 1, got 0"),
        ({"options": {"rect": 1}}, "options.rect: expected true or false, got 1"),
        ({"options": {"imgsz": "large"}}, "options.imgsz: expected trained, a number of pixels or"),
        ({"options": {"imgsz": [64, 64, 3]}}, "options.imgsz: expected trained"),
        ({"options": {"imgsz": True}}, "options.imgsz: expected trained"),
        ({"options": {"imgsz": 0}}, "options.imgsz: expected trained"),
        ({"weights": None}, "needs weights"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        models.describe(model("w", **changes), folder=tmp_path)


def test_a_head_that_is_not_there_is_named(folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"yolo11\.pt has no head that needs no suppression: remove options\.end2end"):
        models.load(model("yolo11", options={"end2end": True}), folder=folder("yolo11"), device="cpu")


def test_half_precision_is_for_cuda(folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"options\.half: half precision needs a CUDA device"):
        models.load(model("yolo11", options={"half": True}), folder=folder("yolo11"), device="cpu")


def test_files_that_do_not_fit_are_one_sentence(library: Any, folder: Callable[[str], Path]) -> None:
    root = folder("yolo11")

    def refused(words: str) -> None:
        with pytest.raises(InputError, match=words):
            models.load(model("w"), folder=root, device="cpu")

    path = root / "w.pt"
    path.write_bytes(b"nothing of the kind")
    refused("is no checkpoint of ultralytics that opens here .it is not a loadable checkpoint")
    torch.save({"weight": torch.zeros(2)}, path)
    refused("references types outside the supported Ultralytics checkpoint format")
    network = torch.load(root / "yolo11.pt", weights_only=False)["model"]
    network.yaml["channels"] = 4
    torch.save({"model": network}, path)
    refused("holds a DetectionModel of 4 channels")
    library.YOLO("yolo11n-cls.yaml").save(path)
    refused("holds a ClassificationModel of 3 channels: adapter 'ultralytics' runs YOLO detectors and segmenters")


def test_a_missing_package_is_named_with_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pt").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(InputError, match=r"whose licence is AGPL-3\.0: pip install stormglass\[ultralytics\]"):
        models.describe(model("w"), folder=tmp_path)


LEFT_BEHIND = """
import atexit, logging, os, random, signal, sys, threading, warnings
import cv2, numpy, PIL.Image, torch, torchvision
from pathlib import Path
from tasks import models
from tasks.params import Model

def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "sys.path": list(sys.path), "stdout": sys.stdout,
        "hooks": (sys.excepthook, threading.excepthook, atexit._ncallbacks()), "threads": threading.enumerate(),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "warnings": list(warnings.filters),
        "root logger": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "functions": (torch.save, torch.load, torch.arange, torch.onnx.export, PIL.Image.open, cv2.imread, cv2.imwrite,
                      cv2.imshow, print, open),
        "cv2": (cv2.getNumThreads(), cv2.useOptimized()),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch": (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
                  torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
                  torch.backends.mkldnn.enabled, torch.get_float32_matmul_precision()),
        "printing": (numpy.get_printoptions(), torch._tensor_str.get_printoptions()),
        "random": (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
    }

cv2.setNumThreads(2)
torch.set_printoptions(precision=7)
numpy.set_printoptions(linewidth=91)
events = []

def hear(event, arguments):
    if event.startswith("socket.") or event in ("os.mkdir", "os.rename", "os.symlink", "shutil.copyfile"):
        events.append((event, str(arguments)))
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        events.append((event, str(arguments[0])))

before = state()
sys.addaudithook(hear)
weights = Path(sys.argv[1])
given = Model(adapter="ultralytics", weights=weights.name, options={"trust_pickle": True, "imgsz": 96})
models.describe(given, folder=weights.parent)
loaded = models.load(given, folder=weights.parent, device="cpu")
(output,) = loaded.predict([numpy.arange(80 * 120 * 3, dtype=numpy.uint8).reshape(80, 120, 3)])
assert len(output.boxes) > 0
after = state()
for name in before:
    if before[name] != after[name]:
        print("changed:", name, before[name], after[name])
for event in events:
    if event[0].startswith("socket.") or os.environ["TMPDIR"] not in event[1]:
        print("did:", event)
print("matplotlib" in sys.modules, "ultralytics" in sys.modules)
"""


@pytest.mark.slow
def test_nothing_is_left_behind(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """No settings at home, no sockets, no file outside the temporary folder, and the process as it was before.

    The checkpoint is called as one that the library would rather download under its newer name.
    """
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    weights = tmp_path / "yolov5s.pt"
    weights.write_bytes((folder("yolo11-seg") / "yolo11-seg.pt").read_bytes())
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "XDG_", "PYTEST"))}
    places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND, str(weights)],
        env=clean | places | {"PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("False True\n", 0), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "temporary", "yolov5s.pt"]
    assert not list((tmp_path / "home").iterdir())
    assert {path.name.split("_")[0] for path in (tmp_path / "temporary").iterdir()} <= {
        "torchinductor"
    }  # torchvision's


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_leaves_coordinates_whole(variant: str, folder: Callable[[str], Path]) -> None:
    root, given = folder(variant), model(variant, options={"imgsz": 320, "max_det": 60}, nms_iou=1.0)
    full, reduced = (
        models.load(given, folder=root, device="cpu", execution=one).predict(FRAMES[:1])[0]
        for one in (Execution(), Execution("bfloat16"))
    )
    assert 0 < np.abs(full.scores - reduced.scores).max() < 0.15  # random networks make much of little
    # Boxes of bfloat16 would lie on whole pixels of the input, scaled to the frame: no two in the same one differed.
    scale = FRAMES[0].shape[1] / 320
    inner = reduced.boxes[(reduced.boxes > 130 * scale) & (reduced.boxes < 300 * scale)] / scale
    assert len(inner) > 5
    assert np.abs(inner - inner.round()).max() > 0.2


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_network_of_nan_is_refused(variant: str, folder: Callable[[str], Path]) -> None:
    """It would find nothing."""
    loaded = models.load(model(variant), folder=folder(variant), device="cpu")
    for parameter in loaded._backend.model.model[-1].parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(InputError, match="gave NaN in its outputs: it is broken"):
        loaded.predict(FRAMES[:1])
