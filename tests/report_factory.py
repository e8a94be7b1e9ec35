"""A made-up run for the report's tests: consistent tables for any number of models, corruptions, slices and pictures.

Curves fall as real ones do (clean value times an exponential whose rate depends on corruption and model); nothing here
is measured. Intervals are normal ones around the figure, p is the normal test of the same width, so that an interval
excludes zero where p is under 0.05, and only there; figures of fewer than `metrics.min_units` units have neither.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from tasks import tables
from tasks.layout import Layout, slug
from tasks.metrics.resampling import q_values
from tasks.params import Params, parse

FAMILIES: Mapping[str, Sequence[Any]] = {
    "blur": ["defocus_blur", "motion_blur"],
    "low_light": ["low_light"],
    "weather": ["fog", "rain", "snow"],
    "compression": ["jpeg_compression", {"h264": {"crf": [23, 30, 37, 44, 51]}}],
}
UNITS = {"low_light": "exposure_ev", "jpeg_compression": "quality", "h264": "crf", "defocus_blur": "radius_px"}
CODING = {
    "bitrate_kbps": {str(s): [900.0 / 2**s, 700.0 / 2**s, 1200.0 / 2**s] for s in range(1, 6)},
    "qp_mean": {str(s): [20.0 + 6 * s] * 3 for s in range(1, 6)},
}
SLICES = (
    *("camera=east", "camera=north", "camera=unseen", "time_of_day=day", "time_of_day=dusk", "time_of_day=night"),
    *("traffic=busy", "traffic=quiet"),
)
CLASSES = ("car", "bus", "cyclist", "pedestrian")
WORSE = "traffic=busy"
"""The slice on which later models lose."""
Z = 1.959964
"""The normal quantile of two-sided 95 %."""
HOSTILE = "</script><img src=x onerror=alert(1)>"
CLEAN = {"classification": 0.91, "detection": 0.52, "instance": 0.44, "semantic": 0.76, "tracking": 0.58}


def unit(*parts: object) -> float:
    """A number in 0..1 that belongs to `parts`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def params(
    models: Sequence[str] = ("crossing-v1", "crossing-v2"),
    *,
    corruptions: Mapping[str, Sequence[Any]] = FAMILIES,
    gates: Sequence[Mapping[str, Any]] = ({"metric": "map", "family": "weather", "severity": 3, "min": 0.25},),
    pictures: int = 40,
) -> Params:
    """Params of the made-up run; the first model is the baseline when there are several."""
    return parse(
        {
            "models": {name: {"adapter": "small", "weights": f"models/{name}.safetensors"} for name in models},
            "baseline": models[0] if len(models) > 1 else None,
            "corruptions": {family: list(names) for family, names in corruptions.items()},
            "gates": list(gates),
            "report": {"pictures": pictures},
        }
    )


def scores(
    run: Params,
    *,
    tasks: Sequence[str] = ("detection", "semantic", "tracking", "classification"),
    slices: Sequence[str] = SLICES,
    classes: Sequence[str] = CLASSES,
    failed: tuple[str, str, int] | None = None,
) -> pd.DataFrame:
    """The `scores` table of the made-up run; `failed` names a cell (model, corruption, severity) without a figure."""
    rows: list[dict[str, Any]] = []
    for task in tasks:
        absolute = {}
        for place, model in enumerate(run.models):
            own = _absolute(run, task, model, place, slices, classes, failed)
            absolute[model] = own
            rows += own
        if run.baseline is not None:
            keys = ("corruption", "family", "severity", "slice", "class", "metric")
            base = {tuple(row[k] for k in keys): row["value"] for row in absolute[run.baseline]}
            for model, own in absolute.items():
                made = [
                    {**row, "baseline": run.baseline, "value": row["value"] - base[tuple(row[k] for k in keys)]}
                    for row in own
                    if model != run.baseline and row["metric"] != "operating_threshold"
                ]
                rows += _tested(made)
    table = pd.DataFrame(rows, columns=tables.SCHEMAS["scores"].names)
    return table.astype(dict.fromkeys(("value", "low", "high", "p_value", "q_value"), float))


def _with_interval(row: dict[str, Any], least: int) -> dict[str, Any]:
    """A model's own figure, 0..1, with its interval."""
    value = row["value"]
    if math.isnan(value):
        return row
    if row["n_units"] < least:
        return {**row, "status": "insufficient"}
    half = Z * 0.35 * math.sqrt(max(value * (1 - value), 0.0) / row["n_units"])
    return {**row, "low": max(value - half, 0.0), "high": min(value + half, 1.0)}


def _tested(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Differences with interval and p, and q over the slices and classes of one figure."""
    found = []
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        row = {**row, "low": None, "high": None}
        found.append(row)
        if row["status"] == "ok":
            error = 0.09 * (0.5 + unit(row["slice"], row["class"], "error")) / math.sqrt(row["n_units"])
            row |= {"low": row["value"] - Z * error, "high": row["value"] + Z * error}
            row["p_value"] = math.erfc(abs(row["value"]) / error / math.sqrt(2))
            if (row["slice"], row["class"]) != (tables.ALL, tables.ALL):
                key = tuple(row[name] for name in ("corruption", "family", "severity", "metric"))
                families.setdefault(key, []).append(row)
    for lines in families.values():
        for row, q_value in zip(lines, q_values(row["p_value"] for row in lines), strict=True):
            row["q_value"] = q_value
    return found


def _absolute(
    run: Params, task: str, model: str, place: int, slices: Sequence[str], classes: Sequence[str], failed: Any
) -> list[dict[str, Any]]:
    rows = []
    lines = [(tables.ALL, tables.ALL)] + [(s, tables.ALL) for s in slices] + [(tables.ALL, c) for c in classes]
    for slice_, class_ in lines:
        units = 48 if slice_ == tables.ALL else 6 + int(40 * unit(slice_, "n"))
        blank = {
            **dict.fromkeys(tables.SCHEMAS["scores"].names),
            "model": model,
            "task": task,
            "slice": slice_,
            "class": class_,
            "metric": tables.HEADLINE[task],
            "n_units": units,
            "n_frames": 12 * units,
            "n_objects": 70 * units,
            "status": "ok",
        }
        hard = 0.75 + 0.4 * unit(slice_, class_)
        clean = CLEAN[task] * hard * (1 - 0.01 * place) if slice_ != tables.ALL else CLEAN[task] - 0.01 * place
        clean = round(min(clean, 0.99), 6)
        rows.append({**blank, "corruption": "clean", "family": "clean", "severity": 0, "value": clean})
        if task == "detection" and slice_ == class_ == tables.ALL:
            rows.append({**rows[-1], "metric": "operating_threshold", "value": 0.4})
        means = {}
        for choice in run.choices():
            values = []
            for severity in choice.severities(run.severities):
                gain = (0.05 + 0.1 * unit(choice.name, slice_)) * place * (-1 if slice_ == WORSE else 1)
                rate = 0.12 + 0.4 * unit(choice.name) - gain
                value = clean * float(np.exp(-max(rate, 0.02) * severity * (0.7 + 0.6 * unit(slice_, class_))))
                missing = failed == (model, choice.name, severity)
                values.append(float("nan") if missing else value)
                level = choice.levels[severity - 1] if choice.levels else _strength(choice.name, severity)
                rows.append(
                    {
                        **blank,
                        "corruption": choice.name,
                        "family": choice.family,
                        "severity": severity,
                        "strength": level,
                        "strength_unit": UNITS.get(choice.name, "strength"),
                        "value": values[-1],
                        "status": "failed" if missing else "ok",
                    }
                )
            means[choice.name] = (choice.family, float(np.mean(values)))
        groups = {(name, family): value for name, (family, value) in means.items()}
        for family in run.corruptions:
            groups[tables.ALL, family] = float(np.mean([v for f, v in means.values() if f == family]))
        groups[tables.ALL, tables.ALL] = float(np.mean([v for _, v in means.values()])) if means else float("nan")
        for (name, family), value in groups.items():
            status = "incomplete" if np.isnan(value) else "ok"
            summary = {**blank, "corruption": name, "family": family, "status": status}
            rows.append({**summary, "metric": "mpc", "value": value})
            rows.append({**summary, "metric": "rpc", "value": value / clean})
    return [
        row if row["metric"] == "operating_threshold" else _with_interval(row, run.metrics.min_units) for row in rows
    ]


def _strength(name: str, severity: int) -> float:
    return [25.0, 18.0, 15.0, 10.0, 7.0][severity - 1] if name == "jpeg_compression" else 1.5 * severity


def gates(
    run: Params,
    *,
    statuses: Sequence[str] = ("pass", "fail"),
    slice_: str = "camera=north",
    on_uncertain: str = "fail",
) -> pd.DataFrame:
    """Gate rows with the given statuses, as `tasks.gates.evaluate` would hand them over."""
    columns = [
        *("rule", "task", "metric", "model", "corruption", "family", "severity", "slice", "class", "observed"),
        *("threshold", "low", "high", "n_units", "status", "reason", "ships"),
    ]
    rows = [
        {
            "rule": f"map (detection) >= 0.25, rule {i}",
            "task": "detection",
            "metric": "map",
            "model": list(run.models)[-1],
            "corruption": "fog" if i % 2 else "all",
            "family": "weather" if i % 2 else "all",
            "severity": 3 if i % 2 else None,
            "slice": "all" if i % 2 else slice_,
            "class": "all",
            "observed": 0.2 + 0.01 * i,
            "threshold": 0.25,
            "low": 0.15 + 0.01 * i if i % 2 else None,
            "high": 0.25 + 0.01 * i if i % 2 else None,
            "n_units": 48,
            "status": status,
            "reason": f"mAP {0.2 + 0.01 * i:.3f}, at least 0.25 is asked for",
            "ships": status == "pass" or (status, on_uncertain) == ("uncertain", "pass"),
        }
        for i, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows, columns=columns).astype(
        dict.fromkeys(("observed", "low", "high"), float) | {"ships": bool}
    )


def card(name: str = "made-up junction") -> dict[str, Any]:
    """tables/card.json of the made-up run."""
    return {
        "name": name,
        "sources": [{"source": "rendered from a seed", "licence": "Apache-2.0"}],
        "label_policy": {"version": "1", "text": "boxes around what can be seen"},
        "splits": {"train": {"clips": 24, "frames": 960}, "test": {"clips": 48, "frames": 576}},
        "problems": [],
    }


FACTS = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": True,
    "device": "cpu: 2 cores",
    "date": "2026-11-21T06:00:00+00:00",
    "command": "stormglass publish",
    "versions": {"torch": "2.15.0"},
    "models": dict.fromkeys(("crossing-v1", "crossing-v2"), "small; frames as they are; boxes above 0.01"),
}


def gallery(run: Params, folder: Path, *, tasks: Sequence[str], frames: int = 2, class_name: str = "car") -> None:
    """gallery/ of the made-up run: pictures, gallery.parquet and about.json."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for choice in run.choices():
        for severity in (1, 3, 5):
            for frame in range(frames):
                _picture(folder / f"clean-{frame}.webp", frame, 0)
                _picture(folder / f"{slug(choice.name)}-{severity}-{frame}.webp", frame, severity)
                for task in tasks:
                    for model in run.models:
                        rows.append(_example(folder, choice, severity, frame, task, model, class_name))
    table = pd.DataFrame(rows, columns=tables.SCHEMAS["gallery"].names)
    tables.write("gallery", table, folder / "gallery.parquet")
    about = {
        "form": tables.GALLERY_FORM,
        "sampling": "Made up.",
        "match_iou": 0.5,
        "palette": [["road", "#5c5c66"], [class_name, "#cc3311"]],
        "palette_difference": [["right (dark)", "#1f2937", ""], ["confused (blue)", "#4ea3e0", "another class"]],
        "strip_frame": 0,
        "strip_size": [320, 192],
        "unreadable": {},
        "corruptions": [
            {
                "name": choice.name,
                "family": choice.family,
                "parameter": "level",
                "measure": "of nothing",
                "stage": "sensor",
                "version": 1,
                "temporal": "fresh",
                "moves_pixels": choice.name in ("snow", "rain"),
                "moves_truth": choice.name == "rain",
                "whole_clip": False,
                "source": "Made up.",
                "note": "",
                "coding": CODING if choice.name == "h264" else {},
                "levels": [[s, 1.0 * s, UNITS.get(choice.name)] for s in choice.severities(run.severities)],
                "strip": {str(s): f"{slug(choice.name)}-{s}-0.webp" for s in (1, 3, 5)},
            }
            for choice in run.choices()
        ],
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _example(folder: Path, choice: Any, severity: int, frame: int, task: str, model: str, name: str) -> dict[str, Any]:
    drawn: dict[str, Any] = {"rank": [frame + 1, 40]}
    maps: dict[str, str | None] = {}
    if task == "semantic":
        for kind in ("truth", "prediction", "difference"):
            maps[f"{kind}_file"] = f"{kind}-{frame}.webp"
            _picture(folder / f"{kind}-{frame}.webp", frame, 0, flat=True)
        drawn["difference"] = {"right (dark)": 0.62, "confused (blue)": 0.378, "missed (amber)": 0.002}
    elif task == "classification":
        drawn |= {"truth": name, "top": [[name, 0.7], ["green", 0.3]], "correct": True}
    else:
        box = {"box": [40.0 + 9 * frame, 60.0, 110.0, 120.0], "class": name, "id": 3}
        drawn |= {
            "truth": [{**box, "state": "matched"}, {**box, "box": [180.0, 70.0, 230.0, 130.0], "state": "missed"}],
            "prediction": [
                {**box, "score": 0.83, "state": "matched"},
                {**box, "box": [250.0, 20.0, 300.0, 60.0], "score": 0.51, "state": "false positive"},
            ],
            "threshold": 0.4,
        }
    return {
        **dict.fromkeys(tables.SCHEMAS["gallery"].names),
        "example_id": f"{model}/{task}/{choice.name}/{severity}/{frame}",
        "model": model,
        "task": task,
        "corruption": choice.name,
        "family": choice.family,
        "severity": severity,
        "strength": 1.0 * severity,
        "strength_unit": UNITS.get(choice.name),
        "frame_id": frame,
        "clip_id": "clip-000",
        "frame_index": frame,
        "pick": "worst" if frame == 0 else "random",
        "score": 0.1 * frame,
        "error_kind": "miss",
        "evidence": f"1 of 2 boxes of class {name} found.",
        "width_px": 320,
        "height_px": 192,
        "clean_file": f"clean-{frame}.webp",
        "corrupted_file": f"{slug(choice.name)}-{severity}-{frame}.webp",
        **maps,
        "overlay": json.dumps(drawn),
    }


def _picture(path: Path, frame: int, severity: int, *, flat: bool = False) -> None:
    if path.exists():
        return
    grey = 200 - 25 * severity
    image = Image.new("RGB", (320, 192), (grey, grey, 220) if not flat else (92, 92, 102))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 110, 320, 192), fill=(90, 90, 100))
    draw.rectangle((40 + 9 * frame, 60, 110, 120), fill=(190, 60, 40))
    draw.rectangle((180, 70, 230, 130), fill=(40, 90, 170))
    image.save(path, format="WEBP", quality=75)


def write(run: Params, layout: Layout, made: pd.DataFrame, *, class_name: str = "car", frames: int = 2) -> None:
    """Everything that `publish` reads, on disk."""
    tasks = sorted(set(made["task"]))
    tables.write("scores", made, layout.scores / "scores.parquet")
    gallery(run, layout.gallery, tasks=tasks, frames=frames, class_name=class_name)
    layout.tables.mkdir(parents=True, exist_ok=True)
    (layout.tables / "card.json").write_text(json.dumps(card(class_name)), encoding="utf-8")
    layout.state.mkdir(parents=True, exist_ok=True)
    layout.run_facts.write_text(json.dumps(FACTS), encoding="utf-8")
