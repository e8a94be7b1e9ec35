"""One run folder of new footage, read: its tables, what is said of it in JSON, and how clips and cameras are called."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.errors import InputError

Content = dict[str, Any]

MEASURED: Final[Mapping[str, str]] = {
    "input": "footage_input",
    "output": "footage_output",
    "drift": "footage_drift",
    "forecast": "footage_forecast",
    "nearest": "footage_nearest",
    "decisions": "footage_decisions",
    "validation": "footage_validation",
    "left": "footage_left",
}
"""File -> table: what a scan may have measured; a file that is not there leaves its section without figures."""

INBOX: Final = "*"
"""In the place of a camera in alerts: the inbox as a whole."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What a run folder holds.

    Attributes:
        folder: the run folder.
        facts: run.json.
        clips: the table `footage_clips`.
        measured: the tables of `MEASURED` that are there.
        alerts: alerts.json; empty without one.
        frames: of frames.json, those whose picture is there.
        names: clip_id -> what a reader calls the clip: its file's place below its camera.
    """

    folder: Path
    facts: Content
    clips: pd.DataFrame
    measured: Mapping[str, pd.DataFrame]
    alerts: Content
    frames: list[Content]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def scanned(self) -> pd.DataFrame:
        """The rows of the clips that were measured."""
        return self.clips[self.clips["status"] == "ok"]

    @property
    def cameras(self) -> list[str]:
        """Cameras with measured clips, in the order of their names."""
        return sorted(set(self.scanned["camera"]))

    def table(self, name: str) -> pd.DataFrame:
        """One of `MEASURED`, without rows where the scan has none."""
        empty = pd.DataFrame(columns=tables.SCHEMAS[MEASURED[name]].names)
        return self.measured.get(name, empty)

    def clip(self, clip_id: str) -> str:
        """What a reader calls a clip."""
        return self.names.get(clip_id, clip_id)


def read(folder: Path) -> Scan:
    """Read a run folder.

    Raises:
        InputError: run.json or clips.parquet is missing, or a file is not what it should be.
    """
    clips = tables.read("footage_clips", folder / "clips.parquet")
    measured = {
        name: tables.read(table, folder / f"{name}.parquet")
        for name, table in MEASURED.items()
        if (folder / f"{name}.parquet").exists()
    }
    frames = _json(folder / "frames.json").get("frames", []) if (folder / "frames.json").exists() else []
    return Scan(
        folder=folder,
        facts=_json(folder / "run.json"),
        clips=clips.sort_values(["camera", "received_utc", "file"], kind="stable", ignore_index=True),
        measured=measured,
        alerts=_json(folder / "alerts.json") if (folder / "alerts.json").exists() else {},
        frames=[frame for frame in frames if (folder / frame["file"]).is_file()],
        names=_names(clips),
    )


def _json(path: Path) -> Content:
    if not path.is_file():
        raise InputError(f"Expected {path.name} at {path}, found no file: the scan that writes it has not finished.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not readable JSON ({error}): scan again.") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected an object with named values, got {type(found).__name__}: scan again.")
    return found


def _names(clips: pd.DataFrame) -> dict[str, str]:
    return {row["clip_id"]: str(row["file"]).removeprefix(f"{row['camera']}/") for row in clips.to_dict("records")}
