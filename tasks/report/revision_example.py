"""The frames whose score fell from one revision to another, with the pictures that either revision has of them."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.report import cards, revision_summary
from tasks.report.revisions import shortened
from tasks.report.shared import Revision

_CELL: Final = ["task", "corruption", "severity", "frame_id"]
_FILES: Final = ("clean_file", "corrupted_file", "truth_file", "prediction_file", "difference_file")


def example(a: Revision, b: Revision, fallen: pd.DataFrame, pictures: cards.Pictures) -> dict[str, Any]:
    """The frame that fell most in words; pictures of it, or else of the one that fell most of those with pictures.

    Args:
        a: the first revision.
        b: the second.
        fallen: as of `revisions.Comparison`.
        pictures: of the page, by their whole paths: two galleries may call different pictures the same.

    Raises:
        InputError: a gallery names a picture that is not there.
    """
    rows = fallen.to_dict("records")
    missing = [revision.no_gallery for revision in (a, b) if revision.no_gallery]
    galleries = []
    for revision, side in ((a, "model_a"), (b, "model")):
        if revision.gallery is None:
            continue
        try:
            gallery = tables.read("gallery", revision.gallery / "gallery.parquet")
        except InputError as error:
            missing.append(f"The pictures of {revision.name} cannot be read: {error}")
            continue
        by_cell = gallery.drop_duplicates(["model", *_CELL]).set_index(["model", *_CELL])
        galleries.append((revision, side, by_cell))
    picked = next((row for row in rows if any(_at(row, side) in own.index for _, side, own in galleries)), None)
    shown = []
    for revision, side, own in galleries:
        if picked is not None and _at(picked, side) in own.index:
            card = own.loc[[_at(picked, side)]].reset_index()
            for column in _FILES:
                card[column] = [None if pd.isna(name) else str(revision.gallery / name) for name in card[column]]
            shown += [{**found, "revision": shortened(revision.name)} for found in cards.cards(card, pictures)]
    return {
        "deepest": revision_summary.fall(rows[0]) if rows else "No frame's score fell.",
        "evidence": revision_summary.evidence(a.name, b.name, rows[0]) if rows else [],
        "command": revision_summary.command(rows[0]) if rows else "",
        "pictured": "" if picked is None or picked is rows[0] else revision_summary.fall(picked),
        "cards": shown,
        "missing": missing,
    }


def _at(row: Mapping[Any, Any], side: str) -> tuple[Any, ...]:
    return (row[side], *(row[key] for key in _CELL))
