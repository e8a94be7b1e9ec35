"""Which frames the gallery shows: worst, random and at every severity, within the quota."""

import pandas as pd
import pytest

from tasks.gallery import picks

CELLS = [("clean", 0), *((name, severity) for name in ("fog", "rain") for severity in (1, 2, 3))]


def score(task: str, model: str, corruption: str, severity: int, frame_id: int) -> float:
    """Distinct in a cell, and another order in each."""
    mixed = int(picks.order_key(sum(map(ord, f"{task}{model}{corruption}{severity}")), frame_id), 16)
    return mixed % 9973 / 10000


def table(tasks=("detection",), models=("v1",), frames=40) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "task": task,
                "model": model,
                "corruption": corruption,
                "severity": severity,
                "frame_id": frame,
                "score": score(task, model, corruption, severity, frame),
            }
            for task in tasks
            for model in models
            for corruption, severity in CELLS
            for frame in range(frames)
        ]
    )


def choose(examples: pd.DataFrame, budget: int, **more) -> list[picks.Pick]:
    models = list(dict.fromkeys(examples["model"]))
    return picks.choose(examples, corruptions=["fog", "rain"], models=models, budget=budget, seed=0, **more)


def files(chosen: list[picks.Pick], models: int = 1) -> set[tuple]:
    """Counted apart from what picks says of itself."""
    found = set()
    for pick in chosen:
        cell = (pick.corruption, pick.severity, pick.frame_id)
        found |= {("photograph", *cell), ("photograph", "clean", 0, pick.frame_id)}
        if pick.task == "semantic":
            found |= {("truth", pick.frame_id)}
            found |= {(kind, m, *cell) for kind in ("prediction", "difference") for m in range(models)}
    return found


def test_random_frames_come_up_in_every_cell():
    keys = [("fog", 3), ("rain", 3), ("fog", 5)]
    examples = pd.DataFrame(
        [
            {"model": "v1", "task": "detection", "corruption": c, "severity": s, "frame_id": f, "score": 1.0}
            for c, s in keys
            for f in range(50)
        ]
    )
    chosen = picks.choose(examples, corruptions=["fog", "rain"], models=["v1"], budget=100, seed=0)
    by_cell = {key: [p.frame_id for p in chosen if (p.corruption, p.severity) == key] for key in keys}
    assert all(pick.kind == "random" for pick in chosen), "with nothing wrong there is no worst"
    first = {tuple(frames[:5]) for frames in by_cell.values()}
    assert len(first) == 1
    other = picks.choose(examples, corruptions=["fog", "rain"], models=["v1"], budget=100, seed=1)
    assert other != chosen


@pytest.mark.parametrize("budget", [0, 1, 7, 25, 60])
def test_the_quota_is_kept_and_used(budget):
    chosen = choose(table(("detection", "semantic")), budget)
    used = len(files(chosen))
    assert used <= budget
    assert used >= budget - 6, "no room for another frame with its maps"


def test_the_first_worst_frame_is_drawn_at_every_severity():
    chosen = choose(table(), 60)
    for corruption in ("fog", "rain"):
        first = next(p for p in chosen if (p.corruption, p.severity, p.kind) == (corruption, 2, "worst"))
        ranked = sorted(range(40), key=lambda frame: score("detection", "v1", corruption, 2, frame))
        assert first.frame_id == ranked[0]
        there = {(p.corruption, p.severity): p.kind for p in chosen if p.frame_id == first.frame_id}
        assert {(corruption, 1), (corruption, 2), (corruption, 3), ("clean", 0)} <= set(there)
        assert "series" in there.values()


def test_series_take_a_quarter_at_most():
    semantic = table(("semantic",))
    for budget in (24, 48, 96):
        chosen = choose(semantic, budget)
        series = [pick for pick in chosen if pick.kind == "series"]
        others = [pick for pick in chosen if pick.kind != "series"]
        assert len(files(chosen)) - len(files(others)) <= budget / 4
        # One costs 2 * (photograph + prediction + difference) and the maps of the clean frame: 8 pictures.
        assert len({(p.frame_id) for p in series}) == min(2, budget // 4 // 8)


def test_a_cell_has_twelve_worst_and_six_random():
    chosen = choose(table(), 10_000)
    for corruption, severity in CELLS:
        own = [p for p in chosen if (p.corruption, p.severity) == (corruption, severity)]
        kinds = [p.kind for p in own]
        assert (kinds.count("worst"), kinds.count("random")) == (12, 6)
        assert len({p.frame_id for p in own}) == len(own)
        others = {p.frame_id for p in own if p.kind != "worst"}
        worst = {p.frame_id for p in own if p.kind == "worst"}
        ranked = sorted(range(40), key=lambda frame: score("detection", "v1", corruption, severity, frame))
        assert worst == set([frame for frame in ranked if frame not in others][:12])


def test_a_frame_of_one_task_may_be_picked_for_another():
    examples = table(("detection", "tracking"), frames=3)
    chosen = choose(examples, 1000)
    own = [p for p in chosen if (p.corruption, p.severity) == ("fog", 2)]
    for task in ("detection", "tracking"):
        shown = [p.frame_id for p in own if p.shows(task)]
        assert set(shown) == {0, 1, 2}
    worst = next(p for p in own if p.kind == "worst")
    other = {"detection": "tracking", "tracking": "detection"}[worst.task]
    assert any(p.frame_id == worst.frame_id and p.shows(other) for p in own)


def test_where_maps_are_the_only_task_random_frames_show_them():
    chosen = choose(table(("semantic",)), 400)
    found = [pick for pick in chosen if pick.kind == "random"]
    assert found
    assert all(pick.shows("semantic") for pick in found)


def test_what_was_chosen_before_stays_and_more_is_added():
    examples = table()
    small = choose(examples, 30)
    large = choose(examples, 90, strips=small)
    assert large[: len(small)] == small
    assert len(files(large)) > len(files(small))
    film = picks.Pick("fog", 1, 9, "film")
    assert not any(film.shows(task) for task in ("detection", "semantic", "tracking"))
    assert choose(examples, 30, strips=[film])[0] == film
