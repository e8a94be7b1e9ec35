"""One worker's bench: its models, its decoded frames, and the work on one unit."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import models
from tasks.corruptions import corrupt, corrupt_stream, find
from tasks.data.frames import FrameReader
from tasks.errors import InputError
from tasks.inference.decoding import FrameCache, Stopwatch
from tasks.inference.planning import Part, Unit
from tasks.inference.rows import Rows, with_tracks
from tasks.models import recorded
from tasks.models.outputs import Output, Predictor
from tasks.models.tracking import looks_at_frames
from tasks.params import Params
from tasks.store import Store

BATCH_SIZE: Final = {"cpu": 8, "cuda": 32}
"""For `auto`. On a CPU a batch only has to stay in the caches; on a GPU it has to fill it."""

_OUT_OF_MEMORY: Final = re.compile(r"out of memory|can't allocate memory|failed to allocate memory|bad_alloc", re.I)

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Spec:
    """What a worker is told at its start; travels to its process.

    Attributes:
        params: the run's.
        names: the models that have work left.
    """

    params: Params
    store: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A part that could not be made. `mistake`: the input is at fault, trying again would not help."""

    part: Part
    message: str
    mistake: bool


@dataclass(frozen=True)
class _Wrong:
    message: str
    mistake: bool

    @classmethod
    def of(cls, error: Exception, before: str = "") -> "_Wrong":
        """One line: an InputError's sentence, anything else with its type."""
        text = " ".join(str(error).split())
        if isinstance(error, InputError):
            return cls(before + text, True)
        return cls(f"{before}{type(error).__name__}: {text}", False)


@dataclass(frozen=True)
class _Batch:
    """Corrupted frames of one size, and how long they took."""

    places: list[int]
    frames: list[Frame]
    decode_ms: float
    corrupt_ms: float


class Bench:
    """Models and readers of one worker, kept from unit to unit."""

    def __init__(self, spec: Spec, device: str) -> None:
        """Load the models.

        Raises:
            InputError: weights that do not fit, or a device that is not there.
        """
        self._params = spec.params
        self._device = device
        self._store = Store(spec.store)
        self._reader = FrameReader(spec.params.resolve(spec.params.dataset.path))
        self._cache = FrameCache(self._reader)
        self._batch_size = batch_size(spec.params, device)
        self._models: dict[str, Predictor] = {}
        self._broken: dict[str, str] = {}
        for name in spec.names:
            if spec.params.models[name].adapter == recorded.NAME:  # its boxes are stored, only tracking is left
                self._broken[name] = "its recorded predictions left the store: run `stormglass infer` again"
                continue
            try:
                self._models[name] = models.load(
                    spec.params.models[name], folder=spec.params.folder, device=device, threads=1
                )
            except InputError:
                raise
            except Exception as error:  # one model that cannot start leaves the others their work
                self._broken[name] = _Wrong.of(error, "the model could not be loaded: ").message

    def work(self, unit: Unit, done: Callable[[Part], None]) -> list[Failure]:
        """Make every part of `unit` that the store does not hold; `done` hears of each that is there.

        Returns:
            The parts that could not be made; the others are in the store.
        """
        self._cache.open(unit.shard)
        failures: list[Failure] = []
        for severity in dict.fromkeys(part.severity for part in unit.parts):
            parts = [part for part in unit.parts if part.severity == severity]
            failed = self._infer(unit, [part for part in parts if not self._store.has(part.detections)])
            for part in parts:
                wrong = failed.get(part.detections)
                if wrong is None and part.tracked is not None:
                    try:
                        self._track(unit, part)
                    except Exception as error:
                        wrong = _Wrong.of(error, "tracking failed: ")
                if wrong is None:
                    done(part)
                else:
                    failures.append(Failure(part, wrong.message, wrong.mistake))
        return failures

    def _infer(self, unit: Unit, parts: Sequence[Part]) -> dict[str, "_Wrong"]:
        """Store the detections of `parts`, all of one severity; what went wrong by their key."""
        failed = {p.detections: _Wrong(self._broken[p.model], False) for p in parts if p.model in self._broken}
        alive = {part.detections: part for part in parts if part.detections not in failed}
        rows = {key: Rows(unit.shard.frames["frame_id"].tolist()) for key in alive}
        coding: dict[str, dict[str, float]] = {}
        if not alive:
            return failed
        try:
            for batch in self._corrupted(unit, parts[0], coding):
                for key, part in list(alive.items()):
                    start = time.perf_counter()
                    try:
                        outputs = self._predict(self._models[part.model], batch.frames)
                    except Exception as error:
                        failed[key] = _Wrong.of(error, "inference failed: ")
                        del alive[key]
                        continue
                    infer_ms = (time.perf_counter() - start) * 1e3
                    stages_ms = {"decode": batch.decode_ms, "corrupt": batch.corrupt_ms, "infer": infer_ms}
                    rows[key].add(batch.places, outputs)
                    rows[key].time(batch.places, stages_ms)
                if not alive:
                    break
        except Exception as error:
            return failed | dict.fromkeys(alive, _Wrong.of(error))
        for key, part in alive.items():
            self._store.put(key, rows[key].table(), rows[key].timings(), part.detections_by, coding)
        return failed

    def _track(self, unit: Unit, part: Part) -> None:
        assert part.tracked is not None
        if self._store.has(part.tracked):
            return
        tracker = self._params.models[part.model].tracker
        assert tracker is not None
        timings = self._store.timings(part.detections)
        start = time.perf_counter()
        images = partial(self._seen, unit, part) if looks_at_frames(tracker) else None
        table = with_tracks(self._store.get(part.detections), unit.shard.frames, tracker, images=images)
        tracking = {
            "frame_id": [int(unit.shard.frames["frame_id"].iloc[0])],
            "n_frames": [len(unit.shard.frames)],
            "stage": ["track"],
            "ms": [(time.perf_counter() - start) * 1e3],
        }
        timings = pd.concat([timings, pd.DataFrame(tracking)], ignore_index=True)
        self._store.put(part.tracked, table, timings, part.tracked_by)

    def _predict(self, model: Predictor, frames: list[Frame]) -> list[Output]:
        """A batch's outputs; where memory runs out the batch is halved, and stays so for this worker."""
        try:
            return model.predict(frames)
        except Exception as error:
            if not out_of_memory(error) or len(frames) == 1:
                raise
        _empty_device_cache()
        half = (len(frames) + 1) // 2
        self._batch_size = min(self._batch_size, half)
        return self._predict(model, frames[:half]) + self._predict(model, frames[half:])

    def _corrupted(self, unit: Unit, part: Part, coding: dict[str, dict[str, float]]) -> Iterator[_Batch]:
        """The shard's frames under the corruption at this part's severity, in batches of one frame size.

        What a codec made of the clips is added to `coding`.
        """
        if part.severity and find(unit.corruption).whole_clip:
            yield from self._streamed(unit, part, coding)
            return
        frames = unit.shard.frames
        for _, group in frames.groupby(["height_px", "width_px"], sort=False):
            places = group.index.tolist()
            while places:
                now, places = places[: self._batch_size], places[self._batch_size :]
                start = time.perf_counter()
                clean = self._cache.read(frames.iloc[now])
                decoded = time.perf_counter()
                images = clean if part.severity == 0 else self._corrupt(unit, part, frames.iloc[now], clean)
                yield _Batch(now, images, (decoded - start) * 1e3, (time.perf_counter() - decoded) * 1e3)

    def _corrupt(self, unit: Unit, part: Part, rows: pd.DataFrame, clean: list[Frame]) -> list[Frame]:
        try:
            corrupted = corrupt(
                self._on_device(np.stack(clean)),
                name=unit.corruption,
                **_strength(part),
                seed=self._params.run.seed,
                scale_to=self._params.scale_to,
                clips=rows["clip_id"].tolist(),
                first_frame=rows["frame_index"].tolist(),
            )
            return list(corrupted if isinstance(corrupted, np.ndarray) else corrupted.cpu().numpy())
        except Exception as error:
            if not out_of_memory(error) or len(clean) == 1:
                raise
        half = (len(clean) + 1) // 2
        return self._corrupt(unit, part, rows.iloc[:half], clean[:half]) + self._corrupt(
            unit, part, rows.iloc[half:], clean[half:]
        )

    def _on_device(self, frames: Frame) -> Any:
        """Corruptions run where the models do: on a GPU as tensors."""
        if not self._device.startswith("cuda"):
            return frames
        import torch

        return torch.from_numpy(frames).to(self._device)

    def _streamed(self, unit: Unit, part: Part, coding: dict[str, dict[str, float]]) -> Iterator[_Batch]:
        """Codecs see whole clips: each is streamed through, a batch in memory at a time."""
        for clip_id, clip in unit.shard.frames.groupby("clip_id", sort=False):
            spent = Stopwatch()
            stream = self._stream(unit, part, clip, spent, coding)
            places = clip.index.tolist()
            while places:
                start, decoded = time.perf_counter(), spent.ms
                images = [image for _, image in zip(range(self._batch_size), stream, strict=False)]
                if not images:
                    raise RuntimeError(f"{unit.corruption} gave {len(clip) - len(places)} of clip {clip_id}'s frames")
                now, places = places[: len(images)], places[len(images) :]
                decode_ms = spent.ms - decoded
                yield _Batch(now, images, decode_ms, (time.perf_counter() - start) * 1e3 - decode_ms)
            if next(stream, None) is not None:  # and what it records after the last frame
                raise RuntimeError(f"{unit.corruption} gave more frames than clip {clip_id} has")

    def _stream(
        self, unit: Unit, part: Part, clip: pd.DataFrame, spent: Stopwatch, coding: dict[str, dict[str, float]]
    ) -> Iterator[Frame]:
        """The frames of one clip under a corruption that sees whole clips; `spent` takes the time of decoding."""
        return iter(
            corrupt_stream(
                spent.watch(self._read_clip(clip)),
                name=unit.corruption,
                **_strength(part),
                seed=self._params.run.seed,
                scale_to=self._params.scale_to,
                clips=str(clip["clip_id"].iloc[0]),
                first_frame=int(clip["frame_index"].iloc[0]),
                record=lambda clip, facts: coding.setdefault(clip, {}).update(facts),
            )
        )

    def _read_clip(self, clip: pd.DataFrame) -> Iterator[Frame]:
        for start in range(0, len(clip), self._batch_size):
            yield from self._cache.read(clip.iloc[start : start + self._batch_size])

    def _seen(self, unit: Unit, part: Part, clip: pd.DataFrame) -> Iterator[Frame]:
        """What the model saw of a clip, made once more for a tracker that looks at frames."""
        if part.severity == 0:
            yield from self._read_clip(clip)
        elif find(unit.corruption).whole_clip:
            yield from self._stream(unit, part, clip, Stopwatch(), {})
        else:
            for start in range(0, len(clip), self._batch_size):
                rows = clip.iloc[start : start + self._batch_size]
                yield from self._corrupt(unit, part, rows, self._cache.read(rows))


def batch_size(params: Params, device: str) -> int:
    """Frames that a model is given at once, where memory allows it."""
    size = params.run.batch_size
    return BATCH_SIZE[device.split(":")[0]] if size == "auto" else size


def _strength(part: Part) -> dict[str, Any]:
    return {"severity": part.severity} if part.level is None else {"level": part.level}


def out_of_memory(error: Exception) -> bool:
    """NumPy's, torch's (CPU and CUDA) and onnxruntime's ways of saying it."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def _empty_device_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
