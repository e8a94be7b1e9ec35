"""The adapter of YOLO detectors and segmenters in the checkpoints (.pt) of the package ultralytics, which is AGPL-3.0.

The library reads the file, letterboxes, runs its network, suppresses and draws masks, each by the function that its own
`predict` calls; its predictor, settings, telemetry and downloads are left out. What it changes in a process when it is
imported is put back, but for its own logger.
"""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from tasks.class_map import nearest
from tasks.errors import InputError, brief
from tasks.models.checked import checked
from tasks.models.execution import PLAIN, Execution
from tasks.models.interface import Adapter
from tasks.models.logits import alike
from tasks.models.outputs import Description, Output, mark
from tasks.models.raw import refuse_nan
from tasks.models.steering import exactly, steer, to_device
from tasks.params import Model, ModelInput

VERSION: Final = 1

OPTIONS: Final[dict[str, bool | int | str]] = {
    "trust_pickle": False,
    "imgsz": "trained",
    "rect": True,
    "max_det": 300,
    "retina_masks": True,
    "end2end": False,
    "half": False,
}
"""The library's own names and defaults, but for masks, which are drawn at the frame's size, and for the first.

`end2end`: of networks with two heads that whose boxes need no suppression (the library says `nms: False`).
"""

NMS_IOU: Final = 0.7
"""The library's default."""

_TASKS: Final = {"DetectionModel": ["detection"], "SegmentationModel": ["detection", "instance"]}
"""By the library's name of the network: its others (poses, turned boxes, RT-DETR, prompts) have paths of their own."""

_PATCHED: Final = ((torch, "save"), (Image, "open"), (cv2, "imread"), (cv2, "imwrite"), (cv2, "imshow"))
"""Functions that the library replaces by its own, those of OpenCV on Windows alone."""


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: the file is not trusted, an option that there is not, or frames prepared otherwise.
    """
    given = [name for name in ("variant", "decoder") if getattr(model, name) is not None]
    tiles = {"tile": model.input.tile, "overlap": model.input.overlap}
    if model.input != ModelInput().model_copy(update=tiles):
        given.append("input (but for tile and overlap)")
    if given:
        raise InputError(
            f"Adapter 'ultralytics' reads that from the checkpoint: remove {', '.join(given)}; options.imgsz sets the "
            "size of its input."
        )
    if model.nms == "soft":
        raise InputError("Adapter 'ultralytics' suppresses by the library, which has no soft way: remove nms: soft.")
    for name, value in model.options.items():
        if name not in OPTIONS:
            raise InputError(f"options: adapter 'ultralytics' has no '{name}'{nearest(name, OPTIONS)}")
        if name == "imgsz":
            _sizes(value)
        elif type(value) is not type(OPTIONS[name]) or (name == "max_det" and value < 1):  # type: ignore[operator]
            expected = "a whole number, at least 1" if name == "max_det" else "true or false"
            raise InputError(f"options.{name}: expected {expected}, got {value!r}.")
    if not model.options.get("trust_pickle", False):
        raise InputError(
            "Adapter 'ultralytics' needs options.trust_pickle: true, for a .pt checkpoint is a Python pickle, and "
            "opening it runs whatever code its maker put in, with your rights: set it for files whose maker you trust."
        )


def settle(model: Model) -> Model:
    """With the library's own settings where params give none."""
    changes: dict[str, Any] = {"options": {**OPTIONS, **model.options}}
    if "nms_iou" not in model.model_fields_set:
        changes["nms_iou"] = NMS_IOU
    return model.model_copy(update=changes)


def describe(model: Model, weights: Path) -> Description:
    """The classes that the checkpoint names, and in `frames` how they are prepared.

    Raises:
        InputError: the package is not installed, or the file holds no detector or segmenter.
    """
    network = _read(weights)
    (height, width), stride = _input_size(model, network)
    padded = f"at most {width}x{height} px, padded to multiples of {stride}"
    told = f"letterboxed into {padded if model.options['rect'] else f'{width}x{height} px'}"
    return {**_described(network), "frames": told}


def load(model: Model, *, weights: Path, device: str, threads: int | None, execution: Execution = PLAIN) -> "Detector":
    """The network on `device`, its normalisation merged into its convolutions as the library does it to predict.

    Args:
        model: Its params.
        weights: The checkpoint.
        device: 'cpu' or 'cuda[:N]'.
        threads: The process's matter here (`torch.set_num_threads`).
        execution: Precision and compilation; without effect beside `options.half`.

    Raises:
        InputError: the package is not installed, or the file holds no detector or segmenter.
    """
    if model.options["half"] and device == "cpu":
        raise InputError("options.half: half precision needs a CUDA device; remove it, or set run.device.")
    return Detector(_read(weights), model, weights.name, device, execution)


class Detector:
    """A detector, with masks or without."""

    def __init__(self, network: Any, model: Model, name: str, device: str, execution: Execution) -> None:
        """Take over `network`; `name` begins the sentence about a mistake in its outputs."""
        from ultralytics.data.augment import LetterBox
        from ultralytics.nn.autobackend import AutoBackend
        from ultralytics.utils import nms, ops

        self._nms, self._ops = nms, ops
        self._options = model.options
        self._model = model
        self._described = _described(network)
        self._name = name
        self._device = torch.device(device)
        self._backend = AutoBackend(
            network,
            device=self._device,
            fp16=bool(model.options["half"]),
            end2end=bool(model.options["end2end"]),
            verbose=False,
        )
        self._backend.eval()
        if not model.options["half"] and execution.precision != "float32":
            exactly(self._backend.model.model[-1], device)  # which computes boxes in pixels
        steer(self._backend.model, PLAIN if model.options["half"] else execution, device)
        if self._backend.end2end:
            most = max(int(str(model.options["max_det"])), 300)
            self._backend.model.set_head_attr(max_det=most, agnostic_nms=model.nms == "agnostic")
        elif model.options["end2end"]:
            raise InputError(f"{name} has no head that needs no suppression: remove options.end2end.")
        else:
            import torchvision  # noqa: F401  # whose suppression the library takes where it is imported, as in `predict`
        self.tasks = frozenset(self._described["tasks"])
        size, stride = _input_size(model, network)
        self._letterbox = LetterBox(size, auto=bool(model.options["rect"]), stride=stride)

    @torch.inference_mode()
    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """Boxes inside the frame, in its pixels."""
        outputs = []
        dtype = torch.float16 if self._options["half"] else torch.float32
        for group in alike(frames, self._device):
            mark("preprocess")
            stacked = torch.from_numpy(np.stack([self._letterbox(image=frame) for frame in group]))
            pixels = to_device(stacked, self._device).permute(0, 3, 1, 2).contiguous().to(dtype).div_(255)
            mark("infer")
            said = self._backend(pixels)[0]  # the other is for training
            mark("postprocess")
            refuse_nan(said if isinstance(said, list | tuple) else [said], "outputs", who=self._name)
            segments = "instance" in self.tasks
            protos = said[1] if segments else [None] * len(group)
            found = self._nms.non_max_suppression(
                said,
                self._model.score_threshold,
                self._model.nms_iou,
                agnostic=self._model.nms == "agnostic",
                max_det=self._options["max_det"],
                nc=len(self._described["object"]) if segments else 0,
                end2end=self._backend.end2end,
                max_time_img=float("inf"),  # by default the library gives up on frames after some seconds
            )
            for frame, rows, proto in zip(group, found, protos, strict=True):
                read = self._read(rows, proto, tuple(pixels.shape[2:]), frame.shape[:2])
                outputs.append(checked(read, frame.shape, self._described, who=self._name))
        return outputs

    def _read(
        self, rows: torch.Tensor, proto: torch.Tensor | None, size: tuple[int, ...], frame: tuple[int, ...]
    ) -> dict[str, Any]:
        """The fields of an output from rows of x0, y0, x1, y1, score, class and coefficients of the masks."""
        inside = self._ops.scale_boxes(size, rows[:, :4].clone(), frame)
        inside[:, 2:] = inside[:, 2:].maximum(inside[:, :2])  # of heads that may say sides below 0: no area, not less
        kept = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        masks = {}
        if proto is not None:
            if self._options["retina_masks"]:
                drawn = self._ops.process_mask_native(proto, rows[:, 6:], inside, frame)
            else:
                drawn = self._ops.process_mask(proto, rows[:, 6:], rows[:, :4], size, upsample=True)
            kept = drawn.flatten(1).any(1).bool()  # the library drops what has no mask
            # At the input's size `predict` leaves it to the caller to reach the frame; this is its validator's way.
            whole = [self._ops.scale_masks(one[None, None], frame)[0, 0] > 0.5 for one in drawn[kept]]
            masks["masks"] = torch.stack(whole) if whole else torch.zeros((0, *frame), dtype=torch.bool)
        return {"boxes": inside[kept], "scores": rows[kept, 4], "class_ids": rows[kept, 5].long(), **masks}


def _sizes(given: object) -> list[int]:
    """`imgsz`: a number of pixels or height and width; of 'trained' none.

    Raises:
        InputError: it is none of these.
    """
    if given == "trained":
        return []
    sizes: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    if not 1 <= len(sizes) <= 2 or any(type(one) not in (int, float) or one < 1 or one != int(one) for one in sizes):
        raise InputError(f"options.imgsz: expected trained, a number of pixels or [height, width], got {given!r}.")
    return [int(one) for one in sizes]


def _input_size(model: Model, network: Any) -> tuple[list[int], int]:
    """Height and width of the letterbox, raised to multiples of the stride, and that."""
    from ultralytics.utils.checks import check_imgsz

    stride = max(int(network.stride.max()), 32)
    sizes = _sizes(model.options["imgsz"]) or network.args["imgsz"]
    return check_imgsz(sizes, stride=stride, min_dim=2), stride


def _described(network: Any) -> Description:
    names = network.names if isinstance(network.names, dict) else dict(enumerate(network.names))
    classes = {int(index): str(name) for index, name in names.items()}
    return {"object": classes, "semantic": {}, "label": {}, "tasks": _TASKS[type(network).__name__]}


def _read(weights: Path) -> Any:
    """The network of a checkpoint, float32 on the CPU, in evaluation mode.

    Raises:
        InputError: the package is not installed, or the file holds no detector or segmenter.
    """
    with _contained() as folder:
        try:
            import ultralytics  # noqa: F401
        except ImportError:
            raise InputError(
                "Adapter 'ultralytics' needs the package ultralytics, whose licence is AGPL-3.0: "
                "pip install stormglass[ultralytics]."
            ) from None
        from ultralytics.nn.tasks import load_checkpoint

        # The library takes some names for others (yolov5s.pt for yolov5su.pt) and downloads what it then misses.
        link = folder / "weights.pt"
        link.symlink_to(weights.resolve())
        try:
            network = load_checkpoint(link)[0]
        except Exception as error:  # a pickle may raise anything
            said = str(error).replace(str(link), "it").encode("ascii", "ignore").decode()
            reason = brief(said).removeprefix("ERROR ")
            raise InputError(f"{weights} is no checkpoint of ultralytics that opens here ({reason}).") from None
    kind, channels = type(network).__name__, getattr(network, "yaml", {}).get("channels", 3)
    if kind not in _TASKS or channels != 3:
        raise InputError(
            f"{weights} holds a {kind} of {channels} channels: adapter 'ultralytics' runs YOLO detectors and "
            "segmenters of 3 channels; export others to ONNX or TorchScript."
        )
    return network


@contextlib.contextmanager
def _contained() -> Iterator[Path]:
    """A temporary folder and a time in which the library may be imported: what that changes is put back afterwards.

    It writes its settings into that folder, not the user's home, looks for no network and installs nothing. Its own
    logger stays as it sets it, saying errors alone.
    """
    environment, threads = dict(os.environ), cv2.getNumThreads()
    patched = [getattr(module, name) for module, name in _PATCHED]
    with (
        warnings.catch_warnings(),
        np.printoptions(),
        torch._tensor_str.printoptions(),
        tempfile.TemporaryDirectory() as folder,
    ):
        os.environ.update(YOLO_CONFIG_DIR=folder, YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
        try:
            yield Path(folder)
        finally:
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ.update(environment)
            cv2.setNumThreads(threads)
            for (module, name), before in zip(_PATCHED, patched, strict=True):
                setattr(module, name, before)


ADAPTER: Final = Adapter(
    version=VERSION,
    check=check,
    describe=describe,
    load=load,
    library="ultralytics",
    settle=settle,
    asides=frozenset({"trust_pickle"}),
    torch=True,
)
