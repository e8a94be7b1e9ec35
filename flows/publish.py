"""Build the report from the tables and pictures, and show its verdict in Prefect."""

import pandas as pd

from flows import runtime
from flows.runtime import Run
from tasks import report as reporting
from tasks import tables


@runtime.stage
def publish(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Write reports/."""
    run = runtime.open_run(params, out, only, limit)
    reporting.publish(run.params, run.layout)
    if runtime.enabled():
        _artifacts(run)


def _artifacts(run: Run) -> None:
    """Under stable keys, so that each run is a new version of the same three artifacts."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    reports = run.layout.reports
    create_markdown_artifact(
        (reports / "summary.md").read_text(encoding="utf-8"), key="stormglass-verdict", description="Verdict and gates"
    )
    create_table_artifact(_summary(run), key="stormglass-scores", description="Clean, mPC and rPC of every task")
    create_link_artifact(
        (reports / "robustness.html").resolve().as_uri(), link_text="robustness.html", key="stormglass-report"
    )


def _summary(run: Run) -> list[dict[str, object]]:
    """A row for each model and task, whole data set and all classes: clean headline metric, mPC, rPC."""
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    own = scores["baseline"].isna() & scores["model"].isin(list(run.params.models))
    whole = scores[own & (scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)]
    rows: list[dict[str, object]] = []
    for (model, task), of_task in whole.groupby(["model", "task"], sort=False):
        row: dict[str, object] = {"model": model, "task": task, "metric": tables.HEADLINE[str(task)]}
        clean = of_task[(of_task["corruption"] == tables.CLEAN) & (of_task["metric"] == row["metric"])]
        row["clean"] = _rounded(clean)
        for metric in ("mpc", "rpc"):
            every = (of_task["corruption"] == tables.ALL) & (of_task["family"] == tables.ALL)
            row[metric] = _rounded(of_task[every & (of_task["metric"] == metric)])
        rows.append(row)
    return rows


def _rounded(rows: pd.DataFrame) -> float | str:
    if len(rows) != 1 or rows["status"].iloc[0] != "ok":
        return "not available" if rows.empty else str(rows["status"].iloc[0])
    return round(float(rows["value"].iloc[0]), 4)
