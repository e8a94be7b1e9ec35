"""Where a run keeps its files: every path that one stage writes and another reads."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


def slug(name: str) -> str:
    """A corruption's name, which may be put together of several, as part of a path or an HTML id.

    Where letters are lost (those of a package of somebody else may be any), a part of a hash keeps names apart.

    Example:
        >>> slug("low_light 2 + rain during 4:8"), slug("fog"), slug("brume é"), slug("brume è")
        ('low_light.2..rain.during.4.8', 'fog', 'brume._-71a844a0', 'brume._-342227d2')
    """
    spaced = name.replace(" + ", "..").replace(" ", ".").replace(":", ".")
    kept = re.sub(r"[^A-Za-z0-9_.-]", "_", spaced)
    return kept if kept == spaced else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Layout:
    """The folders of one run below `root` (the project folder for `dvc repro`, `--out` for `stormglass run`)."""

    root: Path

    @property
    def tables(self) -> Path:
        """`prepare` writes frames, objects, semantic, quality and classes (Parquet) and card.json here."""
        return self.root / "tables"

    @property
    def predictions(self) -> Path:
        """`infer` links the parts that params name here, beside cells.parquet, which lists them."""
        return self.root / "predictions"

    @property
    def latency(self) -> Path:
        """`infer` writes latency.parquet here: beside predictions/, so that measuring again makes no score stale."""
        return self.root / "latency"

    @property
    def scores(self) -> Path:
        """`score` writes scores.parquet and examples.parquet here."""
        return self.root / "scores"

    @property
    def realtime(self) -> Path:
        """`realtime` writes realtime.parquet here: rows like those of scores that rest on the latency, too."""
        return self.root / "realtime"

    @property
    def gallery(self) -> Path:
        """`gallery` writes gallery.parquet, the pictures it names and the corruption strips here."""
        return self.root / "gallery"

    @property
    def reports(self) -> Path:
        """`publish` writes the page and its small companions here."""
        return self.root / "reports"

    @property
    def state(self) -> Path:
        """Facts and scratch that no digest sees: run.json, Prefect's home. Never tracked."""
        return self.root / ".stormglass"

    @property
    def run_facts(self) -> Path:
        """run.json: commit, device, versions, date, command."""
        return self.state / "run.json"
