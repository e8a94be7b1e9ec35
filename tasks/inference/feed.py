"""A shard's frames as the models see them: decoded, corrupted, and in batches that fit into memory."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.corruptions import corrupt, corrupt_stream, find
from tasks.data.frames import FrameReader
from tasks.inference import batches
from tasks.inference.batches import out_of_memory
from tasks.inference.decoding import FrameCache, Stopwatch
from tasks.inference.looks import Look
from tasks.inference.parts import Part
from tasks.inference.shards import Shard
from tasks.models.outputs import Predictor
from tasks.params import Params

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """Corrupted frames of one size, and how long they took.

    Attributes:
        places: of the frames in their shard.
        frames: uint8 RGB (H, W, 3) each.
        decode_ms: spent on decoding.
        corrupt_ms: spent on corrupting.
        features_ms: spent on what the frames look like.
    """

    places: list[int]
    frames: list[Frame]
    decode_ms: float
    corrupt_ms: float
    features_ms: float = 0.0


class Feed:
    """The frames of one worker's shards."""

    def __init__(self, params: Params, device: str) -> None:
        """Of the data set in `params`, for models on `device`.

        Raises:
            InputError: a GPU that is not there.
        """
        self._params = params
        self._device = device
        self._cache = FrameCache(FrameReader(params.resolve(params.dataset.path)))
        self._fits: dict[tuple[int, int], int] = {}
        self._most: int | None = None  # once memory has run out
        self._beside = _stream_beside(device)

    def open(self, shard: Shard) -> None:
        """From here on the frames are those of `shard`."""
        frames = shard.frames
        self._shard = shard
        self._cache.open(shard)
        # Of every batch these are asked: once as lists they cost nothing, by pandas as much as many a corruption.
        self._clips, self._indices = frames["clip_id"].tolist(), frames["frame_index"].tolist()
        self._sizes: dict[tuple[int, int], list[int]] = {}
        for place, size in enumerate(zip(frames["height_px"].tolist(), frames["width_px"].tolist(), strict=True)):
            self._sizes.setdefault((int(size[0]), int(size[1])), []).append(place)

    def fit(self, predictors: Iterable[Predictor]) -> None:
        """See how many frames of each size all models take at once, where params leave it open and it is not known."""
        if self._params.run.batch_size != "auto":
            return
        for size, places in self._sizes.items():
            if size not in self._fits:
                (frame,) = self._cache.read(places[:1])
                self._fits[size] = batches.fitting(predictors, frame, self._device)

    def most(self, count: int) -> None:
        """From here on at most `count` frames at once: memory ran out with more."""
        self._most = min(self._most or count, count)

    def batches(
        self, corruption: str, part: Part | Look, coding: dict[str, dict[str, float]], only: frozenset[int] | None
    ) -> Iterator[Batch]:
        """The shard's frames under `corruption` at this part's severity, in batches of one frame size.

        Args:
            corruption: its name.
            part: says how strong it is.
            coding: what a codec made of the clips is added to it.
            only: places of the frames that are needed, others may be left out; None: all.
        """
        if part.severity and find(corruption).whole_clip:
            yield from self._streamed(corruption, part, coding, only)
            return
        for size, group in self._sizes.items():
            places = [place for place in group if only is None or place in only]
            while places:
                most = self._at_once(*size)
                now, places = places[:most], places[most:]
                start = time.perf_counter()
                clean = self._cache.read(now)
                decoded = time.perf_counter()
                images = clean if part.severity == 0 else self._corrupt(corruption, part, now, clean)
                yield Batch(now, images, (decoded - start) * 1e3, (time.perf_counter() - decoded) * 1e3)

    def clip(self, corruption: str, part: Part, rows: pd.DataFrame) -> Iterator[Frame]:
        """What the model saw of one clip, the frames of `rows`, made once more."""
        if part.severity == 0:
            yield from self._read_clip(rows)
        elif find(corruption).whole_clip:
            yield from self._stream(corruption, part, rows, Stopwatch(), {})
        else:
            places, most = rows.index.tolist(), self._of_clip(rows)
            for start in range(0, len(places), most):
                now = places[start : start + most]
                yield from self._corrupt(corruption, part, now, self._cache.read(now))

    def _of_clip(self, rows: pd.DataFrame) -> int:
        """Frames at once of a clip, whose rows all have one size."""
        return self._at_once(int(rows["height_px"].iloc[0]), int(rows["width_px"].iloc[0]))

    def _at_once(self, height_px: int, width_px: int) -> int:
        asked, size = self._params.run.batch_size, (height_px, width_px)
        most = self._fits.get(size, batches.on_processor(*size)) if asked == "auto" else int(asked)
        return min(most, self._most or most)

    def _corrupt(self, corruption: str, part: Part | Look, places: list[int], clean: list[Frame]) -> list[Frame]:
        try:
            with self._aside():
                corrupted = corrupt(
                    self._on_device(np.stack(clean) if len(clean) > 1 else clean[0][None]),
                    name=corruption,
                    **_strength(part),
                    seed=self._params.run.seed,
                    scale_to=self._params.scale_to,
                    clips=[self._clips[place] for place in places],
                    first_frame=[self._indices[place] for place in places],
                )
                return list(corrupted if isinstance(corrupted, np.ndarray) else corrupted.cpu().numpy())
        except Exception as error:
            if not out_of_memory(error) or len(clean) == 1:
                raise
        half = (len(clean) + 1) // 2
        return self._corrupt(corruption, part, places[:half], clean[:half]) + self._corrupt(
            corruption, part, places[half:], clean[half:]
        )

    def _on_device(self, frames: Frame) -> Any:
        """Corruptions run where the models do: on a GPU as tensors."""
        if not self._device.startswith("cuda"):
            return frames
        import torch

        from tasks.models.steering import to_device

        return to_device(torch.from_numpy(frames), torch.device(self._device))

    def _aside(self) -> contextlib.AbstractContextManager[Any]:
        """On a GPU frames are corrupted in a stream of their own: in the model's they would wait for it."""
        if self._beside is None:
            return contextlib.nullcontext()
        import torch

        return torch.cuda.stream(self._beside)

    def _streamed(
        self, corruption: str, part: Part | Look, coding: dict[str, dict[str, float]], only: frozenset[int] | None
    ) -> Iterator[Batch]:
        """Codecs see whole clips: each is streamed through, a batch in memory at a time."""
        for clip_id, rows in self._shard.frames.groupby("clip_id", sort=False):
            if only is not None and only.isdisjoint(rows.index):
                continue
            spent = Stopwatch()
            stream = self._stream(corruption, part, rows, spent, coding)
            places = rows.index.tolist()
            while places:
                start, decoded = time.perf_counter(), spent.ms
                images = [image for _, image in zip(range(self._of_clip(rows)), stream, strict=False)]
                if not images:
                    raise RuntimeError(f"{corruption} gave {len(rows) - len(places)} of clip {clip_id}'s frames")
                now, places = places[: len(images)], places[len(images) :]
                decode_ms = spent.ms - decoded
                yield Batch(now, images, decode_ms, (time.perf_counter() - start) * 1e3 - decode_ms)
            if next(stream, None) is not None:  # and what it records after the last frame
                raise RuntimeError(f"{corruption} gave more frames than clip {clip_id} has")

    def _stream(
        self,
        corruption: str,
        part: Part | Look,
        rows: pd.DataFrame,
        spent: Stopwatch,
        coding: dict[str, dict[str, float]],
    ) -> Iterator[Frame]:
        """The frames of one clip under a corruption that sees whole clips; `spent` takes the time of decoding."""
        return iter(
            corrupt_stream(
                spent.watch(self._read_clip(rows)),
                name=corruption,
                **_strength(part),
                seed=self._params.run.seed,
                scale_to=self._params.scale_to,
                clips=str(rows["clip_id"].iloc[0]),
                first_frame=int(rows["frame_index"].iloc[0]),
                record=lambda clip, facts: coding.setdefault(clip, {}).update(facts),
            )
        )

    def _read_clip(self, rows: pd.DataFrame) -> Iterator[Frame]:
        places, most = rows.index.tolist(), self._of_clip(rows)  # it may fall on the way
        for start in range(0, len(places), most):
            yield from self._cache.read(places[start : start + most])


def _stream_beside(device: str) -> Any:
    """A stream of a GPU beside the one that models run in; None elsewhere."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _strength(part: Part | Look) -> dict[str, Any]:
    return {"severity": part.severity} if part.level is None else {"level": part.level}
