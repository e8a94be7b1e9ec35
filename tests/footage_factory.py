"""A made-up run folder of new footage: every table, pictures, history; nothing in it is measured.

The camera `east` is as the reference, `north` is in fog and its last clip is outside everything validated; a third has
a hostile name. One file was refused.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tasks import tables
from tests import report_factory
from tests.report_factory import HOSTILE

RUN = "20261122T031500Z"
CAMERAS = ("east", HOSTILE, "north")
INPUTS = ("brightness", "contrast", "haze", "noise", "sharpness")
OUTPUTS = ("boxes_per_frame", "class_share:car", "confidence_mean", "empty_share")
BANDS = {"brightness": (90.0, 130.0), "contrast": (40.0, 60.0), "haze": (0.05, 0.2), "noise": (1.0, 3.0)}
BANDS |= {"sharpness": (200.0, 600.0), "boxes_per_frame": (2.0, 6.0), "class_share:car": (0.4, 0.8)}
BANDS |= {"confidence_mean": (0.5, 0.7), "empty_share": (0.0, 0.1)}
FOGGED = {"contrast", "haze", "sharpness", "confidence_mean", "empty_share"}
"""Features that leave their band on the camera `north`."""
WINDOWS = 6


def clip_id(camera: int, place: int) -> str:
    return f"{camera:08x}{place:08x}"


def clips() -> pd.DataFrame:
    """Two clips of each camera, and a broken file."""
    rows: list[dict[str, Any]] = []
    for turn, camera in enumerate(CAMERAS):
        for place in range(2):
            name = f"{'<b>' if camera == HOSTILE else ''}{place}.mp4"
            rows.append(
                {
                    "run": RUN,
                    "clip_id": clip_id(turn, place),
                    "camera": camera,
                    "file": f"{camera}/{name}",
                    "bytes": 2_000_000 + place,
                    "received_utc": f"2026-11-22T03:0{place}:00Z",
                    "status": "ok",
                    "duration_s": 60.0,
                    "n_frames": 750,
                    "width_px": 320,
                    "height_px": 180,
                    "frame_rate": 12.5,
                    "codec": "h264",
                    "bitrate_kbps": 280.0,
                }
            )
    refused = rows[0] | {"clip_id": clip_id(9, 0), "file": "east/broken.mp4", "status": "quarantined"}
    refused |= {"reason": f"The video does not decode after frame 3: {HOSTILE}", "duration_s": None, "n_frames": None}
    refused |= {"width_px": None, "height_px": None, "frame_rate": None, "codec": None, "bitrate_kbps": None}
    found = pd.DataFrame([*rows, refused])
    whole = {"n_frames": "Int64", "width_px": "Int32", "height_px": "Int32"}
    return found.astype(whole).assign(reason=found["reason"].where(found["reason"].notna(), None))


def value(feature: str, camera: str, window: int) -> float:
    """In the middle of the band, and two widths above it on `north` where fog matters."""
    low, high = BANDS[feature]
    middle = low + (high - low) * (0.35 + 0.06 * window)
    return middle + 2 * (high - low) if camera == "north" and feature in FOGGED else middle


def windows(features: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "clip_id": clip_id(turn, place),
                "camera": camera,
                "t_s": 10.0 * window,
                "feature": feature,
                "value": value(feature, camera, window),
            }
            for turn, camera in enumerate(CAMERAS)
            for place in range(2)
            for window in range(WINDOWS)
            for feature in features
        ]
    )


def drift() -> pd.DataFrame:
    rows = []
    for camera in CAMERAS:
        for kind, features in (("input", INPUTS), ("output", OUTPUTS)):
            for feature in features:
                out = camera == "north" and feature in FOGGED
                for statistic, size in (("psi", 0.9), ("ks", 0.8), ("wasserstein", 12.0)):
                    rows.append(
                        {
                            "camera": camera,
                            "kind": kind,
                            "feature": feature,
                            "statistic": statistic,
                            "value": size if out else size / 20,
                            "p_value": 0.0005 if out else 0.6,
                            "q_value": 0.002 if out else 0.8,
                            "low": BANDS[feature][0],
                            "high": BANDS[feature][1],
                            "share_outside": 1.0 if out else 0.0,
                            "n": 2 * WINDOWS,
                            "status": "outside" if out else "inside",
                        }
                    )
    return pd.DataFrame(rows)


def forecast() -> pd.DataFrame:
    rows = []
    for turn, camera in enumerate(CAMERAS):
        for place in range(2):
            for metric, clean in (("map", 0.52), ("hota", 0.58)):
                expected = 0.6 * clean if camera == "north" else 0.97 * clean
                outside = camera == "north" and place == 1
                rows.append(
                    {
                        "clip_id": clip_id(turn, place),
                        "camera": camera,
                        "metric": metric,
                        "value": None if outside else expected,
                        "low": None if outside else expected - 0.06,
                        "high": None if outside else expected + 0.05,
                        "naive": clean,
                        "status": "outside_validated" if outside else "ok",
                        "note": "haze is far off" if outside else None,
                    }
                )
    return pd.DataFrame(rows)


def nearest() -> pd.DataFrame:
    rows = []
    for turn, camera in enumerate(CAMERAS):
        order = ["fog", "clean", "snow"] if camera == "north" else ["clean", "fog", "snow"]
        for place in range(2):
            for rank, corruption in enumerate(order, 1):
                rows.append(
                    {
                        "clip_id": clip_id(turn, place),
                        "camera": camera,
                        "rank": rank,
                        "corruption": corruption,
                        "severity": 0 if corruption == "clean" else 3,
                        "similarity": 1 - 0.3 * rank,
                        "distance": 0.8 * rank,
                    }
                )
    return pd.DataFrame(rows).astype({"rank": "int16", "severity": "int16"})


def validation() -> pd.DataFrame:
    row = {"validation": "held_out_clips", "metric": "map", "corruption": None, "n": 400, "error": 0.02}
    row |= {"naive_error": 0.11, "coverage": 0.89, "width": 0.1, "confidence": 0.9, "outside": 0.01, "named_first": 0.7}
    other = row | {"validation": "left_out_corruption", "error": 0.12, "coverage": 0.7, "named_first": None}
    return pd.DataFrame([row, other, other | {"corruption": "fog", "n": 40}])


def decisions() -> pd.DataFrame:
    shares = {"act": 0.4, "observe": 0.2, "nothing_seen": 0.2, "abstain": 0.15, "fall_back": 0.05}
    return pd.DataFrame(
        [
            {
                "clip_id": clip_id(turn, place),
                "camera": camera,
                "advice": advice,
                "n_frames": round(750 * share),
                "n_boxes": 0 if advice == "nothing_seen" else round(2000 * share),
                "share": share,
            }
            for turn, camera in enumerate(CAMERAS)
            for place in range(2)
            for advice, share in shares.items()
        ]
    )


def left() -> pd.DataFrame:
    rows = [("east/notes.txt", "not footage: its name ends in '.txt'", "2026-11-22T03:05:00Z")]
    rows += [(f"north/{HOSTILE}.mp4", "empty", "2026-11-22T03:06:00Z"), ("north/gone.mp4", "a link to nothing", None)]
    return pd.DataFrame(rows, columns=tables.SCHEMAS["footage_left"].names)


def history() -> pd.DataFrame:
    rows = []
    for place, run in enumerate(("20261122T024500Z", "20261122T030000Z", RUN)):
        for camera in CAMERAS:
            for signal, size in (("input_drift", 0.1), ("expected_map", 0.5)):
                rows.append(
                    {
                        "run": run,
                        "finished_utc": f"2026-11-22T0{2 + place // 2}:{(45 + 15 * place) % 60:02d}:40Z",
                        "camera": camera,
                        "signal": signal,
                        "value": size + 0.01 * place,
                    }
                )
    return pd.DataFrame(rows)


def alerts() -> dict[str, Any]:
    signal = {"name": "input_drift", "value": 0.55, "limit": 0.25, "evidence": f"haze, {HOSTILE}"}
    held = {**signal, "since_utc": "2026-11-22T03:00:00Z"}
    alert = {"schema": 1, "change": "raised", "camera": "north", "level": "review", "signals": [held], "added": []}
    alert |= {"text": f"north: input drift is at 0.55 ({HOSTILE})."}
    others = [{**signal, "camera": camera, "value": 0.1, "status": "ok"} for camera in CAMERAS[:2]]
    standing = [{"camera": "north", "level": "review", "since_utc": "2026-11-22T03:00:00Z", "signals": [held]}]
    return {
        "schema": 1,
        "run": RUN,
        "at_utc": "2026-11-22T03:15:09Z",
        "alerts": [alert],
        "raised": standing,
        "signals": [{**signal, "camera": "north", "status": "ok"}, *others],
    }


def webp(shade: int) -> bytes:
    ramp = np.linspace(shade, 255, 320 * 180, dtype=np.float64).reshape(180, 320)
    out = io.BytesIO()
    Image.fromarray(np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)).save(out, "WEBP", quality=60)
    return out.getvalue()


def write(folder: Path) -> Path:
    """The run folder, whole but for its page; where it lies."""
    run = folder / RUN
    (run / "frames").mkdir(parents=True)
    (run / "clips").mkdir()
    made = {
        "clips": ("footage_clips", clips()),
        "input": ("footage_input", windows(INPUTS)),
        "output": ("footage_output", windows(OUTPUTS)),
        "drift": ("footage_drift", drift()),
        "forecast": ("footage_forecast", forecast()),
        "nearest": ("footage_nearest", nearest()),
        "decisions": ("footage_decisions", decisions()),
        "validation": ("footage_validation", validation()),
        "left": ("footage_left", left()),
    }
    for name, (table, rows) in made.items():
        tables.write(table, rows, run / f"{name}.parquet")
    facts = {
        "run": RUN,
        "started_utc": "2026-11-22T03:15:00Z",
        "finished_utc": "2026-11-22T03:15:40Z",
        "model": "crossing-v2",
        "inbox": "footage/inbox",
        "scan_s": 40.2,
        "waiting_files": 2,
        "waiting_minutes": 12,
        "window_s": 10.0,
        "drift_window_s": 1.2,
        "against": {clip_id(2, 0): "Compared with its own first clips of 2026-11-20, which nobody has checked."},
        "reference": {"east": "Its own clean frames.", "north": "The whole validated run: the camera is not known."},
        "versions": {"stormglass": "0.1"},
    }
    (run / "run.json").write_text(json.dumps(facts))
    (run / "alerts.json").write_text(json.dumps(alerts()))
    frames = []
    for turn, camera in enumerate(CAMERAS):
        for place in range(2):
            frame = {"width": 320, "height": 180, "clip_id": clip_id(turn, place), "camera": camera, "t_s": 31.5}
            for kind in ("sample", "drifted") if camera == "north" else ("sample",):
                name = f"frames/{clip_id(turn, place)}-{kind}.webp"
                (run / name).write_bytes(webp(40 * turn + 10 * place))
                why = "haze 0.5 (band 0.05 to 0.2)" if kind == "drifted" else ""
                frames.append({**frame, "file": name, "kind": kind, "drift": 0.8 + 0.1 * place, "why": why})
            (run / f"clips/{clip_id(turn, place)}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (run / "frames.json").write_text(json.dumps({"frames": frames}))
    return run


def gallery(folder: Path) -> Path:
    """A gallery with the strip of fog."""
    report_factory.gallery(report_factory.params(), folder, tasks=["detection"])
    return folder
