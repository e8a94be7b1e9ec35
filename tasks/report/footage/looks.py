"""What is shown of clips themselves: their most drifted frames, what the policy says to do, annotated videos."""

import base64
from collections.abc import Mapping
from typing import Final

from tasks.report import cards, wording
from tasks.report.footage.scan import Content, Scan

MOST_FRAMES: Final = 24
MOST_VIDEOS: Final = 12
"""Videos that can be played in the page; of more there are links."""

NOTHING_SEEN: Final = "nothing_seen"

ADVICE: Final[Mapping[str, str]] = {
    "act": "Act",
    "observe": "Observe",
    NOTHING_SEEN: "Nothing seen",
    "abstain": "Abstain",
    "fall_back": "Fall back",
}


def odd_frames(scan: Scan, pictures: cards.Pictures) -> list[Content]:
    """The most drifted frames, the oddest first."""
    found = [frame for frame in scan.frames if frame["kind"] == "drifted"]
    found.sort(key=lambda frame: -float(frame["drift"]))
    return [
        {
            **frame,
            "picture": pictures.use(frame["file"], frame["width"], frame["height"]),
            "clip": scan.clip(frame["clip_id"]),
            "at": f"{wording.number(frame['t_s'], 1)} s",
            "shown": wording.number(frame["drift"], 2),
            "why": wording.sentence(str(frame["why"])),
        }
        for frame in found[:MOST_FRAMES]
    ]


def decisions(scan: Scan) -> Content:
    """What the policy says of each clip: the share of its frames by advice, and how many boxes that rests on."""
    rows = scan.table("decisions")
    lines, totals = [], dict.fromkeys(ADVICE, 0)
    for clip_id in scan.scanned["clip_id"]:
        own = rows[rows["clip_id"] == clip_id]
        if own.empty:
            continue
        known = own.set_index("advice").to_dict("index")
        frames = {advice: int(known.get(advice, {}).get("n_frames", 0)) for advice in ADVICE}
        for advice, count in frames.items():
            totals[advice] += count
        cells = []
        for advice in ADVICE:
            share = known.get(advice, {}).get("share")
            boxes = int(known.get(advice, {}).get("n_boxes", 0))
            order = None if wording.absent(share) else float(share)
            told = f"{boxes:,} box{'' if boxes == 1 else 'es'}" if advice != NOTHING_SEEN else ""
            cells.append({"share": wording.percent(share), "order": order, "frames": frames[advice], "boxes": told})
        lines.append({"camera": str(own["camera"].iloc[0]), "clip": scan.clip(clip_id), "cells": cells})
    whole = sum(totals.values())
    told = ", ".join(
        f"{wording.percent(count / whole)} {ADVICE[name].lower()}" for name, count in totals.items() if whole
    )
    takeaway = f"Of {whole:,} frames: {told}." if whole else "No frame was judged."
    return {"heads": list(ADVICE.values()), "lines": lines, "takeaway": takeaway}


def videos(scan: Scan) -> Content:
    """The annotated clips that lie in clips/, with a picture of each where there is one."""
    pictures: dict[str, Content] = {}
    for frame in scan.frames:
        if frame["kind"] == "sample" or frame["clip_id"] not in pictures:
            pictures[frame["clip_id"]] = frame
    played: list[Content] = []
    linked: list[Content] = []
    for row in scan.scanned.to_dict("records"):
        clip_id = row["clip_id"]
        file = f"clips/{clip_id}.mp4"
        if not (scan.folder / file).is_file():
            continue
        told = {"file": file, "camera": row["camera"], "clip": scan.clip(clip_id)}
        told["seconds"] = wording.number(row["duration_s"], 1)
        if len(played) == MOST_VIDEOS:
            linked.append(told)
            continue
        width, height = row["width_px"], row["height_px"]
        told["size"] = None if wording.absent(width) else (int(width), int(height))
        picture = pictures.get(clip_id)
        data = None if picture is None else (scan.folder / picture["file"]).read_bytes()
        told["poster"] = None if data is None else f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
        played.append(told)
    return {"played": played, "linked": linked}
