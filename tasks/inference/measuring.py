"""What a frame costs one model: stage by stage, one frame at a time; then frames/s in batches, and memory."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import models, tables
from tasks.corruptions import corrupt_stream
from tasks.data.frames import FrameReader
from tasks.inference.batches import fitting, out_of_memory
from tasks.inference.facts import device_name
from tasks.inference.rows import Rows, followed
from tasks.models import Execution
from tasks.models.outputs import Output, watched
from tasks.models.tracking import ClipTracker, looks_at_frames
from tasks.params import Params

WARM_UP: Final = 8
"""Frames before those that count: libraries load and choose their kernels in the first few."""

RUN: Final = 32
"""At most so many frames of one clip, from its start, so that a tracker has something to follow."""

BATCHES: Final = 10
"""Timed for frames/s, of as many frames as they take, over again where there are too few: enough for an interval."""

SCENES: Final = 5
"""The most crowded frames, as many as the page shows of each model."""

LEAD: Final = 7
"""Frames before a crowded one, so that the tracker has something to follow there; they do not count."""

MB: Final = 1e6
"""Bytes."""

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """A cell of the run: clean frames, or a corruption of them by severity or the user's own level."""

    corruption: str = tables.CLEAN
    family: str = tables.CLEAN
    severity: int = 0
    level: float | None = None


@dataclass(frozen=True)
class Spec:
    """What is to be measured; travels to a process of its own.

    Attributes:
        name: of the model.
        frames: rows of the table `frames`, as `spread` chooses them.
        places: the cells; clean comes first.
        scenes: rows of `frames`, the crowded frame last, as `crowded` chooses them.
        batch_size: for frames/s; None: as many as fit into the device's memory.
    """

    params: Params
    name: str
    frames: pd.DataFrame
    places: tuple[Place, ...]
    device: str
    threads: int
    batch_size: int | None
    scenes: tuple[pd.DataFrame, ...] = ()


def spread(frames: pd.DataFrame, count: int) -> pd.DataFrame:
    """About `count` frames: the starts of clips that lie evenly in the data set, consecutive frames of each.

    Args:
        frames: the scored rows of the table `frames`.
        count: how many; fewer where there are no more.
    """
    clips = [clip for _, clip in frames.groupby("clip_id", sort=False)]
    longest = max(RUN, math.ceil(count / len(clips)))
    starts = [clip.iloc[:longest] for clip in clips]
    needed = min(len(starts), math.ceil(count * len(starts) / sum(map(len, starts))))
    chosen = np.unique(np.linspace(0, len(starts) - 1, needed).round().astype(int))
    found: pd.DataFrame = pd.concat([starts[at] for at in chosen], ignore_index=True)
    return found


def crowded(frames: pd.DataFrame, quality: pd.DataFrame, *, count: int = SCENES) -> tuple[pd.DataFrame, ...]:
    """The frames with the most annotated objects, each after at most LEAD frames that come before it in its clip.

    No two of them share a frame, so that a long crowd is one scene. Of frames as crowded as each other the earlier.

    Args:
        frames: the scored rows of the table `frames`, each clip's together and in order.
        quality: the table `quality`, whose `crowding` counts objects.
        count: how many; fewer where other frames show nothing.
    """
    rows = frames.reset_index(drop=True)
    objects = rows["frame_id"].map(quality.set_index("frame_id")["crowding"]).fillna(0).to_numpy(int)
    within = rows.groupby("clip_id", sort=False).cumcount().to_numpy()
    taken = np.zeros(len(rows), dtype=bool)
    scenes: list[pd.DataFrame] = []
    for at in np.argsort(-objects, kind="stable"):
        first = int(at) - min(LEAD, int(within[at]))
        if len(scenes) == count or not objects[at]:
            break
        if not taken[first : at + 1].any():
            taken[first : at + 1] = True
            scenes.append(rows.iloc[first : at + 1])
    return tuple(scenes)


class Clock:
    """Where time goes: at every moment one stage runs, or none ("idle").

    On a GPU the device is waited for at every change, so that its work counts where it was asked for.
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        """`wait` returns when the device is done."""
        self._wait = wait
        self.ms: dict[str, float] = {}
        self._stage, self._since = "idle", self._now()

    def switch(self, stage: str) -> None:
        """From here on `stage` runs; the one before is added to `ms`."""
        now = self._now()
        self.ms[self._stage] = self.ms.get(self._stage, 0.0) + (now - self._since) * 1e3
        self._stage, self._since = stage, now

    def _now(self) -> float:
        self._wait()
        return time.perf_counter()


def measure(spec: Spec) -> pd.DataFrame:
    """The table `latency` of one model. To be called in a fresh process, whose memory is then the model's.

    Raises:
        InputError: the model cannot be loaded, or a frame cannot be read.
    """
    return _Measuring(spec).table()


class _Measuring:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._reader = FrameReader(spec.params.resolve(spec.params.dataset.path))
        self._wait, self._taken_mb = _device(spec.device)
        self._model = spec.params.models[spec.name]
        with contextlib.suppress(OSError):  # forget the peak of the imports, where the system lets us
            Path("/proc/self/clear_refs").write_text("5")
        self._before_mb = _memory_mb("VmRSS")
        self._predictor = models.load(
            self._model,
            folder=spec.params.folder,
            device=spec.device,
            threads=spec.threads,
            execution=Execution.of(spec.params.run),
        )
        self._rows: list[dict[str, Any]] = []

    def table(self) -> pd.DataFrame:
        frames = self._spec.frames
        for _ in self._clip(frames.iloc[np.arange(WARM_UP) % len(frames)], Place()):
            pass
        for place in self._spec.places:
            wall, busy = time.perf_counter(), time.process_time()
            for _, clip in frames.groupby("clip_id", sort=False):
                for at, (row, facts) in enumerate(self._clip(clip, place)):
                    # A video is opened, and its decoder filled, with the first frame; in deployment it stays open.
                    if at or pd.isna(row["source_index"]):
                        for fact, value in facts.items():
                            self._add(place, fact, value, frame_id=int(row["frame_id"]))
            if place.severity == 0:
                share = (time.process_time() - busy) / (time.perf_counter() - wall)
                self._add(place, "cpu_share", share)
                self._add(place, "peak_memory_mb", _memory_mb("VmHWM") - self._before_mb)
                self._add(place, "process_memory_mb", _memory_mb("VmHWM"))
                if self._spec.device.startswith("cuda"):
                    self._add(place, "peak_device_memory_mb", self._taken_mb())
        for scene in self._spec.scenes:
            *_, (row, facts) = self._clip(scene, Place())
            if len(scene) > 1 or pd.isna(row["source_index"]):
                for fact, value in facts.items():
                    self._add(Place(tables.CROWDED), fact, value, frame_id=int(row["frame_id"]))
        size, batches = self._batches(self._spec.batch_size or self._fitting())
        for ms in batches:
            self._add(Place(), "batch_ms", ms, batch_size=size)
        device = device_name(self._spec.device)
        same = {"model": self._spec.name, "device": device, "threads": self._spec.threads, "status": "ok", "note": None}
        return pd.DataFrame([{**row, **same} for row in self._rows], columns=tables.SCHEMAS["latency"].names)

    def _add(self, place: Place, fact: str, value: float, *, frame_id: int | None = None, batch_size: int = 1) -> None:
        where = {"corruption": place.corruption, "family": place.family, "severity": place.severity}
        self._rows.append({**where, "batch_size": batch_size, "frame_id": frame_id, "fact": fact, "value": value})

    def _clip(self, clip: pd.DataFrame, place: Place) -> Iterator[tuple[pd.Series, dict[str, float]]]:
        """Each frame of a clip in order, as a deployed model would meet them, with its facts."""
        tracker = None if self._model.tracker is None else ClipTracker(self._model.tracker)
        shown = self._corrupted(clip, place)
        for at in range(len(clip)):
            rows = clip.iloc[at : at + 1]
            yield rows.iloc[0], self._frame(rows, None if shown is None else next(shown), tracker)

    def _frame(self, rows: pd.DataFrame, corrupted: Frame | None, tracker: ClipTracker | None) -> dict[str, float]:
        self._wait()
        start = time.perf_counter()  # beside the clock: what its stages have to add up to
        clock = Clock(self._wait)
        clock.switch("decode")
        (image,) = self._reader.read(rows)
        image = image if corrupted is None else corrupted
        clock.switch("unsaid")
        with watched(clock.switch):
            (output,) = self._predictor.predict([image])
        if tracker is not None:
            clock.switch("track")
            self._track(tracker, output, image)
        clock.switch("output")
        made = Rows(rows["frame_id"].tolist())
        made.add([0], [output])
        clock.switch("idle")
        wall_ms = (time.perf_counter() - start) * 1e3
        unsaid = clock.ms.pop("unsaid")
        stage = "preprocess" if "infer" in clock.ms else "infer"
        clock.ms[stage] = clock.ms.get(stage, 0.0) + unsaid
        return {**{f"{stage}_ms": ms for stage, ms in clock.ms.items()}, "wall_ms": wall_ms} | {
            "detections": float(len(output.scores))
        }

    def _track(self, tracker: ClipTracker, output: Output, image: Frame) -> None:
        settings = self._model.tracker
        assert settings is not None
        boxes = followed(output, settings, size=image.shape[:2])
        seen = image if looks_at_frames(settings) else None
        tracker.update((boxes, output.scores.astype(np.float32), output.class_ids), seen)

    def _corrupted(self, clip: pd.DataFrame, place: Place) -> Iterator[Frame] | None:
        """The frames as corrupted, made before the clock runs: what corrupts frames is no part of a deployment."""
        if place.severity == 0:
            return None
        made = corrupt_stream(
            iter(self._reader.read(clip)),
            name=place.corruption,
            **({"severity": place.severity} if place.level is None else {"level": place.level}),
            seed=self._spec.params.run.seed,
            scale_to=self._spec.params.scale_to,
            clips=str(clip["clip_id"].iloc[0]),
            first_frame=int(clip["frame_index"].iloc[0]),
        )
        return iter(list(made))

    def _fitting(self) -> int:
        """How many of the largest frames the device takes at once."""
        frames = self._spec.frames
        largest = int((frames["height_px"].astype(int) * frames["width_px"].astype(int)).to_numpy().argmax())
        (image,) = self._reader.read(frames.iloc[largest : largest + 1])
        return fitting([self._predictor], image, self._spec.device)

    def _batches(self, size: int) -> tuple[int, list[float]]:
        """Milliseconds of each batch of decoded frames, after one that does not count; where memory runs out they are
        of half the size.
        """
        frames = self._spec.frames
        times = []
        try:
            for batch in range(1 + BATCHES):
                images = self._reader.read(frames.iloc[np.arange(batch * size, (batch + 1) * size) % len(frames)])
                self._wait()
                start = time.perf_counter()
                self._predictor.predict(images)
                self._wait()
                times.append((time.perf_counter() - start) * 1e3)
        except Exception as error:
            if not out_of_memory(error) or size == 1:
                raise
            return self._batches((size + 1) // 2)
        return size, times[1:]


def _memory_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (the peak) of this process. `getrusage` would tell the peak of the one that forked it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024 / MB


def _device(device: str) -> tuple[Callable[[], None], Callable[[], float]]:
    """What waits for the device, and what tells the MB that it has given away since now.

    The allocators of torch and onnxruntime keep what they once took: what is gone at the end was the peak.
    """
    if not device.startswith("cuda"):
        return lambda: None, lambda: 0.0
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return (
        lambda: torch.cuda.synchronize(device),
        lambda: (free - torch.cuda.mem_get_info(device)[0]) / MB,
    )
