"""What a run leaves: exactly the parts that params name, linked into predictions/, and a table of every cell."""

import json
import logging
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tasks import tables
from tasks.corruptions import displacement, find
from tasks.displacement import FILE, WAVE
from tasks.inference import looks
from tasks.inference.parts import Plan
from tasks.inference.planning import levels_of
from tasks.layout import slug

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failed:
    """One part that is missing from the run."""

    model: str
    corruption: str
    severity: int
    shard: str
    message: str

    def __str__(self) -> str:
        return f"{self.model} under {self.corruption} {self.severity}, {self.shard}: {self.message}"


def link(plan: Plan) -> list[Failed]:
    """Write predictions/, whole or not at all: the parts, cells, coding, displacement, quality, and models.json.

    Returns:
        The parts that are missing; their rows of `cells` carry the status `failed`.
    """
    layout = plan.layout
    layout.state.mkdir(parents=True, exist_ok=True)
    for left in layout.state.glob("predictions-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was killed here
    building = layout.state / f"predictions-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        building.mkdir()
        failed = _fill(plan, building)
        swap(building, layout.predictions)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return failed


def swap(new: Path, place: Path) -> None:
    """Put the folder `new` where `place` is; what was there before is deleted."""
    old = new.with_name(f"{new.name}-old")
    if place.exists():
        shutil.move(place, old)
    shutil.move(new, place)
    shutil.rmtree(old, ignore_errors=True)


def _fill(plan: Plan, folder: Path) -> list[Failed]:
    rows, failed = [], []
    for cell in plan.cells:
        part = cell.part
        file = f"{part.model}/{slug(cell.corruption)}/{part.severity}/{cell.shard}.parquet"
        status, message = cell.absent or ("ok", None)
        if cell.absent is None:
            try:
                plan.store.link(part.key, folder / file)
            except OSError as error:  # not there, or found damaged
                missing = isinstance(error, FileNotFoundError)
                status = "failed"
                message = plan.messages.get(part.key, "was not computed" if missing else str(error))
        if status == "failed":
            failed.append(Failed(part.model, cell.corruption, part.severity, cell.shard, str(message)))
        rows.append(
            {
                "model": part.model,
                "corruption": cell.corruption,
                "family": cell.family,
                "severity": part.severity,
                "strength": cell.strength,
                "strength_unit": cell.strength_unit,
                "shard": cell.shard,
                "part": file if status == "ok" else None,
                "status": status,
                "message": message,
            }
        )
    cells = pd.DataFrame(rows)
    cells["strength"] = cells["strength"].astype("float64")
    corruptions = list(dict.fromkeys(cells["corruption"]))
    order = {"model": list(plan.params.models), "corruption": corruptions}
    cells = cells.sort_values(
        ["model", "corruption", "severity", "shard"],
        key=lambda column: column.map(order[column.name].index) if column.name in order else column,
        kind="stable",
    )
    tables.write("cells", cells, folder / "cells.parquet")
    tables.write("coding", _coding(plan), folder / "coding.parquet")
    tables.write("displacement", _displacement(plan), folder / FILE)
    tables.write("cell_quality", _quality(plan), folder / "quality.parquet")
    described = {
        name: {**plan.descriptions[name], "fingerprint": plan.fingerprints[name]} for name in plan.params.models
    }
    (folder / "models.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return failed


def _coding(plan: Plan) -> pd.DataFrame:
    """What codecs made of the clips, by the first model of each cell whose part knows: it is the same for all."""
    rows: dict[tuple[str, int, str], list[dict[str, object]]] = {}
    for cell in plan.cells:
        place = cell.corruption, cell.part.severity, cell.shard
        if cell.part.severity and place not in rows and find(cell.corruption).whole_clip:
            found = [
                {
                    "corruption": cell.corruption,
                    "family": cell.family,
                    "severity": cell.part.severity,
                    "clip_id": clip,
                    "fact": fact,
                    "value": float(value),
                }
                for clip, facts in sorted(plan.store.coding(cell.part.detections).items())
                for fact, value in facts.items()
            ]
            if found:
                rows[place] = found
    return pd.DataFrame([row for found in rows.values() for row in found], columns=tables.SCHEMAS["coding"].names)


def _displacement(plan: Plan) -> pd.DataFrame:
    """By which waves frames are displaced, of the corruptions that say so: what the truth follows when it is scored."""
    params = plan.params
    moving = [choice for choice in params.choices() if find(choice.name).moves_truth]
    rows: list[dict[str, object]] = []
    frames = tables.read("frames", plan.layout.tables / "frames.parquet") if moving else pd.DataFrame()
    for choice in moving:
        scored = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
        for severity, level in levels_of(choice, params):
            for _, own in scored.groupby(["clip_id", "height_px", "width_px"], sort=False):
                first = own.iloc[0]
                waves = displacement(
                    name=choice.name,
                    severity=severity if level is None else None,
                    level=level,
                    seed=params.run.seed,
                    clip=str(first["clip_id"]),
                    indices=own["frame_index"].tolist(),
                    size=(int(first["height_px"]), int(first["width_px"])),
                    scale_to=params.scale_to,
                )
                place = {"corruption": choice.name, "family": choice.family, "severity": severity}
                ids = own["frame_id"].tolist()
                rows += [{**place, "frame_id": ids[at], **dict(zip(WAVE, wave, strict=True))} for at, wave in waves]
    return pd.DataFrame(rows, columns=tables.SCHEMAS["displacement"].names)


def _quality(plan: Plan) -> pd.DataFrame:
    """What sampled frames of every cell look like, by corruption as params name them; the log says what is lacking."""
    columns = tables.SCHEMAS["cell_quality"].names
    corruptions = list(dict.fromkeys(choice.name for choice, _, _ in plan.looks))
    seen, cells, lacking = [], [], []
    for choice, shard, look in sorted(plan.looks, key=lambda item: (corruptions.index(item[0].name), item[2].severity)):
        rows = plan.store.kept_arrow(looks.TABLE, look.key)
        if rows is None:
            lacking.append(
                f"{choice.name} {look.severity}, {shard.name}: {plan.messages.get(look.key, 'not measured')}"
            )
            continue
        seen.append(rows)
        cells += [(choice.name, choice.family, look.severity)] * rows.num_rows
    if lacking:
        LOGGER.warning("predictions/quality.parquet lacks %d looks at cells, such as %s", len(lacking), lacking[0])
    if not seen:
        return pd.DataFrame(columns=columns)
    found = tables.from_arrow(looks.TABLE, pa.concat_tables(seen))
    found[["corruption", "family", "severity"]] = cells
    frames = pd.concat([shard.frames for shard in {shard.digest: shard for _, shard, _ in plan.looks}.values()])
    of = frames.drop_duplicates("frame_id").set_index("frame_id")
    found["clip_id"] = of["clip_id"].loc[found["frame_id"]].to_numpy()
    found["camera"] = of["camera"].loc[found["frame_id"]].to_numpy() if "camera" in of else None
    ordered: pd.DataFrame = found[columns]
    return ordered
