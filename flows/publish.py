"""Build the report from the tables and pictures, bring it to its readers, and show its verdict in Prefect."""

from pathlib import Path

import pandas as pd

from flows import delivery, gate, runtime
from flows.runtime import Run
from tasks import report as reporting
from tasks import tables


@runtime.stage
def publish(
    params: str = "params.yaml",
    out: str | None = None,
    only: str | None = None,
    limit: int | None = None,
    to: str | None = None,
) -> None:
    """Write reports/, and bring a copy to the folder or URL `to`.

    Raises:
        InputError: a table is missing or does not fit; or `to` cannot be written.
        WorkFailed: the store of `to` does not take it.
    """
    run = runtime.open_run(params, out, only, limit)
    place = None if to is None else delivery.destination(to)  # a wrong one is said before the work
    reporting.publish(run.params, run.layout)
    page = str((run.layout.reports / reporting.PAGE).resolve())
    if place is not None:
        page = place.deliver(run.layout.reports)
        print(page, flush=True)
    if runtime.enabled():
        _artifacts(run, page)


def _artifacts(run: Run, page: str) -> None:
    """Under stable keys, so that each run is a new version of the same four artifacts; `page` is where it is."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    reports = run.layout.reports
    create_markdown_artifact(
        (reports / "summary.md").read_text(encoding="utf-8"), key="stormglass-verdict", description="Verdict and gates"
    )
    create_table_artifact(_summary(run), key="stormglass-scores", description="Clean, mPC and rPC of every task")
    create_table_artifact(_gates(run), key="stormglass-gates", description="Every rule of params and what it found")
    create_link_artifact(
        page if "://" in page else Path(page).as_uri(), link_text=reporting.PAGE, key="stormglass-report"
    )


def _gates(run: Run) -> list[dict[str, object]]:
    """A row for each rule and model, those that hold a version back first."""
    columns = ["status", "rule", "model", "observed", "threshold", "reason"]
    rows = gate.verdicts(run).sort_values("ships", kind="stable")[columns].to_dict("records")
    return [{name: None if pd.isna(value) else value for name, value in row.items()} for row in rows]


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
