"""The small files beside the page: CSV, JSON, JUnit. Rounded, sorted, undated: the same scores, the same bytes."""

import csv
import io
import json
import re
from collections.abc import Container, Iterable
from typing import Any, Final
from xml.etree import ElementTree

import pandas as pd

from tasks.report import numbers, verdict, wording


def field(value: Any) -> str:
    """One value as the CSV files and the page's tables write it: 4 decimals, nothing for what could not be computed."""
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, float):
        text = f"{value:.{numbers.PLACES}f}"
        return text.removeprefix("-") if float(text) == 0 else text
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV with a header; lines end in a newline alone."""
    lines = [line(table.columns), *(line(row) for row in table.itertuples(index=False))]
    return "\n".join(lines) + "\n"


def line(values: Iterable[Any]) -> str:
    """Values as one line of CSV, or a part of one, without its end.

    Examples:
        >>> line(["a,b", 0.25, None])
        '"a,b",0.2500,'
    """
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([field(value) for value in values])
    return stream.getvalue().removesuffix("\n")


def curves_csv(scores: pd.DataFrame, task: str) -> str:
    """One task's degradation curves as CSV; strengths keep all their digits."""
    table = numbers.curves(scores, task)
    table["strength"] = [None if pd.isna(s) else f"{s:.10g}" for s in table["strength"].astype(float)]
    return to_csv(table)


def metrics_json(overview: pd.DataFrame, gates: pd.DataFrame) -> str:
    """Clean, mPC and rPC of each model and task with their ends, and the gates by status; NaN as null."""
    found: dict[str, Any] = {}
    for row in overview.to_dict("records"):
        own = found.setdefault(row["model"], {}).setdefault(row["task"], {})
        for key in (f"{name}{end}" for name in ("clean", "mpc", "rpc") for end in ("", "_low", "_high")):
            own[key] = None if pd.isna(row[key]) else round(float(row[key]), numbers.PLACES)
    found["gates"] = verdict.tally(gates)
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def junit_xml(gates: pd.DataFrame) -> str:
    """A test case for each gate: a failure when it fails, or is uncertain where params want it sure; skipped when it
    could not be judged; uncertain ones that params let through pass, with the reason as their output.
    """
    held = (gates["status"] == "fail") | ((gates["status"] == "uncertain") & ~gates["ships"].astype(bool))
    skipped = (~held & ~gates["ships"].astype(bool)).sum()
    head = {"name": "gates", "tests": str(len(gates)), "failures": str(held.sum()), "skipped": str(skipped)}
    suites = ElementTree.Element("testsuites", {key: value for key, value in head.items() if key != "name"})
    suite = ElementTree.SubElement(suites, "testsuite", {**head, "errors": "0"})
    for row, fails in zip(gates.to_dict("records"), held, strict=True):
        name = {"classname": f"gates.{row['model']}", "name": _legal(str(row["rule"]))}
        case = ElementTree.SubElement(suite, "testcase", name)
        text = _legal(wording.sentence(str(row["reason"])))
        if fails:
            ElementTree.SubElement(
                case, "failure", {"message": text}
            ).text = f"observed {verdict.observed(row)}, threshold {verdict.bound(row)}"
        elif row["status"] == "uncertain":
            ElementTree.SubElement(case, "system-out").text = f"uncertain: {text}"
        elif row["status"] != "pass":
            ElementTree.SubElement(case, "skipped", {"message": f"{row['status']}: {text}"})
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _legal(text: str) -> str:
    """`text` without the control characters that XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)


COMPARISONS: Final = ("comparison.html", "comparison.md")
"""What `stormglass compare` puts beside the page, when it is asked to."""


def names(tasks: Iterable[str], *, policy: bool, there: Container[str] = ()) -> list[str]:
    """The companions of a run with these tasks, relative to reports/.

    Args:
        tasks: of the run.
        policy: whether policy.json is written.
        there: which of `COMPARISONS` lie there already.
    """
    return [
        *("summary.md", "failure_cases.md", "slices.csv", "metrics.json", "junit.xml", "run.json"),
        *["policy.json"] * policy,
        *(f"curves/{task}.csv" for task in tasks),
        *(name for name in COMPARISONS if name in there),
    ]
