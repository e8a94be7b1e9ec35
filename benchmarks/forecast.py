"""How far off the forecast of accuracy is, in a finished run: errors beside those of the clean score, and coverage.

    python -m benchmarks.forecast [--params params.yaml] [--out DIR] [--model NAME] [--all]

prints a table, and as its last line all figures as JSON; the exit status is 1 when a bar is missed: with clips held
out, and with a corruption left out, the mean error over metrics is to be below that of the clean score. No model runs;
the stored predictions are scored again by groups of clips. `--all` prints a row for each corruption, too.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import pandas as pd

from benchmarks import records
from tasks import params
from tasks.layout import Layout
from tasks.monitoring import forecast, rehearsal

BARS: Final[dict[str, records.Bar]] = {
    f"{kind}_error_ratio": ("at most", 1.0) for kind in (rehearsal.HELD_OUT, rehearsal.LEFT_OUT)
}

SHOWN: Final = ("n", "error", "naive_error", "coverage", "width", "outside", "named_first")


def judge(validation: pd.DataFrame) -> dict[str, Any]:
    """The figures of the table `footage_validation`, what each bar asks, and whether all hold."""
    whole = validation[validation["corruption"].isna()]
    sums = whole.groupby("validation")[["error", "naive_error"]].sum()
    ratios = {f"{kind}_error_ratio": float(row["error"] / row["naive_error"]) for kind, row in sums.iterrows()}
    bars = records.judged(ratios, {name: bar for name, bar in BARS.items() if name in ratios})
    figures = [
        {name: None if value != value else value for name, value in row.items()}  # NaN is no JSON
        for row in whole.drop(columns="corruption").to_dict("records")
    ]
    return {
        "validation": figures,
        "ratios": ratios,
        "bars": bars,
        "holds": bool(bars) and all(bar["holds"] for bar in bars.values()),
    }


def lines(validation: pd.DataFrame, *, every: bool) -> list[str]:
    """The table in Markdown."""
    rows = validation if every else validation[validation["corruption"].isna()]
    cells = [
        [
            str(row["validation"]),
            str(row["metric"]),
            str(row["corruption"] or "all"),
            *("" if row[name] != row[name] else f"{row[name]:.3g}" for name in SHOWN[1:]),
            str(row["n"]),
        ]
        for row in rows.to_dict("records")
    ]
    return records.table(["validation", "metric", "corruption", *SHOWN[1:], "n"], cells)


def main() -> int:
    """Fit, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--out", type=Path, help="the run's folder; default: that of params")
    parser.add_argument("--model", help="default: the model of the section footage, else the last one")
    parser.add_argument("--all", action="store_true", help="a row for each corruption, too")
    given = parser.parse_args()
    chosen = params.load(given.params)
    model = given.model or (chosen.footage.model if chosen.footage else list(chosen.models)[-1])
    start = time.perf_counter()
    found = forecast.fit(chosen, Layout(given.out or chosen.folder), model)
    result = {"model": model, "fit_s": time.perf_counter() - start, **judge(found.validation)}
    print(*lines(found.validation, every=given.all), sep="\n")
    print(json.dumps(result))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
