"""One worker's bench: its models and the work on one unit."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import models
from tasks.errors import InputError
from tasks.inference import batches, looks
from tasks.inference.batches import out_of_memory
from tasks.inference.feed import Batch, Feed
from tasks.inference.looks import Eye, Look
from tasks.inference.overlap import ahead
from tasks.inference.parts import Part, Unit
from tasks.inference.rows import Rows, with_tracks
from tasks.models import Execution, recorded
from tasks.models.outputs import Output, Predictor
from tasks.models.tracking import looks_at_frames
from tasks.params import Params
from tasks.store import Store

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
    """A part or look that could not be made. `mistake`: the input is at fault, trying again would not help."""

    part: Part | Look
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


class Bench:
    """Models and readers of one worker, kept from unit to unit."""

    def __init__(self, spec: Spec, device: str) -> None:
        """Load the models.

        Raises:
            InputError: weights that do not fit, or a device that is not there.
        """
        self._params = spec.params
        self._store = Store(spec.store)
        self._feed = Feed(spec.params, device)
        # Elsewhere the cores are taken by as many workers, and a thread more in each only comes in between.
        self._overlaps = device.startswith("cuda")
        self._models: dict[str, Predictor] = {}
        self._broken: dict[str, str] = {}
        for name in spec.names:
            if spec.params.models[name].adapter == recorded.NAME:  # its boxes are stored, only tracking is left
                self._broken[name] = "its recorded predictions left the store: run `stormglass infer` again"
                continue
            try:
                self._models[name] = models.load(
                    spec.params.models[name],
                    folder=spec.params.folder,
                    device=device,
                    threads=1,
                    execution=Execution.of(spec.params.run),
                )
            except InputError as error:
                raise InputError(f"models.{name}: {error}") from None
            except Exception as error:  # one model that cannot start leaves the others their work
                self._broken[name] = _Wrong.of(error, "the model could not be loaded: ").message

    def work(self, unit: Unit, done: Callable[[Part], None]) -> list[Failure]:
        """Make every part and look of `unit` that the store does not hold; `done` hears of each part that is there.

        Returns:
            The parts and looks that could not be made; the others are in the store.
        """
        self._feed.open(unit.shard)
        failures: list[Failure] = []
        for severity in unit.severities:
            parts = [part for part in unit.parts if part.severity == severity]
            look = next((look for look in unit.looks if look.severity == severity), None)
            failed = self._infer(unit, [part for part in parts if not self._store.has(part.detections)], look)
            if look is not None and (unseen := failed.get(look.key)) is not None:
                failures.append(Failure(look, unseen.message, unseen.mistake))
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

    def _infer(self, unit: Unit, parts: Sequence[Part], look: Look | None) -> dict[str, "_Wrong"]:
        """Store the detections of `parts`, all of one severity, and the look at it; what went wrong by their key."""
        failed = {p.detections: _Wrong(self._broken[p.model], False) for p in parts if p.model in self._broken}
        alive = {part.detections: part for part in parts if part.detections not in failed}
        rows = {key: Rows(unit.shard.frames["frame_id"].tolist()) for key in alive}
        coding: dict[str, dict[str, float]] = {}
        if not alive and look is None:
            return failed
        eye = None if look is None else Eye(look)
        only = None if alive or look is None else frozenset(look.places)  # no model is waiting: the sampled frames do
        try:
            if alive and self._overlaps:
                self._feed.fit(self._models.values())
            made = self._feed.batches(unit.corruption, look or parts[0], coding, only)
            made = made if eye is None else _seen_by(eye, made)
            for batch in ahead(made) if self._overlaps else made:
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
                    if eye is not None:
                        stages_ms["features"] = batch.features_ms
                    rows[key].add(batch.places, outputs)
                    rows[key].time(batch.places, stages_ms)
                if not alive and eye is None:
                    break
        except Exception as error:
            lost = [*alive] if look is None else [*alive, look.key]
            return failed | dict.fromkeys(lost, _Wrong.of(error))
        if look is not None and eye is not None:
            self._store.keep(looks.TABLE, look.key, eye.table(unit.shard.frames))
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
        images = partial(self._feed.clip, unit.corruption, part) if looks_at_frames(tracker) else None
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
        batches.empty_device_cache()
        half = (len(frames) + 1) // 2
        self._feed.most(half)
        return self._predict(model, frames[:half]) + self._predict(model, frames[half:])


def _seen_by(eye: Eye, made: Iterator[Batch]) -> Iterator[Batch]:
    for batch in made:
        start = time.perf_counter()
        eye.see(batch.places, batch.frames)
        yield replace(batch, features_ms=(time.perf_counter() - start) * 1e3)
