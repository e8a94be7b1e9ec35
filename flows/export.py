"""`stormglass export-failures` and `export-qa`: the frames that models failed on, for training and for people."""

from pathlib import Path

from flows.runtime import Run
from tasks.exports import evidence, hard_set, selection
from tasks.exports.selection import Wanted


def failures(run: Run, out: Path, wanted: Wanted, *, corrupted: bool) -> list[str]:
    """Write a data set of failures to `out`; lines that say what is in it and what to do with it.

    Raises:
        InputError: a table is missing, nothing is left of what was asked for, or `out` is taken.
    """
    unit = selection.CORRUPTED_IMAGE if corrupted else selection.CLEAN_IMAGE
    chosen, total = selection.choose(selection.failures(run.params, run.layout), wanted, unit)
    made = hard_set.write(run.params, run.layout, chosen, out, corrupted=corrupted, asked=wanted.told())
    what = "images as corrupted" if corrupted else "clean images"
    return [
        f"Wrote {made['images']} {what} of the {total} that failed, with {made['annotations']} annotations from "
        f"{made['clips']} clip(s), to {out}.",
        f"Next: `dvc add {out}`; name the folder in params.yaml under dataset.path and `stormglass check`.",
    ]


def qa(run: Run, out: Path, wanted: Wanted, *, right_too: bool = False) -> str:
    """Write pictures, maps and summaries of failures to `out`; a line that says what is in it.

    With `right_too` also of frames with nothing wrong.

    Raises:
        InputError: a table is missing, nothing is left of what was asked for, or `out` is taken.
    """
    found = selection.failures(run.params, run.layout, right_too=right_too)
    chosen, total = selection.choose(found, wanted, selection.ANSWER)
    count = evidence.write(run.params, run.layout, chosen, out)
    what = "answers" if right_too else "failures"
    return f"Wrote {count} of {total} {what} to {out}; {out / 'index.csv'} lists them."
