"""What the gallery reads: the run's frames, truth, predictions and classes, looked up by model, cell and frame."""

import contextlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import class_map, corruptions, displacement, tables
from tasks.data.frames import FrameReader, UnreadableFrame
from tasks.errors import InputError
from tasks.gallery import pictures
from tasks.layout import Layout
from tasks.params import CorruptionChoice, Params

Frame = npt.NDArray[np.uint8]

_KINDS = {"detection": "object", "instance": "object", "tracking": "object", "semantic": "semantic"}


@dataclass
class Source:
    """The tables of one run and the frames behind them."""

    params: Params
    layout: Layout
    unreadable: dict[int, str] = field(default_factory=dict)
    _waves: dict[tuple[str, int], dict[int, npt.NDArray[np.float64]]] = field(default_factory=dict)

    @cached_property
    def frames(self) -> pd.DataFrame:
        """The frames that the run works on, by frame_id."""
        found = tables.read("frames", self.layout.tables / "frames.parquet")
        chosen = tables.select(found, split=self.params.dataset.split, limit=self.params.dataset.limit)
        return chosen.set_index("frame_id", drop=False).rename_axis(None)

    @cached_property
    def objects(self) -> dict[int, pd.DataFrame]:
        """Truth boxes by frame_id, each row with its frame's (height, width) as `_size`."""
        found = tables.read("objects", self.layout.tables / "objects.parquet")
        found = found[found["frame_id"].isin(self.frames.index)]
        return {int(str(k)): self._sized(rows, int(str(k))) for k, rows in found.groupby("frame_id", sort=False)} | {
            -1: self._sized(found.iloc[:0], None)
        }

    @cached_property
    def semantic(self) -> dict[int, bytes]:
        """Encoded semantic truth by frame_id."""
        path = self.layout.tables / "semantic.parquet"
        if not path.exists():
            return {}
        found = tables.read("semantic", path)
        return dict(zip(found["frame_id"].astype(int), found["label_map"], strict=True))

    @cached_property
    def _classes(self) -> pd.DataFrame:
        return tables.read("classes", self.layout.tables / "classes.parquet")

    @cached_property
    def _models(self) -> dict[str, Any]:
        path = self.layout.predictions / "models.json"
        if not path.exists():
            raise InputError(f"Expected the models' classes at {path}, found no file: run the stage infer first.")
        models: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return models

    @cached_property
    def _cells(self) -> pd.DataFrame:
        return tables.read("cells", self.layout.predictions / "cells.parquet")

    def coding(self, corruption: str) -> dict[str, dict[str, tuple[float, float, float]]]:
        """What a codec made of the clips: fact -> severity -> mean, lowest and highest over the clips; may be empty."""
        rows = self._coding[self._coding["corruption"] == corruption]
        found: dict[str, dict[str, tuple[float, float, float]]] = {}
        for (fact, severity), values in rows.groupby(["fact", "severity"], sort=False)["value"]:
            ends = float(values.mean()), float(values.min()), float(values.max())
            found.setdefault(str(fact), {})[str(severity)] = ends
        return found

    @cached_property
    def _coding(self) -> pd.DataFrame:
        path = self.layout.predictions / "coding.parquet"
        if not path.exists():  # of a run from before it was kept
            return pd.DataFrame(columns=tables.SCHEMAS["coding"].names)
        return tables.read("coding", path)

    @cached_property
    def _reader(self) -> FrameReader:
        return FrameReader(self.params.resolve(self.params.dataset.path))

    def frame(self, frame_id: int) -> dict[Any, Any]:
        """The row of one frame."""
        return self.frames.loc[[frame_id]].to_dict("records")[0]

    def picture_size(self, frame_id: int) -> tuple[int, int]:
        """Width and height of a frame's picture."""
        frame = self.frame(frame_id)
        return pictures.size(int(frame["width_px"]), int(frame["height_px"]))

    def truth(self, frame_id: int, corruption: str, severity: int) -> pd.DataFrame:
        """The truth boxes of one frame, where the corruption has them."""
        found = self.objects.get(frame_id, self.objects[-1])
        moved = self._moved(frame_id, corruption, severity)
        if moved is None or found.empty:
            return found
        box = ["x0_px", "y0_px", "x1_px", "y1_px"]
        width = int(self.frame(frame_id)["width_px"])
        found = found.copy()
        found[box] = displacement.move_boxes(found[box].to_numpy(np.float64), moved, width)
        height = len(moved)
        found["mask"] = [
            displacement.move_mask({"size": [height, width], "counts": mask}, moved)["counts"] if mask else mask
            for mask in found["mask"]
        ]
        return found

    def truth_map(self, frame_id: int, corruption: str, severity: int) -> Frame | None:
        """The semantic truth of one frame, where the corruption has it; None without any."""
        data = self.semantic.get(frame_id)
        if data is None:
            return None
        found = tables.decode_label_map(data)
        moved = self._moved(frame_id, corruption, severity)
        return found if moved is None else displacement.move_map(found, moved)

    def _moved(self, frame_id: int, corruption: str, severity: int) -> npt.NDArray[np.float64] | None:
        cell = corruption, severity
        if cell not in self._waves:
            self._waves[cell] = displacement.read(self.layout.predictions, corruption, severity)
        waves = self._waves[cell].get(frame_id)
        return None if waves is None else displacement.shifts(waves, int(self.frame(frame_id)["height_px"]))

    def names(self, kind: str) -> dict[int, str]:
        """The data set's classes of a kind, id -> name."""
        rows = self._classes[self._classes["kind"] == kind]
        return {int(k): str(v) for k, v in zip(rows["class_id"], rows["name"], strict=True)}

    def model_classes(self, model: str, kind: str) -> dict[int, str]:
        """A model's own classes of a kind, id -> name."""
        return {int(k): str(v) for k, v in self._models[model].get(kind, {}).items()}

    def mapping(self, model: str, task: str) -> dict[int, int | None]:
        """Model class id -> data-set class id for the classes that a task is about."""
        kind = _KINDS.get(task, "label")
        known = {
            name
            for other in ("object", "semantic", "label")
            if other != kind
            for name in (*self.names(other).values(), *self.model_classes(model, other).values())
        }
        return class_map.resolve(
            self.params.models[model], self.model_classes(model, kind), self.names(kind), known=known
        )

    def predictions(self, model: str, corruption: str, severity: int, frame_ids: set[int]) -> dict[int, pd.DataFrame]:
        """The predictions of some frames of one cell by frame_id; parts that failed are passed over."""
        rows = self._cells
        rows = rows[(rows["model"] == model) & (rows["corruption"] == corruption) & (rows["severity"] == severity)]
        found: dict[int, pd.DataFrame] = {}
        for row in rows[rows["status"] == "ok"].itertuples():
            part = tables.read("predictions", self.layout.predictions / str(row.part))
            part = part[part["frame_id"].isin(frame_ids)]
            for key, own in part.groupby("frame_id", sort=False):
                found[int(str(key))] = self._sized(own, int(str(key)))
        return found

    def strength(self, corruption: str, severity: int) -> tuple[float | None, str | None]:
        """The physical strength of a cell and its unit; None for clean."""
        if severity == 0:
            return None, None
        return corruptions.strength(corruption, **self._level(corruption, severity))

    def corrupted(self, corruption: str, severity: int, frame_ids: Iterable[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """(frame_id, clean, corrupted) of some frames, made again from the clean ones exactly as for the models.

        Codecs get the whole clip. Memory holds a frame, of a codec those that it has taken and not given back yet.
        Frames that cannot be read are left out and noted in `unreadable`; a codec's clip ends there.
        """
        rows = self.frames.loc[list(frame_ids)]
        for clip_id, wanted in rows.groupby("clip_id", sort=False):
            asked = wanted["frame_id"].astype(int).tolist()
            if severity == 0:
                for frame_id, frame in self._read(asked):
                    yield frame_id, frame, frame
                continue
            settings = {
                "name": corruption,
                "seed": self.params.run.seed,
                "scale_to": self.params.scale_to,
                **self._level(corruption, severity),
            }
            if corruptions.find(corruption).whole_clip:
                yield from self._coded(self.frames[self.frames["clip_id"] == clip_id], set(asked), settings)
                continue
            for frame_id, clean in self._read(asked):
                index = int(self.frame(frame_id)["frame_index"])
                made = corruptions.corrupt(clean[None], clips=str(clip_id), first_frame=index, **settings)
                yield frame_id, clean, made[0]

    def _coded(
        self, clip: pd.DataFrame, asked: set[int], settings: Mapping[str, Any]
    ) -> Iterator[tuple[int, Frame, Frame]]:
        """Those of a clip's frames that are asked for, through a codec."""
        within: deque[tuple[int, Frame]] = deque()

        def clean() -> Iterator[Frame]:
            for frame_id in clip["frame_id"].astype(int):
                within.append((frame_id, self._one(frame_id)))
                yield within[-1][1]

        first = int(clip["frame_index"].iloc[0])
        with contextlib.suppress(UnreadableFrame):
            for made in corruptions.corrupt_stream(
                clean(), clips=str(clip["clip_id"].iloc[0]), first_frame=first, **settings
            ):
                frame_id, frame = within.popleft()
                if frame_id in asked:
                    yield frame_id, frame, made

    def _level(self, corruption: str, severity: int) -> dict[str, Any]:
        choice: CorruptionChoice = next(c for c in self.params.choices() if c.name == corruption)
        return {"severity": severity} if choice.levels is None else {"level": choice.levels[severity - 1]}

    def _read(self, frame_ids: Iterable[int]) -> Iterator[tuple[int, Frame]]:
        for frame_id in frame_ids:
            with contextlib.suppress(UnreadableFrame):
                yield frame_id, self._one(frame_id)

    def _one(self, frame_id: int) -> Frame:
        """A clean frame.

        Raises:
            UnreadableFrame: it cannot be read, which is noted.
        """
        if frame_id in self.unreadable:
            raise UnreadableFrame(self.unreadable[frame_id])
        try:
            return self._reader.read(self.frames.loc[[frame_id]])[0]
        except UnreadableFrame as error:
            self.unreadable[frame_id] = str(error)
            raise

    def _sized(self, rows: pd.DataFrame, frame_id: int | None) -> pd.DataFrame:
        if frame_id is None:
            return rows.assign(_size=[])
        frame = self.frame(frame_id)
        size = (int(frame["height_px"]), int(frame["width_px"]))
        return rows.assign(_size=pd.Series([size] * len(rows), index=rows.index, dtype=object))
