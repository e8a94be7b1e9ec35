"""What the page says around the pictures: how they were picked, the palettes, the corruptions' facts and strips."""

from collections.abc import Sequence
from typing import Any

from tasks import corruptions, tables
from tasks.gallery import films, overlay, picks, pictures
from tasks.gallery.source import Source

Shown = dict[tuple[str, int, int], str]
"""(corruption, severity, frame_id) -> picture file."""


def describe(source: Source, strips: Sequence[picks.Pick], made: list[dict[str, Any]], shown: Shown) -> dict[str, Any]:
    """about.json.

    Args:
        source: Of the run.
        strips: The picks of the strips.
        made: The filmstrips, from `films.told`.
        shown: The pictures that there are.
    """
    semantic = source.names("semantic")
    colours = pictures.palette(semantic)
    facts = []
    for choice in source.params.choices():
        entry = corruptions.find(choice.name)
        own = [pick for pick in strips if pick.corruption == choice.name]
        facts.append(
            {
                "name": choice.name,
                "family": choice.family,
                "parameter": entry.parameter,
                "measure": entry.measure,
                "stage": entry.stage,
                "version": entry.version,
                "temporal": str(entry.temporal),
                "moves_pixels": bool(entry.moves_pixels),
                "moves_truth": bool(entry.moves_truth),
                "whole_clip": bool(entry.whole_clip),
                "source": entry.source,
                "note": str(entry.note or ""),
                "levels": [
                    [severity, *source.strength(choice.name, severity)]
                    for severity in choice.severities(source.params.severities)
                ],
                "coding": source.coding(choice.name),
                "strip": {
                    str(pick.severity): shown[pick.corruption, pick.severity, pick.frame_id]
                    for pick in own
                    if (pick.corruption, pick.severity, pick.frame_id) in shown
                },
            }
        )
    return {
        "form": tables.GALLERY_FORM,
        "sampling": picks.SAMPLING,
        "sampling_films": films.SAMPLING,
        "films": made,
        "match_iou": overlay.MATCH_IOU,
        "palette": [[semantic[class_id], colour] for class_id, colour in colours.items()],
        "palette_difference": [[name, *rest] for name, rest in pictures.DIFFERENCE.items()],
        "corruptions": facts,
        "strip_frame": strips[0].frame_id if strips else None,
        "strip_size": source.picture_size(strips[0].frame_id) if strips else None,
        "unreadable": dict(sorted((str(k), v) for k, v in source.unreadable.items())),
    }
