"""`stormglass gate`: may it ship?"""

from flows.runtime import Run
from tasks import gates, tables


def judge(run: Run) -> int:
    """Print a line for each rule; 1 when one fails, else 0.

    Raises:
        InputError: there are no scores yet.
    """
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    verdicts = gates.evaluate(run.params, scores)
    for row in verdicts.to_dict(orient="records"):
        print(
            f"{row['status']:<12} {row['rule']}  {row['model']}: {row['observed']:.4g} against {row['threshold']:.4g}"
        )
    failed = int((verdicts["status"] == "fail").sum())
    print(f"{failed} of {len(verdicts)} failed" if len(verdicts) else "no gates in params")
    return 1 if failed else 0
