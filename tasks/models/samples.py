"""Training material in memory: frames with their truth, and batches of them."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from tasks import tables
from tasks.data.frames import FrameReader
from tasks.errors import InputError
from tasks.models.augment import Augmenter
from tasks.models.geometry import view
from tasks.models.losses import IGNORE, BoxTargets, draw_targets
from tasks.models.network import MULTIPLE

KINDS = ("object", "semantic", "label")


@dataclass(frozen=True)
class Samples:
    """Decoded frames of one size and their truth, in channels of the network.

    Attributes:
        frames: uint8 RGB (N, H, W, 3).
        boxes: N arrays float32 (n, 4), xyxy in pixels.
        channels: N arrays int64 (n,), the heat-map channel of each box.
        ignored: N arrays bool (n,), boxes that are neither right nor wrong.
        semantic: uint8 (N, H, W), the semantic channel, 255 where it counts for nothing.
        labels: int64 (N,), the channel of the frame label, 255 without one.
    """

    frames: npt.NDArray[np.uint8]
    boxes: list[npt.NDArray[np.float32]]
    channels: list[npt.NDArray[np.int64]]
    ignored: list[npt.NDArray[np.bool_]]
    semantic: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class Batch:
    """B samples and their target maps, as `losses.losses` takes them; pixels float32 (B, 3, H, W) 0..255."""

    pixels: torch.Tensor
    heat: torch.Tensor
    boxes: torch.Tensor
    weights: torch.Tensor
    counts: torch.Tensor
    semantic: torch.Tensor
    labels: torch.Tensor

    def targets(self, device: str) -> dict[str, torch.Tensor]:
        """All but the pixels, by name."""
        return {field.name: getattr(self, field.name).to(device) for field in fields(self)[1:]}


def read_classes(tables_dir: Path) -> dict[str, dict[int, str]]:
    """The data set's classes by kind, ids ascending: the order of the network's channels."""
    table = tables.read("classes", tables_dir / "classes.parquet").sort_values("class_id")
    return {
        kind: {
            int(key): str(name)
            for key, name in table.loc[table["kind"] == kind, ["class_id", "name"]].itertuples(index=False)
        }
        for kind in KINDS
    }


def read_samples(split: str, *, dataset_dir: Path, tables_dir: Path, classes: dict[str, dict[int, str]]) -> Samples:
    """Decode one split and gather its truth.

    Raises:
        InputError: no such split, a frame cannot be read, or frames differ in size or fit no multiple of 32.
    """
    rows = tables.select(tables.read("frames", tables_dir / "frames.parquet"), split=split)
    sizes = rows[["width_px", "height_px"]].drop_duplicates()
    if len(sizes) != 1 or (sizes.to_numpy(int) % MULTIPLE).any():
        shown = ", ".join(f"{w}x{h}" for w, h in sizes.head(4).itertuples(index=False))
        raise InputError(
            f"Training takes frames of one size, both sides multiples of {MULTIPLE} px; split '{split}' has {shown}."
        )
    frames = np.stack(FrameReader(dataset_dir).read(rows))
    boxes, channels, ignored = _objects(rows, tables_dir, list(classes["object"]))
    order = {key: channel for channel, key in enumerate(classes["label"])}
    labels = [IGNORE if pd.isna(key) else order[int(key)] for key in rows["label_id"]]
    return Samples(
        frames=frames,
        boxes=boxes,
        channels=channels,
        ignored=ignored,
        semantic=_semantic(rows, frames.shape[1:3], tables_dir, list(classes["semantic"])),
        labels=np.array(labels, dtype=np.int64),
    )


def assemble(
    samples: Samples,
    indices: Sequence[int],
    seeds: Sequence[int],
    *,
    augmenter: Augmenter | None,
    n_classes: int,
    pool: Executor,
) -> Batch:
    """A training batch; each sample's view, and what `augmenter` does to it, its own seed decides.

    Its samples are made in the threads of `pool`, which changes nothing but the time that it takes.
    """
    height, width = samples.frames.shape[1:3]

    def prepare(index: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], BoxTargets]:
        frame, regions, boxes, ignored = view(
            samples.frames[index], samples.semantic[index], samples.boxes[index], samples.ignored[index], seed
        )
        if augmenter is not None:
            frame = augmenter(frame, seed)
        channels = samples.channels[index]
        targets = draw_targets(boxes, channels, ignored, n_classes=n_classes, height_px=height, width_px=width)
        return frame, regions, targets

    pixels, semantic, maps = zip(*pool.map(prepare, indices, seeds), strict=True)
    return Batch(
        pixels=torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float(),  # channels last in memory
        heat=torch.from_numpy(np.stack([item.heat for item in maps])),
        boxes=torch.from_numpy(np.stack([item.boxes for item in maps])),
        weights=torch.from_numpy(np.stack([item.weights for item in maps])),
        counts=torch.from_numpy(np.stack([item.counts for item in maps])),
        semantic=torch.from_numpy(np.stack(semantic)).long(),
        labels=torch.from_numpy(samples.labels[list(indices)]),
    )


def _objects(
    rows: pd.DataFrame, tables_dir: Path, ids: list[int]
) -> tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.int64]], list[npt.NDArray[np.bool_]]]:
    objects = tables.read("objects", tables_dir / "objects.parquet")
    by_frame = dict(tuple(objects.groupby("frame_id")))
    order = {key: channel for channel, key in enumerate(ids)}
    boxes, channels, ignored = [], [], []
    for frame_id in rows["frame_id"]:
        own = by_frame.get(frame_id, objects.iloc[:0])
        boxes.append(np.array(own[["x0_px", "y0_px", "x1_px", "y1_px"]], dtype=np.float32))
        channels.append(np.array([order[int(key)] for key in own["class_id"]], dtype=np.int64))
        ignored.append((own["ignore"].astype(bool) | own["crowd"].astype(bool)).to_numpy(bool))
    return boxes, channels, ignored


def _semantic(rows: pd.DataFrame, size: tuple[int, ...], tables_dir: Path, ids: list[int]) -> npt.NDArray[np.uint8]:
    channel_of = np.full(256, IGNORE, np.uint8)
    channel_of[ids] = np.arange(len(ids), dtype=np.uint8)
    maps = np.full((len(rows), *size), IGNORE, np.uint8)
    path = tables_dir / "semantic.parquet"
    if not ids or not path.exists():
        return maps
    places = {frame_id: place for place, frame_id in enumerate(rows["frame_id"])}
    for frame_id, data in tables.read("semantic", path).itertuples(index=False):
        if frame_id in places:
            maps[places[frame_id]] = channel_of[tables.decode_label_map(data)]
    return maps
