"""How far off the forecast of accuracy is, in a finished run: errors beside those of the clean score, and coverage.

    python -m benchmarks.forecast [--params params.yaml] [--out DIR] [--model NAME] [--all] [--records DIR]

prints a table, and as its last line all figures as JSON; the exit status is 1 when a bar is missed: with clips held
out, and with a corruption left out, the mean error over metrics is to be below that of the clean score. No model runs;
the stored predictions are scored again by groups of clips. `--all` prints a row for each corruption, too.

The rows, those of each corruption too, also go to benchmarks/forecast.csv, and from there to benchmarks/forecast.md:
each run replaces the rows of its own model.
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

COLUMNS: Final = ("model", "validation", "metric", "corruption", *SHOWN[1:], "n")

NOTES: Final = """\
- `error` is the mean of |forecast - actual| over clips, severities and corruptions, `naive_error` that of the clean
  score taken as the forecast. `coverage`: how many actual figures lie in their intervals, whose mean `width` is beside.
  `outside`: the share that was said to lie outside everything validated. `named_first`: how often the true corruption
  was the nearest. docs/footage.md says what follows from it.
- What is held out: clips in groups of one camera; with them a corruption, or all clips of the camera; and the same as
  seen without a reference of the camera (`unknown_camera`).
"""


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


def rows(model: str, validation: pd.DataFrame) -> list[records.Row]:
    """The table as the rows of forecast.csv; what is not known is empty."""
    return [
        {
            "model": model,
            **{name: _written(row[name]) for name in COLUMNS[1:]},
            "corruption": row["corruption"] or "all",
        }
        for row in validation.to_dict("records")
    ]


def _written(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(found: list[records.Row], *, every: bool) -> list[str]:
    """Rows of one model in Markdown; of all corruptions together alone, or `every` row."""
    shown = [row for row in found if every or row["corruption"] == "all"]
    return records.table(COLUMNS[1:], [[row[name] for name in COLUMNS[1:]] for row in shown])


def page(found: list[records.Row]) -> str:
    """The rows as a page in Markdown, a section for each model."""
    text = ["# The forecast of accuracy: how far off it is", ""]
    for model in dict.fromkeys(row["model"] for row in found):
        own = [row for row in found if row["model"] == model]
        text += [f"## `python -m benchmarks.forecast --model {model}`", "", *table(own, every=False), ""]
        text += ["By corruption:", "", *table([row for row in own if row["corruption"] != "all"], every=True), ""]
    return "\n".join([*text, NOTES])


def main() -> int:
    """Fit, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--out", type=Path, help="the run's folder; default: that of params")
    parser.add_argument("--model", help="default: the model of the section footage, else the last one")
    parser.add_argument("--all", action="store_true", help="a row for each corruption, too")
    parser.add_argument(
        "--records", type=Path, default=Path(__file__).parent, help="folder of forecast.csv and forecast.md"
    )
    given = parser.parse_args()
    chosen = params.load(given.params)
    model = given.model or (chosen.footage.model if chosen.footage else list(chosen.models)[-1])
    start = time.perf_counter()
    found = forecast.fit(chosen, Layout(given.out or chosen.folder), model)
    result = {"model": model, "fit_s": time.perf_counter() - start, **judge(found.validation)}
    told = rows(model, found.validation)
    print(*table(told, every=given.all), sep="\n")
    records.replace(told, given.records / "forecast.csv", COLUMNS, ["model"], page)
    print(json.dumps(result))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
