"""`stormglass gate`: may it ship?"""

import math

from flows.runtime import Run
from tasks import gates, tables


def judge(run: Run) -> int:
    """Print a line for each rule and model; 1 unless every rule lets the version through.

    One that cannot be judged does not; an uncertain one does where its `on_uncertain` says so.

    Raises:
        InputError: there are no scores yet, or a rule asks for what they do not have.
    """
    verdicts = gates.evaluate(run.params, tables.read("scores", run.layout.scores / "scores.parquet"))
    for row in verdicts.to_dict(orient="records"):
        figures = "" if math.isnan(row["observed"]) else f" {row['observed']:.4f} against {row['threshold']:g}"
        print(f"{row['status']:<12} {row['model']}{figures}: {row['rule']}. {row['reason']}")
    passes = int((verdicts["status"] == "pass").sum())
    print(f"{passes} of {len(verdicts)} passed" if len(verdicts) else "params has no gates")
    return 0 if gates.passed(verdicts) else 1
