"""Slices: the subsets of the data that get figures of their own.

Names: `camera=north` (a value of a column of `frames`), `camera=north & time_of_day=night` (crossed), `brightness=low`
(a third of a measurement; `thirds.bounds` says where it is cut), `query:NAME` (a pandas expression over `frames` and
measurements), of objects `size=small` (COCO's area ranges) and `occluded=yes` (a tag), and where corruptions come in
bursts `burst 4:8=before`, `during` and `after`: by frame index, so that `after` says how well a model recovers.

Of data that is really shifted, `shift=night` and what it is compared with: `shift=none`, the frames outside every
shift, or the shift's own `shift=night, reference`.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import params as settings
from tasks import query, tables, thirds
from tasks.errors import InputError

Mask = npt.NDArray[np.bool_]

SIZES: Final[Mapping[str, tuple[float, float]]] = {
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""COCO's area ranges in square pixels, both ends inside (pycocotools, `Params.setDetParams`)."""

MOST_VALUES: Final = 50
"""A column with more values than this is a measurement, not a tag: nobody reads a report of more slices of it."""

UNSHIFTED: Final = "shift=none"
"""The frames outside every shift."""

_SHARES: Final = ("occlusion", "truncation")  # columns of `objects` that hold a share, cut at 0 and one half


@dataclass(frozen=True, eq=False)
class Slice:
    """One subset of the scored frames, their clips and, for an object slice, their objects.

    Attributes:
        name: as in the scores table.
        frames: (n_frames,) the frames inside; all of them for an object slice.
        clips: (n_clips,) the clips inside, in order of first appearance; None where whole clips cannot be told apart.
        objects: (n_objects,) for a tag of objects: the truth inside. Truth outside is ignored.
        area_px2: for a size: the range of areas.
        stretch: A stretch of time of each clip: tracking is measured on the frames inside, though whole clips are not.
    """

    name: str
    frames: Mask
    clips: Mask | None
    objects: Mask | None = None
    area_px2: tuple[float, float] | None = None
    stretch: bool = False

    @property
    def of_objects(self) -> bool:
        """Whether this is a subset of objects, not of frames."""
        return self.objects is not None or self.area_px2 is not None

    @property
    def recall_only(self) -> bool:
        """Whether a prediction that matches nothing cannot be told to be inside: only recall is defined."""
        return self.objects is not None


def build(
    choice: settings.Slices,
    frames: pd.DataFrame,
    objects: pd.DataFrame,
    quality: pd.DataFrame | None = None,
    *,
    bursts: Sequence[tuple[int, int]] = (),
    trial: bool = False,
) -> tuple[Slice, ...]:
    """The slices of `choice` over the scored `frames` and their `objects`, `all` first.

    Args:
        choice: the section `slices` of params.
        frames: rows of the table `frames`, those that are scored.
        objects: rows of the table `objects`, those of these frames.
        quality: the table `quality`; None where the data were prepared without it.
        bursts: intervals of frame indices, from the first on and before the second.
        trial: these are the first clips alone: a shift that they do not hold is left out.

    Raises:
        InputError: an attribute or a measurement that the tables do not have, a query that does not evaluate to yes or
            no by frame, or a shift without frames on either side.
    """
    codes, clips = pd.factorize(frames["clip_id"])
    lift = _Lift(np.asarray(codes, dtype=np.int64), len(clips))
    found = [Slice(tables.ALL, np.ones(len(frames), dtype=bool), np.ones(len(clips), dtype=bool))]
    for column in choice.attributes:
        found += [_named(names, lift) for names in _crossed((column,), frames, "slices.attributes")]
    for columns in choice.crossed:
        found += [_named(names, lift) for names in _crossed(columns, frames, "slices.crossed")]
    measured = thirds.measured(quality, frames)
    for column in choice.derived:
        for third, mask in thirds.cut(thirds.column_of(measured, column), frames["clip_id"]):
            found.append(Slice(f"{column}={third}", mask, lift.whole(mask)))
    known = frames.join(measured[measured.columns.difference(frames.columns)])
    for name, expression in choice.query.items():
        mask = query.rows(expression, known, f"slices.query.{name}")
        found.append(Slice(f"query:{name}", mask, lift.whole(mask)))
    found += [Slice(name, mask, lift.whole(mask)) for name, mask in _shifts(choice.shifted, known, trial)]
    for start, stop in bursts:
        index = frames["frame_index"].to_numpy(np.int64)
        parts = {"before": index < start, "during": (index >= start) & (index < stop), "after": index >= stop}
        found += [
            Slice(f"burst {start}:{stop}={name}", mask, lift.whole(mask), stretch=True)
            for name, mask in parts.items()
            if mask.any()
        ]
    every = found[0]
    for column in choice.object:
        if column == "size":
            found += [
                Slice(f"size={size}", every.frames, every.clips, area_px2=area_px2) for size, area_px2 in SIZES.items()
            ]
            continue
        texts = _tags(column, objects)
        for value in sorted(texts.dropna().unique()):
            inside = np.asarray(texts == value, dtype=bool)
            found.append(Slice(f"{column}={value}", every.frames, every.clips, objects=inside))
    names = [item.name for item in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"slices: {', '.join(twice)} stands twice; name each attribute once.")
    return tuple(found)


def load(params: settings.Params, folder: Path) -> tuple[Slice, ...]:
    """The slices that params name of the tables in `folder`.

    Raises:
        InputError: as `build` does.
    """
    frames = tables.read("frames", folder / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    objects = tables.read("objects", folder / "objects.parquet")
    measured = folder / "quality.parquet"
    return build(
        params.slices,
        frames.reset_index(drop=True),
        objects[objects["frame_id"].isin(frames["frame_id"])].reset_index(drop=True),
        tables.read("quality", measured) if measured.exists() else None,
        bursts=params.bursts,
        trial=params.dataset.limit is not None,
    )


def of_shift(choice: settings.Slices, name: str) -> tuple[str, str]:
    """The slice of a shift, and the slice that it is compared with."""
    own = choice.shifted[name].reference is not None
    return f"shift={name}", f"shift={name}, reference" if own else UNSHIFTED


def clip_codes(frames: pd.DataFrame) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Each frame's clip as a position, and the clips in that order: the order of `Slice.clips`."""
    codes, names = pd.factorize(frames["clip_id"])
    return np.asarray(codes, dtype=np.int64), tuple(str(name) for name in names)


@dataclass(frozen=True)
class _Lift:
    """From frames to the clips that hold them."""

    codes: npt.NDArray[np.int64]
    n_clips: int

    def majority(self, mask: Mask) -> Mask:
        """Clips of which more than half the frames are inside."""
        inside = np.bincount(self.codes, weights=mask, minlength=self.n_clips)
        return np.asarray(inside * 2 > np.bincount(self.codes, minlength=self.n_clips), dtype=bool)

    def whole(self, mask: Mask) -> Mask | None:
        """Clips that are inside, or None when the mask cuts through one."""
        inside = np.bincount(self.codes, weights=mask, minlength=self.n_clips)
        total = np.bincount(self.codes, minlength=self.n_clips)
        return np.asarray(inside > 0, dtype=bool) if bool(np.all((inside == 0) | (inside == total))) else None


def _named(parts: Sequence[tuple[str, Mask]], lift: _Lift) -> Slice:
    masks = [mask for _, mask in parts]
    clips = np.logical_and.reduce([lift.majority(mask) for mask in masks])
    return Slice(" & ".join(name for name, _ in parts), np.logical_and.reduce(masks), clips)


def _crossed(columns: Sequence[str], frames: pd.DataFrame, where: str) -> Iterator[list[tuple[str, Mask]]]:
    """Every combination of the columns' values that occurs, as (name, mask) by column."""
    texts = [_column(column, frames, where) for column in columns]
    together = pd.concat(texts, axis=1, keys=range(len(columns))).dropna().drop_duplicates()
    for values in sorted(tuple(row) for row in together.itertuples(index=False)):
        yield [
            (f"{column}={value}", np.asarray(text == value, dtype=bool))
            for column, text, value in zip(columns, texts, values, strict=True)
        ]


def _column(column: str, frames: pd.DataFrame, where: str) -> pd.Series:
    known = [name for name in frames.columns if not name.startswith("source_") and name not in ("frame_id", "clip_id")]
    if column not in known:
        attributes = tables.attributes("frames", frames)
        raise _unknown(where, column, "the table frames", attributes or known)
    return _few(_texts(frames[column]), where, column)


def _tags(column: str, objects: pd.DataFrame) -> pd.Series:
    known = [*_SHARES, *tables.attributes("objects", objects)]
    if column not in known:
        raise _unknown("slices.object", column, "the table objects", ["size", *known])
    if column in _SHARES:
        share = objects[column].astype(float)
        bins = np.select([share.isna(), share <= 0, share <= 0.5], ["", "none", "partial"], "heavy")
        return pd.Series(bins, index=objects.index, dtype=object).replace("", None)
    return _few(_texts(objects[column]), "slices.object", column)


def _few(texts: pd.Series, where: str, column: str) -> pd.Series:
    count = texts.nunique()
    if count > MOST_VALUES:
        raise InputError(
            f"{where}: '{column}' has {count} different values, expected at most {MOST_VALUES}: "
            "name ranges of it under slices.query."
        )
    return texts


def _texts(values: pd.Series) -> pd.Series:
    return pd.Series([_text(value) for value in values], index=values.index, dtype=object)


def _text(value: Any) -> str | None:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _shifts(shifts: Mapping[str, settings.Shift], frames: pd.DataFrame, trial: bool) -> Iterator[tuple[str, Mask]]:
    """What is shifted and what it is compared with, as (name, mask); what several are compared with once, last."""
    inside = {name: query.rows(shift.where, frames, f"slices.shifted.{name}.where") for name, shift in shifts.items()}
    outside = ~np.logical_or.reduce(list(inside.values())) if inside else np.zeros(len(frames), dtype=bool)
    shared = False
    for name, shift in shifts.items():
        where = f"slices.shifted.{name}"
        reference = outside
        if shift.reference is not None:
            reference = query.rows(shift.reference, frames, f"{where}.reference")
        empty = next((side for side, mask in (("where", inside[name]), ("reference", reference)) if not mask.any()), "")
        if empty and trial:
            continue
        if empty == "reference" and shift.reference is None:
            raise InputError(
                f"{where}: every one of the {len(frames)} scored frames lies in some shift, expected others to compare "
                "with: name them by a query under `reference`."
            )
        if empty:
            raise InputError(
                f"{where}.{empty}: '{getattr(shift, empty)}' holds for none of the {len(frames)} scored frames, "
                "expected some."
            )
        both = int((inside[name] & reference).sum())
        if both:
            raise InputError(f"{where}: {both} frame(s) are in `where` and in `reference`, expected none in both.")
        yield f"shift={name}", inside[name]
        if shift.reference is not None:
            yield f"shift={name}, reference", reference
        shared |= shift.reference is None
    if shared:
        yield UNSHIFTED, outside


def _unknown(where: str, column: str, table: str, known: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InputError(f"{where}: '{column}' is not a column of {table}; known: {', '.join(known) or 'none'}{hint}")
