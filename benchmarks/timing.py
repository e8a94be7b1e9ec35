"""How long a corruption of one frame takes, beside other tools, in pairs: theirs, ours, theirs, ours."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import perturbers
from tasks.corruptions import CORRUPTIONS, corrupt

Pixels = NDArray[np.uint8]
Row = dict[str, Any]

ONCE: Final = {"glass_blur"}
"""Seconds an image in the reference: timed once for each severity."""

THEIR_THREADS: Final = cv2.getNumThreads()
"""OpenCV's own choice, which others use: all cores. Ours gets one thread, as in a worker."""


def pairs(
    theirs: Callable[[int], object], ours: Callable[[int], object], *, budget_s: float, least: int, most: int
) -> tuple[list[float], list[float]]:
    """Seconds of each call of theirs and of ours, taken in turn; both are given the number of the pair.

    As many pairs as `budget_s` has room for, but at least `least` (one, where it takes over 5 s) and at most `most`.
    """
    found: tuple[list[float], list[float]] = ([], [])
    spent = 0.0
    for number in range(most):
        sides = [(theirs, THEIR_THREADS, found[0]), (ours, 1, found[1])]
        for call, threads, seconds in sides if number % 2 else sides[::-1]:
            cv2.setNumThreads(threads)
            start = perf_counter()
            call(number)
            seconds.append(perf_counter() - start)
            spent += seconds[-1]
        if spent > budget_s and (number + 1 >= least or spent > 5):
            break
    cv2.setNumThreads(THEIR_THREADS)
    return found


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def beside_reference(frames: Sequence[Pixels], severities: Sequence[int], *, budget_s: float, most: int) -> list[Row]:
    """Each of the 19 names at each severity: milliseconds of the reference and of ours.

    Ours is timed on a still of a clip never seen before, so that nothing made for another clip is used again; and, as
    `kept_ms`, on the next frames of one clip. `first_ms` is the first call of all at this severity: tables are made
    then that later calls of the process share.
    """
    rows = []
    with perturbers.imagecorruptions() as reference:
        for name, corruption in CORRUPTIONS.items():
            if corruption.benchmark is None:
                continue
            for severity in severities:
                row = _one(reference, frames, name, severity, budget_s, most)
                rows.append({"name": name, "severity": severity} | row)
    return rows


def _one(
    reference: Callable[[Pixels, int, str], Pixels],
    frames: Sequence[Pixels],
    name: str,
    severity: int,
    budget_s: float,
    most: int,
) -> dict[str, float]:
    def theirs(number: int) -> None:
        reference(frames[number % len(frames)], severity, name)

    def ours(number: int) -> None:
        frame = frames[number % len(frames)]
        corrupt(frame[None], name=name, severity=severity, clips=f"still {severity} {number}")

    def kept(number: int) -> None:
        frame = frames[number % len(frames)]
        corrupt(frame[None], name=name, severity=severity, clips="clip", first_frame=number)

    cv2.setNumThreads(1)
    first_s = timed(lambda: ours(-1))
    if name in ONCE:
        theirs_s, ours_s = [timed(lambda: theirs(0))], [timed(lambda n=number: ours(n)) for number in range(most // 2)]
    else:
        theirs(-1)
        theirs_s, ours_s = pairs(theirs, ours, budget_s=budget_s, least=3, most=most)
    cv2.setNumThreads(1)
    kept_s = [timed(lambda n=number: kept(n)) for number in range(most // 2)][1:]
    cv2.setNumThreads(THEIR_THREADS)
    return {
        "reference_ms": median(theirs_s) * 1e3,
        "ours_ms": median(ours_s) * 1e3,
        "ratio": median(theirs_s) / median(ours_s),
        "kept_ms": median(kept_s) * 1e3,
        "first_ms": first_s * 1e3,
        "pairs": len(theirs_s),
    }


def totals(rows: Sequence[Row]) -> dict[str, float]:
    """The 19 together, over the severities that were timed."""
    theirs: dict[str, float] = {}
    ours: dict[str, float] = {}
    for row in rows:
        theirs[row["name"]] = theirs.get(row["name"], 0.0) + row["reference_ms"]
        ours[row["name"]] = ours.get(row["name"], 0.0) + row["ours_ms"]
    ratios = {name: theirs[name] / ours[name] for name in theirs}
    plain = [name for name in theirs if name not in ONCE]
    close = {"jpeg_compression", "pixelate"}
    return {
        "all_19_ratio": sum(theirs.values()) / sum(ours.values()),
        "without_glass_blur_ratio": sum(theirs[name] for name in plain) / sum(ours[name] for name in plain),
        "geometric_mean_ratio": float(np.exp(np.mean(np.log(list(ratios.values()))))),
        "slowest_ratio": min(ratio for name, ratio in ratios.items() if name not in close),
        "slowest_jpeg_pixelate_ratio": min(ratios[name] for name in close),
    }


def by_name(rows: Sequence[Row]) -> list[Row]:
    """Means over the severities; the ratio is of the sums."""
    found = []
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        mean = {key: float(np.mean([row[key] for row in mine])) for key in ("reference_ms", "ours_ms", "kept_ms")}
        found.append(
            {"name": name, "severity": "mean"}
            | mean
            | {
                "ratio": mean["reference_ms"] / mean["ours_ms"],
                "least_ratio": min(row["ratio"] for row in mine),
                "first_ms": max(row["first_ms"] for row in mine),
            }
        )
    return found


def beside_others(frames: Sequence[Pixels], *, budget_s: float, most: int) -> list[Row]:
    """Each transform of albumentations and nrtk, and ours that does the like at the severity nearest to its setting."""
    rows = []
    for other in perturbers.PERTURBERS:
        row: Row = {"name": f"{other.package} {other.name}", "severity": f"{other.corruption} {other.severity}"}
        row["setting"] = other.setting
        if perturbers.installed(other.package):
            row |= _beside(other, frames, budget_s, most)
        else:
            row["status"] = "not installed"
        rows.append(row)
    return rows


def _beside(other: perturbers.Perturber, frames: Sequence[Pixels], budget_s: float, most: int) -> Row:
    try:
        call = other.make()
        call(frames[0][:96, :96].copy())  # what is compiled is compiled now
    except ImportError as error:
        return {"status": f"not installed: {error}"}

    def theirs(number: int) -> None:
        call(frames[number % len(frames)])

    def ours(number: int) -> None:
        frame = frames[number % len(frames)]
        clip = f"still of {other.name} {number}"
        corrupt(frame[None], name=other.corruption, severity=other.severity, clips=clip)

    ours(-1)
    theirs_s, ours_s = pairs(theirs, ours, budget_s=budget_s, least=5, most=most)
    return {
        "theirs_ms": median(theirs_s) * 1e3,
        "ours_ms": median(ours_s) * 1e3,
        "ratio": median(theirs_s) / median(ours_s),
        "pairs": len(theirs_s),
    }
