"""Real shift against simulated: against textbook intervals, straight lines by hand, and the scores themselves."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tasks import tables
from tasks.metrics import shift
from tasks.metrics.plan import Row
from tasks.metrics.resampling import Spread, unit_weights
from tasks.metrics.robustness import Figure
from tasks.metrics.score import score

RESAMPLES = 4000


def mean_of(values, units):
    """The mean of one value a unit as a figure with replicates."""
    weights = unit_weights(units, RESAMPLES).astype(float)
    return Figure(float(np.mean(values)), "ok", (values @ weights / weights.sum(axis=0)).astype(np.float32))


def row(n):
    return Row("x", "all", "map", n, n, n, Spread.of(np.ones((n, 1))))


def test_an_unpaired_difference_has_the_width_of_welchs():
    """Of means of a value a unit, Student's t with Welch's degrees of freedom is the textbook's answer."""
    rng = np.random.default_rng(3)
    for n_one, n_other, spread in ((40, 15, 1.0), (15, 40, 3.0), (25, 25, 0.2)):
        one, other = rng.normal(0.5, 0.1, n_one), rng.normal(0.4, 0.1 * spread, n_other)
        names = [f"{n_one}/{i}" for i in range(n_one + n_other)]
        made = shift.unpaired(
            mean_of(one, names[:n_one]),
            mean_of(other, names[n_one:]),
            (row(n_one).spread, row(n_other).spread),
            0.95,
        )
        expected = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
        assert made.value == pytest.approx(one.mean() - other.mean())
        width = expected.high - expected.low
        assert made.high - made.low == pytest.approx(width, rel=0.08)
        assert made.low == pytest.approx(expected.low, abs=0.08 * width)


def test_units_on_both_sides_are_drawn_jointly():
    """A query that cuts clips leaves some on both sides: what they share cancels."""
    rng = np.random.default_rng(0)
    values, names = rng.normal(0.5, 0.1, 30), [f"clip{i}" for i in range(30)]
    made = shift.unpaired(mean_of(values, names), mean_of(values - 0.2, names), (row(30).spread,) * 2, 0.95)
    assert (made.value, made.low, made.high) == pytest.approx((0.2, 0.2, 0.2), abs=1e-6)


def test_where_resampling_shows_nothing_the_sides_own_ends_are_put_together():
    perfect = Figure(1.0, "ok", np.ones(RESAMPLES, np.float32), 0.9, 1.0)
    rng = np.random.default_rng(1)
    other = replace(mean_of(rng.uniform(0.6, 0.8, 20), [f"u{i}" for i in range(20)]), low=0.65, high=0.75)
    made = shift.unpaired(perfect, other, (row(20).spread,) * 2, 0.95)
    down = math.hypot(1.0 - 0.9, 0.75 - other.value)
    up = math.hypot(1.0 - 1.0, other.value - 0.65)
    assert (made.low, made.high) == pytest.approx((made.value - down, made.value + up))


@pytest.mark.parametrize("status", ["insufficient", "failed", "not_defined"])
def test_a_side_without_enough_data_gives_no_interval(status):
    value = 0.4 if status == "insufficient" else math.nan
    made = shift.unpaired(mean_of(np.ones(5), list("abcde")), Figure(value, status), (row(5).spread, None), 0.95)
    assert made.status == status
    assert math.isnan(made.low)


def curve(*drops):
    return [(severity, Figure(drop)) for severity, drop in enumerate(drops, 1)]


@pytest.mark.parametrize(
    ("real", "drops", "expected"),
    [
        (0.10, (0.05, 0.15, 0.30), 1.5),
        (0.15, (0.05, 0.15, 0.30), 2.0),
        (0.02, (0.05, 0.15, 0.30), 0.4),  # between clean and the mildest severity
        (0.00, (0.05, 0.15, 0.30), 0.0),
        (-0.1, (0.05, 0.15, 0.30), 0.0),
        (0.10, (0.20, 0.05, 0.30), 0.5),  # the first of several crossings
        (0.10, (-0.1, 0.0, 0.20), 2.5),
    ],
)
def test_the_severity_that_costs_as_much_lies_on_straight_lines(real, drops, expected):
    made = shift.equal_severity(Figure(real), curve(*drops))
    assert (made.value, made.status) == (pytest.approx(expected), "ok")
    if list(drops) == sorted(drops) and real > 0:
        assert made.value == pytest.approx(np.interp(real, [0, *drops], range(4)))


def test_what_no_severity_costs_is_not_reached():
    made = shift.equal_severity(Figure(0.4), curve(0.1, 0.2, 0.3))
    assert (made.status, made.note) == ("not_reached", "beyond severity 3")
    assert math.isnan(made.value)
    assert shift.equal_severity(Figure(0.4), []).status == "not_applicable"
    assert shift.equal_severity(Figure(0.1), [(1, Figure(0.05)), (3, Figure(math.nan, "failed"))]).status == "failed"
    own = shift.equal_severity(Figure(0.1), [(1, Figure(0.05)), (4, Figure(0.2))])
    assert own.value == pytest.approx(2.0)  # severities as they are named


def test_every_resample_has_its_own_crossing():
    rng = np.random.default_rng(2)
    real = Figure(0.2, "ok", rng.normal(0.2, 0.05, 300).astype(np.float32))
    drops = [
        (severity, Figure(0.1 * severity, "ok", rng.normal(0.1 * severity, 0.01, 300).astype(np.float32)))
        for severity in (1, 2, 3)
    ]
    made = shift.equal_severity(real, drops)
    for i in range(300):
        wanted, levels = real.replicates[i], [0.0, *(drop.replicates[i] for _, drop in drops)]
        expected = np.interp(wanted, levels, range(4)) if wanted <= levels[-1] else math.inf
        assert made.replicates[i] == pytest.approx(max(expected, 0.0), abs=1e-5)


def known(clean, night, *fog):
    """A model's cells of one corruption."""
    cells = {("clean", 0): (clean, night)}
    return cells | {("fog", severity): (figure, clean) for severity, figure in enumerate(fog, 1)}


def test_the_rows_of_a_shift():
    rng = np.random.default_rng(4)
    names = [f"clip{i}" for i in range(36)]
    day, night = rng.normal(0.6, 0.05, 24), rng.normal(0.45, 0.05, 12)
    cells = {}
    for model, steep in (("a", 0.1), ("b", 0.02)):
        at = [mean_of(day - steep * severity, names[:24]) for severity in (0, 1, 2, 3)]
        cells[model] = known(at[0], mean_of(night - steep, names[24:]), *at[1:])
    lines = pd.DataFrame(shift.drops(cells, ["fog"], (row(24), row(12)), 0.95))
    found = {(r.figure, r.model, r.severity): r for r in lines.replace({np.nan: None}).itertuples()}
    lost = day.mean() - night.mean()
    assert found["real_drop", "a", None].value == pytest.approx(lost + 0.1)
    assert found["real_drop", "a", None].n_units == 12
    assert found["real_drop", "a", None].low < lost + 0.1 < found["real_drop", "a", None].high
    paired = found["simulated_drop", "b", 3]
    assert (paired.value, paired.low, paired.high) == pytest.approx((0.06,) * 3, abs=1e-6)  # every clip loses the same
    assert found["equal_severity", "a", None].value == pytest.approx(10 * (lost + 0.1), abs=1e-4)
    assert found["equal_severity", "b", None].status == "not_reached"
    agreement = found["rank_agreement", None, None]
    assert (agreement.value, agreement.note) == (1.0, "0 of 1 pairs of models told apart on both sides")


def test_models_are_ordered_as_the_shift_orders_them_or_not():
    figures = {"a": (0.9, 0.5), "b": (0.9, 0.6), "c": (0.9, 0.7)}  # a loses most
    clean = {model: (Figure(one), Figure(other)) for model, (one, other) in figures.items()}
    for drops, tau in (((0.3, 0.2, 0.1), 1.0), ((0.1, 0.2, 0.3), -1.0), ((0.2, 0.3, 0.1), 1 / 3)):
        simulated = {model: Figure(drop) for model, drop in zip("abc", drops, strict=True)}
        made = shift.rank_agreement(clean, simulated, (row(9), row(9)), 0.95)
        assert made.value == pytest.approx(tau)
        assert made.value == pytest.approx(scipy.stats.kendalltau([0.4, 0.3, 0.2], drops).statistic)
    simulated["b"] = Figure(math.nan, "failed")
    assert shift.rank_agreement(clean, simulated, (row(9), row(9)), 0.95).status == "incomplete"


@pytest.fixture(scope="module")
def scored(tmp_path_factory, make_run, make_params):
    chosen = make_params(
        slices={"shifted": {"night": {"where": "time_of_day == 'night'", "like": ["fog"]}}}, severities=[1, 3]
    )
    run = make_run(tmp_path_factory.mktemp("shift"), chosen)
    score(chosen, run.layout)
    read = {
        name: tables.read(name, run.layout.scores / f"{name}.parquet") for name in ("scores", "replicates", "shifts")
    }
    return run, read


def test_the_table_follows_from_the_scores(scored):
    _, read = scored
    shifts, scores, replicates = (read[name] for name in ("shifts", "scores", "replicates"))
    assert set(shifts["task"].dropna()) == {"classification", "detection", "semantic", "tracking"}
    scores = scores[scores["baseline"].isna() & (scores["class"] == "all")]
    place = ["model", "task", "corruption", "severity", "slice", "metric"]
    values = scores.dropna(subset=["severity"]).set_index(place)["value"]
    drawn = {
        tuple(line[:6]): np.array(line[6])
        for line in replicates.loc[replicates["class"] == "all", [*place, "values"]].to_numpy()
    }
    for line in shifts[shifts["figure"].isin(["real_drop", "simulated_drop"])].itertuples():
        metric = tables.HEADLINE[line.task]
        clean = (line.model, line.task, "clean", 0, "shift=none", metric)
        if line.figure == "real_drop":
            other = (line.model, line.task, "clean", 0, "shift=night", metric)
        else:
            other = (line.model, line.task, "fog", line.severity, "shift=none", metric)
        assert line.value == pytest.approx(values[clean] - values[other], abs=2e-6)
        if line.status == "ok" and not math.isnan(line.low):
            middle = np.median(drawn[clean] - drawn[other])
            assert line.low <= middle <= line.high
    at = shifts[shifts["figure"] == "equal_severity"]
    assert len(at) == 2 * 4  # models x tasks
    for line in at[at["status"] == "ok"].itertuples():
        own = shifts[(shifts["model"] == line.model) & (shifts["task"] == line.task)]
        real = own.loc[own["figure"] == "real_drop", "value"].iloc[0]
        drops = own.loc[own["figure"] == "simulated_drop"].sort_values("severity")["value"].tolist()
        lines = [0.0, *drops]
        x, y = ((0, 1), lines[:2]) if lines[1] >= real else ((1, 3), lines[1:])
        assert line.value == pytest.approx(max(np.interp(real, y, x), 0.0), abs=1e-4)


def test_what_else_differs_is_counted(scored):
    run, read = scored
    shifts = read["shifts"]
    objects = run.objects.merge(run.frames[["frame_id", "time_of_day", "clip_id"]], on="frame_id")
    objects = objects[~objects["ignore"]]
    for side, time in (("reference", "day"), ("shifted", "night")):
        own, frames = objects[objects["time_of_day"] == time], run.frames[run.frames["time_of_day"] == time]
        told = shifts[shifts["side"] == side].set_index("figure")["value"]
        assert told["units"] == frames["clip_id"].nunique()
        assert told["frames"] == len(frames)
        assert told["objects_per_frame"] == pytest.approx(len(own) / len(frames), abs=1e-6)
        assert told["small_share"] == pytest.approx((own["area_px"] <= 1024).mean(), abs=1e-6)
    mixes = [
        objects.loc[objects["time_of_day"] == t, "class_id"].value_counts(normalize=True) for t in ("day", "night")
    ]
    apart = mixes[0].sub(mixes[1], fill_value=0).abs().sum() / 2
    told = shifts[shifts["side"].isna() & shifts["task"].isna()].set_index("figure")["value"]
    assert told["object_mix_distance"] == pytest.approx(apart, abs=1e-6)
    assert set(told.index) == {"object_mix_distance", "label_mix_distance", "semantic_mix_distance"}


def test_without_a_shift_the_table_is_empty(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[1], slices={})
    run = make_run(tmp_path, chosen, n_clips=2, n_frames=2)
    score(chosen, run.layout)
    assert tables.read("shifts", run.layout.scores / "shifts.parquet").empty
