"""The adapter of Hugging Face's transformers: networks in local directories, as `save_pretrained` writes them.

Frames go through the library's own image processor and outputs through its own post-processing, both as the directory
says. Nothing is downloaded, code in the directory is not run, and weights are read in single precision.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from tasks.class_map import nearest
from tasks.errors import InputError, brief
from tasks.models import transformers_directory
from tasks.models.checked import checked
from tasks.models.execution import PLAIN, Execution
from tasks.models.interface import Adapter
from tasks.models.logits import alike
from tasks.models.outputs import Description, Output, mark
from tasks.models.raw import refuse_nan
from tasks.models.steering import steered, to_device
from tasks.models.transformers_directory import Directory
from tasks.params import Model, ModelInput

VERSION: Final = 1

OPTIONS: Final[Mapping[str, tuple[object, ...]]] = {
    "output": ("instance", "semantic"),
    "backend": ("torchvision", "pil"),
    "trust_pickle": (True, False),
}
"""What of the options each may be: of networks that can do several things which; what the image processor computes
with, the library's choice where params give none; whether weights may be a pickle."""

_READ: Final = ("logits", "pred_boxes", "pred_masks", "class_queries_logits", "masks_queries_logits")
"""What the library's post-processing reads of the networks' outputs."""

_KIND: Final = {"detection": "object", "instance": "object", "semantic": "semantic", "classification": "label"}


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: an option that there is not, or one of the settings that the directory decides.
    """
    for name, value in model.options.items():
        if name not in OPTIONS:
            raise InputError(f"options: adapter 'transformers' has no '{name}'{nearest(name, OPTIONS)}")
        if type(value) is not type(OPTIONS[name][0]) or value not in OPTIONS[name]:
            told = " or ".join(str(one).lower() for one in OPTIONS[name])
            raise InputError(f"options.{name}: expected {told}, got {value!r}.")
    given = [name for name in ("variant", "decoder") if getattr(model, name) is not None]
    tiles = {"tile": model.input.tile, "overlap": model.input.overlap}
    if model.input != ModelInput().model_copy(update=tiles):
        given.append("input (but for tile and overlap)")
    suppression = ("nms_sigma",) if model.input.tile is not None else ("nms_iou", "nms", "nms_sigma")  # merging is ours
    given += [name for name in suppression if name in model.model_fields_set]
    if given:
        raise InputError(f"Adapter 'transformers' leaves that to the directory's files: remove {', '.join(given)}.")


def describe(model: Model, weights: Path) -> Description:
    """The classes of config.json's id2label, the tasks, and in `frames` how they are prepared.

    Raises:
        InputError: the package is not installed, or the directory is not one that it could run.
    """
    found = _read(model, weights)
    output = _output(model, found)
    classes = _classes(found)
    return {
        **{kind: classes if kind == _KIND[output] else {} for kind in ("object", "semantic", "label")},
        "tasks": ["detection", "instance"] if output == "instance" else [output],
        "frames": transformers_directory.words(found.processor),
    }


def load(
    model: Model, *, weights: Path, device: str, threads: int | None, execution: Execution = PLAIN
) -> "TransformersModel":
    """The network on `device`; `threads` is the process's matter here (`torch.set_num_threads`).

    Raises:
        InputError: the package is not installed, or the directory does not hold one whole model.
    """
    library = _library()
    found = _read(model, weights)
    described = describe(model, weights)
    try:
        network, loading = getattr(library, found.architecture).from_pretrained(
            str(weights),
            local_files_only=True,
            use_safetensors=not found.pickled,
            dtype=torch.float32,  # else as saved, in half precision maybe
            ignore_mismatched_sizes=True,  # told in a sentence of our own below, with shapes
            output_loading_info=True,
        )
        backend = model.options.get("backend")
        processor = library.AutoImageProcessor.from_pretrained(
            str(weights),
            local_files_only=True,
            trust_remote_code=False,
            **({} if backend is None else {"backend": backend}),
        )
    except Exception as error:  # of many undocumented kinds
        raise _unfit(weights, error) from None
    odd = sorted(loading["mismatched_keys"])
    if odd:
        name, found_shape, wanted_shape = odd[0]
        raise InputError(
            f"{weights}: the weights' '{name}' has the shape {tuple(found_shape)}, config.json makes it "
            f"{tuple(wanted_shape)}{f'; {len(odd) - 1} more do not fit' if len(odd) > 1 else ''}."
        )
    missing = sorted(loading["missing_keys"])
    if missing:  # the library would go on with random numbers in their place
        raise InputError(
            f"{weights}: the weights lack {len(missing)} tensor(s) of the network, such as '{missing[0]}'."
        )
    run = steered(network.to(device).requires_grad_(False), execution, device)
    return TransformersModel(run, processor, model, described, device)


class TransformersModel:
    """A loaded network with its image processor."""

    def __init__(self, network: Any, processor: Any, model: Model, described: Description, device: str) -> None:
        """Take over `network` and `processor`."""
        self._network = network
        self._processor = processor
        self._threshold = model.score_threshold
        self._described = described
        self._name = model.weights_path.name
        self._device = torch.device(device)
        self.tasks = frozenset(described["tasks"])

    @torch.inference_mode()
    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """What the library's own way from frame to output says; boxes and masks in pixels of each frame.

        Frames of different sizes would be padded to each other and are never put into one batch.

        Raises:
            InputError: processor and network do not fit each other, or the network gave NaN.
        """
        outputs: list[Output] = []
        for group in alike(frames, self._device):
            mark("preprocess")
            pixels = self._prepare(group)
            mark("infer")
            try:
                said = self._network(**pixels)
            except ValueError as error:  # such as a size that the network does not take
                raise _unfit(Path(self._name), error) from None
            mark("postprocess")
            refuse_nan((said[name] for name in _READ if said.get(name) is not None), "logits", who=self._name)
            with self._device:  # post-processing makes tensors of its own
                found = self._read(said, [(frame.shape[0], frame.shape[1]) for frame in group])
            for one, frame in zip(found, group, strict=True):
                outputs.append(checked(one, frame.shape, self._described, who=self._name))
        return outputs

    def _prepare(self, frames: Sequence[npt.NDArray[np.uint8]]) -> dict[str, torch.Tensor]:
        copies = [np.array(frame) for frame in frames]  # frames may be read-only
        prepared = self._processor(images=copies, input_data_format="channels_last", return_tensors="pt")
        inside = prepared.get("pixel_mask")
        if inside is not None and not bool(torch.as_tensor(inside).all()):
            raise InputError(
                f"{self._name}: its image processor pads frames, which the library's post-processing does not take "
                "back, so that what is found would be put in the wrong place: set do_pad to false, or remove pad_size."
            )
        tensors = ((name, value) for name, value in prepared.items() if isinstance(value, torch.Tensor))
        return {name: to_device(value, self._device) for name, value in tensors}

    def _read(self, said: Any, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
        """The fields of `checked` for each frame."""
        if "classification" in self.tasks:
            return [{"probabilities": row} for row in said.logits.float().softmax(dim=1)]
        if "semantic" in self.tasks:
            maps = self._processor.post_process_semantic_segmentation(said, target_sizes=sizes)
            return [{"label_map": one} for one in maps]
        if "instance" in self.tasks:
            found = self._processor.post_process_instance_segmentation(
                said,
                threshold=self._threshold,
                target_sizes=sizes,
                return_binary_maps=True,  # else those above hide those below
            )
            return [_instances(one, size) for one, size in zip(found, sizes, strict=True)]
        found = self._processor.post_process_object_detection(said, threshold=self._threshold, target_sizes=sizes)
        return [{"boxes": _boxes(one["boxes"]), "scores": one["scores"], "class_ids": one["labels"]} for one in found]


def _boxes(corners: torch.Tensor) -> torch.Tensor:
    """Boxes xyxy, without size where the distances to two sides cross, as D-FINE's may."""
    low, high = corners[:, :2], corners[:, 2:]
    return torch.cat([low, torch.maximum(low, high)], dim=1)


def _instances(found: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    rows = found["segments_info"]  # where there are none, the masks are one empty map
    return {
        "masks": found["segmentation"] if rows else np.zeros((0, *size), bool),
        "scores": np.array([row["score"] for row in rows], np.float32),
        "class_ids": np.array([row["label_id"] for row in rows], np.int64),
    }


def _read(model: Model, weights: Path) -> Directory:
    return transformers_directory.read(weights, trust_pickle=bool(model.options.get("trust_pickle", False)))


def _output(model: Model, found: Directory) -> str:
    """What is made of the network's output.

    Raises:
        InputError: params and architecture do not agree on it.
    """
    wanted = model.options.get("output")
    if len(found.outputs) > 1:
        if wanted is None:
            raise InputError(
                f"{found.architecture} is trained for one of {', '.join(found.outputs)}, and its files do not say for "
                f"which: set options.output."
            )
    elif wanted is not None:
        raise InputError(f"options.output: {found.architecture} does {found.outputs[0]} alone; remove it.")
    output = str(wanted or found.outputs[0])
    if output not in ("detection", "instance") and "score_threshold" in model.model_fields_set:
        raise InputError(f"{found.architecture} finds no boxes in task {output}: remove score_threshold.")
    return output


def _classes(found: Directory) -> dict[int, str]:
    """Id -> name, with the library's own where config.json names none."""
    library = _library()
    try:
        config = library.AutoConfig.from_pretrained(str(found.path), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of many undocumented kinds
        raise _unfit(found.path, error) from None
    if not hasattr(library, found.architecture):
        raise InputError(f"{found.path}: transformers {library.__version__} has no {found.architecture}.")
    return {int(key): str(name) for key, name in sorted(config.id2label.items())}


def _unfit(where: Path, error: Exception) -> InputError:
    return InputError(f"{where} cannot be run by transformers ({brief(error, 300)}).")


def _library() -> Any:
    """The package, offline and quiet."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when its part that downloads is first imported
    try:
        import transformers
    except ImportError:
        raise InputError("Adapter 'transformers' needs its package: pip install stormglass[transformers].") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


ADAPTER: Final = Adapter(
    version=VERSION,
    check=check,
    describe=describe,
    load=load,
    library="transformers",
    folder=True,
    asides=frozenset({"trust_pickle"}),
    torch=True,
)
