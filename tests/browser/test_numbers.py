"""Numbers of charts against the tables beside them and the Parquet that both came from."""

import pandas as pd
import pytest

from tasks import tables

pytestmark = pytest.mark.browser

READ = """card => [
    card.querySelector('.chart').data.map((trace) => Object.fromEntries(['x', 'y', 'z', 'text'].map((key) => [key,
        trace[key] === undefined ? null : Array.from(trace[key], (v) => ArrayBuffer.isView(v) ? Array.from(v) : v)]))),
    [...card.querySelectorAll('details.data thead th')].map((cell) => cell.textContent),
    [...card.querySelectorAll('details.data tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))]"""


def read(page, key):
    """Of a chart's card: its traces, the heads of its table and the table's lines."""
    return page.locator(f"#{key}").evaluate(READ)


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("±", "").replace(",", "").strip("()"))


def stored(folder, name):
    return tables.read(name, folder.parent / f"scores/{name}.parquet")


def test_reliability(whole, folder):
    check_reliability(whole, stored(folder, "reliability"), tasks=("detection", "classification"))


def check_reliability(page, table, tasks):
    """Bins of clean frames, and of all cells of the highest severity, pooled here by hand."""
    for (task, model), own in table.groupby(["task", "model"]):
        assert task in tasks
        traces, heads, lines = read(page, f"reliability-{task}-{model}")
        parts = {"clean": own[own["severity"] == 0], "severity 5": own[own["severity"] == 5]}
        assert heads[1::3] == [f"{name}: samples" for name in parts]
        for place, rows in enumerate(parts.values()):
            curve, bars = traces[2 * place : 2 * place + 2]
            told = {line[0]: line[1 + 3 * place : 4 + 3 * place] for line in lines}
            edges = sorted(set(zip(rows["low"], rows["high"], strict=True)))
            assert len(curve["x"]) == len(bars["y"]) == len(edges)
            for at, (low, high) in enumerate(edges):
                here = rows[(rows["low"] == low) & (rows["high"] == high)]
                count = int(here["count"].sum())
                sure, right = (float((here[c] * here["count"]).sum() / count) for c in ("confidence", "accuracy"))
                assert [curve["x"][at], curve["y"][at]] == pytest.approx([sure, right], abs=6e-5)
                assert bars["y"][at] == count == number(curve["text"][at])
                assert bars["x"][at] == pytest.approx((low + high) / 2, abs=6e-5)
                samples, said_sure, said_right = told["1" if low == high else f"{low:.3f} to {high:.3f}"]
                assert number(samples) == count
                assert [number(said_sure), number(said_right)] == pytest.approx([sure, right], abs=5.1e-4)
            drawn = {low if low == high else f"{low:.3f}" for low, high in edges}
            assert sum(line[0] != "0" for line in told.values()) == len(drawn)


def test_confusion(whole, folder):
    table = stored(folder, "confusion")
    check_confusion(whole, table)
    lines = whole.locator("#confusion-table tbody tr").evaluate_all(
        "all => all.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert len(lines) > 20
    names = {"Classification": "classification", "Detection": "detection", "Semantic segmentation": "semantic"}
    for task, model, data, true, predicted, count, *rest in lines:
        own = table[(table["task"] == names[task]) & (table["model"] == model) & (table["true_class"] == true)]
        own = own[own["severity"] > 0] if data == "all corruptions" else own[own["severity"] == 0]
        expected = int(own.loc[own["predicted_class"] == predicted, "count"].sum())
        assert number(count.split(" ")[0]) == expected
        assert number(rest[-1].split(" ")[0]) == pytest.approx(expected / own["count"].sum(), abs=5.1e-5)


def check_confusion(page, table):
    own = table[table["task"] == "classification"]
    for model in own["model"].unique():
        for place in (0, 1):
            (heat, texts), heads, lines = read(page, f"confusion-{model}-{place}")
            rows = own[(own["model"] == model) & ((own["severity"] > 0) == bool(place))]
            counts = rows.groupby(["true_class", "predicted_class"])["count"].sum()
            totals = rows.groupby("true_class")["count"].sum()
            assert [line[0] for line in lines] == heat["y"]
            assert heads[1:] == heat["x"]
            shown = 0
            flat = iter(texts["text"])
            for true, shares, line in zip(heat["y"], heat["z"], lines, strict=True):
                for predicted, share, cell in zip(heat["x"], shares, line[1:], strict=True):
                    count = int(counts.get((true, predicted), 0))
                    assert share == pytest.approx(count / totals[true], abs=6e-5)
                    percent = f"{100 * count / totals[true]:.0f} %"
                    assert cell == f"{percent} ({count:,})"
                    assert next(flat) == percent
                    shown += count
            assert shown == counts.sum()


def test_differences_of_semantic_segmentation(whole, folder):
    check_differences(whole, stored(folder, "scores"), "semantic", "miou")


def check_differences(page, scores, task, metric):
    """Δ of each slice under each corruption: candidates minus the baseline, rows of the scores."""
    own = scores[(scores["task"] == task) & (scores["class"] == tables.ALL) & scores["baseline"].notna()]
    for model in own["model"].unique():
        (heat, texts), heads, lines = read(page, f"difference-{task}-{model}")
        mpc = own[(own["model"] == model) & (own["metric"] == "mpc") & (own["corruption"] != tables.ALL)]
        _same(heat, texts, heads, lines, mpc, key="corruption")
    (heat, texts), heads, lines = read(page, f"difference-{task}")
    baseline = own["baseline"].iloc[0]
    for name, rows in (("clean", own[(own["metric"] == metric) & (own["severity"] == 0)]), ("mPC", _mpc(own))):
        for model in own["model"].unique():
            column = next(i for i, head in enumerate(heads[1:]) if name in head and model in head)
            known = rows[rows["model"] == model].set_index("slice")
            assert len(lines) == len(known)
            for line, values in zip(lines, heat["z"], strict=True):
                assert values[column] == pytest.approx(number(line[column + 1].split(" ")[0]), abs=5.6e-4)
                assert known["value"].sub(values[column]).abs().min() < 6e-5
        column = next(i for i, head in enumerate(heads[1:]) if name in head and baseline in head)
        plain = scores[(scores["task"] == task) & (scores["class"] == tables.ALL) & scores["baseline"].isna()]
        plain = plain[plain["model"] == baseline]
        plain = plain[(plain["metric"] == metric) & (plain["severity"] == 0)] if name == "clean" else _mpc(plain)
        told = [number(line[column + 1].split(" ")[0]) for line in lines]
        assert sorted(told) == pytest.approx(sorted(plain["value"]), abs=5.1e-4)


def _mpc(rows):
    whole = (rows["corruption"] == tables.ALL) & (rows["family"] == tables.ALL)
    return rows[(rows["metric"] == "mpc") & whole]


def _same(heat, texts, heads, lines, rows, key):
    known = {(row["slice"].replace("=", " = "), row[key].replace("_", " ")): row for row in rows.to_dict("records")}
    columns = [name.replace("<br>", " ") for name in heat["x"]]
    spelt = {"JPEG compression": "jpeg compression", "H.264": "h264"}
    flat = iter(texts["text"])
    checked = 0
    for name, values, line in zip(heat["y"], heat["z"], lines, strict=True):
        assert name == line[0]
        for column, value, cell in zip(columns, values, line[1:], strict=True):
            short = next(flat)
            if name == "all data":
                row = known["all", spelt.get(column, column)]
            else:
                row = known.get((name.replace("time of day", "time_of_day"), spelt.get(column, column)))
            assert row is not None, (name, column)
            assert value == pytest.approx(row["value"], abs=6e-5)
            assert number(short) == pytest.approx(row["value"], abs=5.1e-4)
            assert number(cell.split(" ")[0]) == number(short)
            assert ("[" in cell) == (not pd.isna(row["low"])), "too few units have no interval"
            if "[" in cell:
                low, high = cell.split("[")[1].split("]")[0].split(", ")
                assert [number(low), number(high)] == pytest.approx([row["low"], row["high"]], abs=5.1e-4)
            checked += 1
    assert checked == len(known)
