"""What new footage looks like among the cells of the validated run: distances to every corruption, by its features.

Scenes, cameras and sizes differ more than most corruptions change a picture, so only shifts are compared: of the
footage from its camera's reference frames, and of each cell from the same clips when clean. Shifts are measured in
units of what else moves features: how differently a corruption shifts one clip and the next, and how far clean frames
lie from each other (linear discriminant analysis; McLachlan, Discriminant Analysis and Statistical Pattern
Recognition, 1992, section 3.3).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.quality import FEATURES

Floats = npt.NDArray[np.float64]
Cell = tuple[str, int]
"""corruption, severity"""

CLEAN: Final[Cell] = (tables.CLEAN, 0)

LEFT_OUT: Final = frozenset({"blockiness"})
"""Features that tell the encoder of the footage, not what was in front of the camera: docs/decisions/0015."""

OFFSETS: Final[Mapping[str, float]] = {
    "brightness": 4,
    "contrast": 2,
    "sharpness": 4,
    "noise": 0.25,
    "grain": 0.25,
    "local_contrast": 1,
    "colourfulness": 2,
    "impulses": 0.002,
    "edge_density": 0.01,
    "dark_share": 0.02,
    "bright_share": 0.01,
    "haze": 0.02,
    "flat_share": 0.05,
    "anisotropy": 0.05,
}
"""Features that corruptions multiply rather than shift are compared by their logarithms; what is added first keeps
values that mean nothing any more (a sharpness of 0.1 or 0.01) from being far apart. In the feature's own unit."""

SHRINK: Final = 0.3
"""How far covariances are drawn to their diagonal: chosen by measurement, docs/decisions/0015."""

LEAST_SPREAD: Final = 0.5
"""A reference of few frames of one hour hardly varies: at least this share of what clean frames of a validated camera
vary by is taken to be ordinary."""

WEAKEST: Final = 0.3
"""A corruption is met from this share of its mildest shift on: below, clean is nearer anyway."""

STRONGEST: Final = 1.5
"""And to this multiple of its strongest one: the same corruption moves other scenes' features less or more."""

CHOSEN: Final = 2.0
"""Put to the distance of a path, at right angles: the nearest point of one of many is chosen, clean has none to choose.
Without it clean clips are seldom nearest to clean: docs/decisions/0015 has what other values give."""


def transformed(frames: pd.DataFrame, features: Sequence[str]) -> Floats:
    """(N, D) the features of frames in the form that is compared; NaN stays."""
    columns = []
    for name in features:
        values = frames[name].to_numpy(np.float64, na_value=np.nan)
        columns.append(np.log(values + OFFSETS[name]) if name in OFFSETS else values)
    return np.stack(columns, axis=1) if columns else np.zeros((len(frames), 0))


@dataclass(frozen=True, eq=False)
class Looks:
    """The table `cell_quality` as arrays.

    Attributes:
        features: names, (D,).
        cells: clean first.
        clips: ids, (K,).
        cameras: (K,) the camera of each clip; "" where nobody said.
        means: (C, K, D) mean over the sampled frames of a clip in a cell; NaN where a cell lacks it.
        clean: (N, D) the clean frames.
        clip_of: (N,) the position of each one's clip.
    """

    features: tuple[str, ...]
    cells: tuple[Cell, ...]
    clips: tuple[str, ...]
    cameras: npt.NDArray[np.object_]
    means: Floats
    clean: Floats
    clip_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, quality: pd.DataFrame) -> "Looks":
        """From the table.

        Raises:
            InputError: it has no clean frames, or no feature that all frames have.
        """
        names = [name for name in FEATURES if name in quality and name not in LEFT_OUT]
        values = transformed(quality, names)
        whole = np.isfinite(values).all(axis=0)
        features, values = tuple(np.array(names)[whole].tolist()), values[:, whole]
        clean = (quality["severity"] == 0).to_numpy(bool)
        if not features or not clean.any():
            raise InputError(
                "Expected clean frames (severity 0) with at least one feature in predictions/quality.parquet, found "
                f"{int(clean.sum())} of {len(quality)} rows clean and {len(features)} features without gaps."
            )
        table = pd.DataFrame(values).assign(
            corruption=quality["corruption"].to_numpy(), severity=quality["severity"].to_numpy(int)
        )
        table["clip_id"] = quality["clip_id"].astype(str).to_numpy()
        first = quality.assign(clip_id=table["clip_id"].to_numpy())[clean].groupby("clip_id")["camera"].first()
        clips = tuple(first.index)
        cells = [CLEAN, *dict.fromkeys(zip(table["corruption"][~clean], table["severity"][~clean], strict=True))]
        means = table.groupby(["corruption", "severity", "clip_id"]).mean()
        index = pd.MultiIndex.from_tuples([(*cell, clip) for cell in cells for clip in clips], names=means.index.names)
        return cls(
            features,
            tuple((str(name), int(severity)) for name, severity in cells),
            clips,
            first.fillna("").astype(str).to_numpy(object),
            means.reindex(index).to_numpy().reshape(len(cells), len(clips), len(features)),
            values[clean],
            pd.Index(clips).get_indexer(table["clip_id"][clean]).astype(np.int64),
        )


@dataclass(frozen=True, eq=False)
class Signatures:
    """How each cell shifts features, and what else moves them.

    Attributes:
        features: names, (D,).
        cells: clean first.
        shifts: (C, D) mean over clips of a cell's features minus the same clip's when clean.
        paired: (D, D) covariance of these shifts from clip to clip.
        ordinary: (D, D) covariance of clean frames around their camera's mean.
        mean: (D,) of clean frames.
        spread: (D,) their standard deviation around it.
    """

    features: tuple[str, ...]
    cells: tuple[Cell, ...]
    shifts: Floats
    paired: Floats
    ordinary: Floats
    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, looks: Looks, keep: npt.NDArray[np.bool_], cells: npt.NDArray[np.bool_]) -> "Signatures":
        """Of the clips (K,) and cells (C,) chosen, clean among them; cells that none of the clips has are left out."""
        there = np.asarray(np.isfinite(looks.means[:, keep]).all(axis=2))
        cells = cells & there.any(axis=1)
        moved = looks.means[np.ix_(cells, keep)] - looks.means[0, keep]
        shifts = np.nanmean(moved, axis=1)
        rest = (moved - shifts[:, None])[1:].reshape(-1, len(looks.features))
        rest = rest[np.isfinite(rest).all(axis=1)]
        inside = keep[looks.clip_of]
        clean, cameras = looks.clean[inside], looks.cameras[looks.clip_of[inside]]
        centred = clean.copy()
        for camera in set(cameras):
            centred[cameras == camera] -= clean[cameras == camera].mean(axis=0)
        return cls(
            looks.features,
            tuple(cell for cell, chosen in zip(looks.cells, cells, strict=True) if chosen),
            shifts,
            rest.T @ rest / max(len(rest), 1),
            centred.T @ centred / len(centred),
            clean.mean(axis=0),
            clean.std(axis=0),
        )

    def against(self, reference: Floats | None, *, spread: Floats | None = None) -> "Space":
        """Where everything lies as seen from reference frames.

        Args:
            reference: (N, D) transformed features of frames of one camera when all was well; None: all clean frames.
            spread: (D,) standard deviations to take instead of the reference's.
        """
        origin = self.mean if reference is None else reference.mean(axis=0)
        if spread is None:
            spread = self.spread if reference is None else reference.std(axis=0)
        ordinary = np.sqrt(np.diag(self.ordinary))
        taken = np.maximum(spread, LEAST_SPREAD * ordinary)
        scale = np.divide(taken, ordinary, out=np.zeros_like(taken), where=ordinary > 0)
        total = self.paired + self.ordinary * np.outer(scale, scale)
        variances = np.diag(total)
        # A feature that never moves tells nothing, and would be infinitely far from any other value.
        told = variances > 1e-12 * max(float(variances.max()), 1e-12)
        shrunk = (1 - SHRINK) * total + SHRINK * np.diag(variances)
        matrix = np.linalg.inv(np.linalg.cholesky(shrunk[np.ix_(told, told)]))
        return Space(self.cells, origin, told, matrix, self.shifts[:, told] @ matrix.T)


@dataclass(frozen=True, eq=False)
class Space:
    """The cells as points, the reference at 0, in units in which ordinary differences have variance 1.

    Attributes:
        cells: clean first.
        origin: (D,) the reference's features.
        told: (D,) the features that count.
        matrix: (d, d) that whitens them.
        points: (C, d) the cells.
    """

    cells: tuple[Cell, ...]
    origin: Floats
    told: npt.NDArray[np.bool_]
    matrix: Floats
    points: Floats

    def place(self, features: Floats) -> Floats:
        """(N, d) where frames or clips lie whose transformed features, (N, D), are given."""
        found: Floats = (features - self.origin)[:, self.told] @ self.matrix.T
        return found

    def nearest(self, points: Floats) -> tuple[list[str], npt.NDArray[np.int64], Floats]:
        """How far (N, d) points lie from the path of each corruption, clean first.

        A path runs from a share of the mildest severity's shift through those of the others to a multiple of the
        strongest one's, straight in between.

        Returns:
            M names; (N, M) the severity that is nearest along the path; (N, M) distances.
        """
        names = list(dict.fromkeys(corruption for corruption, _ in self.cells))
        severities = np.zeros((len(points), len(names)), dtype=np.int64)
        distances: Floats = np.empty(severities.shape)
        distances[:, 0] = np.linalg.norm(points, axis=1)
        for column, name in enumerate(names[1:], start=1):
            at = sorted((severity, place) for place, (own, severity) in enumerate(self.cells) if own == name)
            corners = [(at[0][0], WEAKEST * self.points[at[0][1]])]
            corners += [(severity, self.points[place]) for severity, place in at]
            corners.append((at[-1][0], STRONGEST * self.points[at[-1][1]]))
            steps = [_to_segment(points, one, other) for one, other in itertools.pairwise(corners)]
            away, nearest = (np.stack(part) for part in zip(*steps, strict=True))
            best = away.argmin(axis=0)[None]
            distances[:, column] = np.hypot(np.take_along_axis(away, best, axis=0)[0], CHOSEN)
            severities[:, column] = np.take_along_axis(nearest, best, axis=0)[0]
        return names, severities, distances


def _to_segment(
    points: Floats, one: tuple[int, Floats], other: tuple[int, Floats]
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(N,) distances to the stretch between two corners, and the severity of the one that is nearer along it."""
    along = other[1] - one[1]
    share = np.clip((points - one[1]) @ along / max(float(along @ along), 1e-12), 0, 1)
    distances: Floats = np.linalg.norm(points - one[1] - share[:, None] * along, axis=1)
    return distances, np.where(share < 0.5, one[0], other[0]).astype(np.int64)


def expected(space: Space, points: Floats, values: Floats) -> Floats:
    """(N,) the value at (N, d) `points`, from those at the cells (C,); NaN at a cell leaves it out.

    Kriging with an exponential covariance (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, 2.2
    and 4.2.1), whose length is the median distance between two cells: about linear between cells, and far from all of
    them their mean.
    """
    known = np.isfinite(values)
    cells, values = space.points[known], values[known]
    apart = _distances(cells, cells)
    pairs = apart[np.triu_indices(len(cells), 1)]
    length = float(np.median(pairs)) if pairs.size else 0.0
    if length == 0:
        return np.full(len(points), float(values.mean()))
    weights = np.linalg.solve(np.exp(-apart / length) + NUGGET * np.eye(len(cells)), values - values.mean())
    found: Floats = values.mean() + np.exp(-_distances(points, cells) / length) @ weights
    return found


NUGGET: Final = 0.01
"""Share of variance that is noise: figures of cells are means over clips, so little of it is."""


def _distances(left: Floats, right: Floats) -> Floats:
    found: Floats = np.linalg.norm(left[:, None] - right[None], axis=2)
    return found
