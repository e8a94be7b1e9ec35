"""What each clip looks like: a frame of it beside the corruption of the validated run that it is nearest to."""

from collections.abc import Mapping
from typing import Final

from tasks import terms
from tasks.report import cards, wording
from tasks.report.footage.scan import Content, Scan

MOST_CARDS: Final = 24
"""Clips whose frame is shown beside its nearest corruption; the others are in the table."""


def nearest(scan: Scan, pictures: cards.Pictures, gallery: Mapping[tuple[str, int], tuple[str, int, int]]) -> Content:
    """What each clip looks like: its frame beside the picture of its nearest corruption, and the five nearest.

    Args:
        scan: the run.
        pictures: of the page.
        gallery: (corruption, severity) -> picture file, width, height, of the validated run's strips.
    """
    samples: dict[str, Content] = {}
    for frame in scan.frames:
        if frame["kind"] == "sample" or frame["clip_id"] not in samples:
            samples[frame["clip_id"]] = frame
    rows = scan.table("nearest")
    lines: list[Content] = []
    shown: list[Content] = []
    for clip_id in scan.scanned["clip_id"]:
        own = rows[rows["clip_id"] == clip_id].sort_values("rank")
        if own.empty:
            continue
        ranks = [
            {
                "name": terms.cell(row["corruption"], row["severity"]),
                "similarity": wording.number(row["similarity"], 2),
                "share": f"{min(max(float(row['similarity']), 0.0), 1.0):.3f}",
                "distance": wording.number(row["distance"], 2),
            }
            for row in own.to_dict("records")
        ]
        camera, first = str(own["camera"].iloc[0]), own.iloc[0]
        lines.append({"camera": camera, "clip": scan.clip(clip_id), "ranks": ranks})
        if len(shown) >= MOST_CARDS:
            continue
        panels = []
        if clip_id in samples:
            frame = samples[clip_id]
            picture = pictures.use(frame["file"], frame["width"], frame["height"])
            at = f"{wording.number(frame['t_s'], 1)} s"
            panels.append(_panel(picture, frame["width"], frame["height"], f"This clip at {at}"))
        severity, known = _closest(gallery, str(first["corruption"]), int(first["severity"]))
        if known is not None:
            picture = pictures.use(*known)
            told = f"Validated frame, {terms.corruption(str(first['corruption']))} {severity}"
            panels.append(_panel(picture, known[1], known[2], told))
        title = wording.headline(ranks[0]["name"])
        against = (scan.facts.get("against") or {}).get(clip_id, "")
        shown.append(lines[-1] | {"title": title, "panels": panels, "pictured": known is not None, "against": against})
    return {"cards": shown, "lines": lines, "most": max((len(line["ranks"]) for line in lines), default=0)}


def _closest(
    gallery: Mapping[tuple[str, int], tuple[str, int, int]], corruption: str, severity: int
) -> tuple[int, tuple[str, int, int] | None]:
    """The picture of a corruption at the severity nearest to one, and that severity."""
    there = [level for name, level in gallery if name == corruption]
    nearest = min(there, key=lambda level: (abs(level - severity), level), default=severity)
    return nearest, gallery.get((corruption, nearest))


def _panel(picture: str, width: int, height: int, caption: str) -> Content:
    return {"picture": picture, "width": width, "height": height, "caption": caption}
