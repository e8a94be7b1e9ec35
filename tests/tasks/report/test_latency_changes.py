"""Latency of two revisions, against quantiles of the made-up table's own formula."""

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.metrics import latency as measured
from tasks.report import latency_changes, revision_summary
from tests import latency_factory, report_factory

V1, V2 = "crossing-v1", "crossing-v2"
PAIRS = [(V1, V1), (V2, V2)]


def revision(name, table, why=""):
    return SimpleNamespace(name=name, params=report_factory.params(), latency=table, no_latency=why)


def test_both_sides_and_their_ratio():
    """B takes twice as long as A in everything, batches too."""
    a, b = (revision(n, latency_factory.table(factors=(f, f))) for n, f in (("v1.0", 1.0), ("HEAD", 2.0)))
    found = latency_changes.latency_changes(a, b, PAIRS)
    assert [line["model"] for line in found["lines"]] == [V1] * 3 + [V2] * 3
    walls = [sum(latency_factory.stages(V1, frame).values()) for frame in range(100)]
    middle, late, rate = found["lines"][:3]
    for line, share in ((middle, 0.5), (late, 0.95)):
        value = np.quantile(walls, share, method="inverted_cdf")
        assert float(line["a"].split()[0]) == pytest.approx(value, abs=0.051)
        assert float(line["b"].split()[0]) == pytest.approx(2 * value, abs=0.051)
        assert line["ratio"] == "2.00"
        assert "[" in line["a"]
    seconds = sum(64 * (1 + 0.02 * (batch % 3)) for batch in range(12)) / 1000
    assert float(rate["a"].split()[0]) == pytest.approx(12 * 8 / seconds, abs=0.51)
    assert (rate["ratio"], rate["unit"]) == ("0.50", "frames/s")
    assert len(found["told"]) == 2
    assert "(× 2.00)" in found["told"][0]
    assert found["told"][0].endswith(f"; on {measured.where(measured.cell(a.latency, V1))}.")
    text = "\n".join(revision_summary._latency("v1.0", "HEAD", found))
    assert f"| {V2} | {found['lines'][3]['metric']} | ms |" in text
    assert "not paired" in text


def test_another_machine_is_said():
    one, other = latency_factory.table(), latency_factory.table()
    other["device"] = "cuda: Another"
    found = latency_changes.latency_changes(revision("a", one), revision("b", other), PAIRS)
    assert all("the ratio is one of the machines, too" in text for text in found["told"])


def test_what_is_missing_is_said():
    table = latency_factory.table(absent={V2: "it does not fit into memory"})
    found = latency_changes.latency_changes(revision("a", latency_factory.table()), revision("b", table), PAIRS)
    assert [line["model"] for line in found["lines"]] == [V1] * 3
    assert found["told"][1] == f"b, {V2}: it does not fit into memory."
    none = revision("c", None, "c was committed before its latency/ were made.")
    found = latency_changes.latency_changes(none, revision("b", table), PAIRS)
    assert found == {"lines": [], "told": ["c: c was committed before its latency/ were made."]}
    assert "c was committed before" in "\n".join(revision_summary._latency("c", "b", found))
