"""`stormglass gate`: may it ship?"""

import pandas as pd

from flows.runtime import Run
from tasks import gates, tables


def verdicts(run: Run) -> pd.DataFrame:
    """What `tasks.gates.evaluate` says of the run's scores, latency and memory.

    Raises:
        InputError: there are no scores yet, or a rule asks for what they do not have.
    """
    measured, live = run.layout.latency / "latency.parquet", run.layout.realtime / "realtime.parquet"
    return gates.evaluate(
        run.params.declared,
        tables.read("scores", run.layout.scores / "scores.parquet"),
        tables.read("latency", measured) if measured.exists() else None,
        run.layout.tables,
        tables.read("scores", live) if live.exists() else None,
    )


def judge(run: Run) -> int:
    """Print a line for each rule and model; 1 unless every rule lets the version through.

    One that cannot be judged does not; an uncertain one does where its `on_uncertain` says so.

    Raises:
        InputError: As `verdicts`.
    """
    found = verdicts(run)
    for row in found.to_dict(orient="records"):
        print(f"{row['status']:<12} {row['model']}: {row['rule']}. {row['reason']}")
    passes = int((found["status"] == "pass").sum())
    print(f"{passes} of {len(found)} passed" if len(found) else "params has no gates")
    return 0 if gates.passed(found) else 1
