"""Recorded predictions into parts: no model runs, no pixel is read."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tasks import tables
from tasks.inference.parts import Part, Plan
from tasks.inference.rows import Rows
from tasks.models import recorded
from tasks.models.outputs import Output


def take_recorded(work: Plan, *, done: Callable[[Part], None]) -> None:
    """Write what `work.recordings` names to the store, a file at a time; each is read to its end before the first part.

    Args:
        work: the plan; its units may track what is written here.
        done: hears of each part that needs no more.

    Raises:
        InputError: a file does not hold what it should.
    """
    for path, outputs in _read(work):
        for shard, part in work.recordings[path]:
            frame_ids = shard.frames["frame_id"].tolist()
            rows = Rows(frame_ids)
            rows.add(range(len(frame_ids)), [outputs.get(frame_id, recorded.NOTHING) for frame_id in frame_ids])
            work.store.put(part.detections, rows.table(), rows.timings(), part.detections_by)
            if part.tracked is None:
                done(part)


def check_recorded(work: Plan) -> None:
    """Read what `take_recorded` would read, and write nothing.

    Raises:
        InputError: as `take_recorded`.
    """
    for _ in _read(work):
        pass


def _read(work: Plan) -> Iterator[tuple[Path, dict[int, Output]]]:
    if not work.recordings:
        return
    frames = tables.read("frames", work.layout.tables / "frames.parquet")  # all splits: files may name any frame
    for path, parts in work.recordings.items():
        clips = list(dict.fromkeys(clip for shard, _ in parts for clip in shard.frames["clip_id"]))
        yield path, recorded.read(path, work.descriptions[parts[0][1].model], frames, clips)
